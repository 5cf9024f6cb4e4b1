"""An entry of schedule.yml, typed: when a model is trained again, on what, and what follows."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""Name of an environment variable, as a secret is given in a file that others see."""
_PARAMETER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewDataSpec(_Entry):
    """Where new samples arrive, in the format of the model's dataset, and how many of them start a training.

    `path` is a folder (or the data.yaml, or the annotation file of a COCO dataset), or any URL that fsspec opens.
    `images` is the folder of the images of a COCO dataset. `min_samples` counts samples that were never trained on.
    Below the share `min_good_fraction` of usable files nothing is trained.
    """

    path: str = Field(min_length=1)
    images: str | None = None
    min_samples: int = Field(1, ge=1)
    min_good_fraction: float = Field(0.9, gt=0, le=1)


class DriftSpec(_Entry):
    """How far new samples may be from those that the model was trained on and validated with.

    `inputs` watches brightness, contrast, colour and sharpness of the pictures; `predictions` the classes and scores
    that the model gives them. Drift is a distance (the statistic of Kolmogorov and Smirnov, 0 to 1) of at least
    `threshold` which chance explains with a probability below `significance`. Fewer than `min_samples` samples say
    nothing. `on_device` is a file of predictions made on devices, JSON lines, used in place of the model's own.
    """

    inputs: bool = True
    predictions: bool = False
    threshold: float = Field(0.2, gt=0, lt=1)
    significance: float = Field(0.01, gt=0, lt=1)
    min_samples: int = Field(30, ge=8)
    on_device: str | None = None

    @model_validator(mode="after")
    def _something_watched(self) -> "DriftSpec":
        if not (self.inputs or self.predictions):
            raise ValueError("set `inputs` or `predictions` to true, or leave `drift` out")
        if self.on_device and not self.predictions:
            raise ValueError("`on_device` needs `predictions: true`")
        return self


class FleetSpec(_Entry):
    """Which devices of devices.yml get a new release, as `kedro edge deploy` takes it: those with a label of `to`.

    Without `to`, all that it fits. `canary` devices come first, then `waves`, percentages in rising order, such as
    `[25, 100]`.
    """

    to: tuple[str, ...] = ()
    canary: int | None = Field(None, ge=1)
    waves: tuple[int, ...] = ()

    @field_validator("waves", mode="before")
    @classmethod
    def _percent(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return [one.strip().removesuffix("%") if isinstance(one, str) else one for one in value]

    @field_validator("waves")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted({one for one in value if 1 <= one <= 100}):
            raise ValueError("percentages of 1 to 100 in rising order are expected, such as [25, 100]")
        return value


class EmailSpec(_Entry):
    """A mail server. `password` is the name of an environment variable, never the password itself."""

    host: str
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    to: tuple[str, ...] = Field(min_length=1)
    user: str | None = None
    password: str | None = None
    timeout_s: float = Field(20, gt=0, le=300)

    @model_validator(mode="after")
    def _secrets_stay_secret(self) -> "EmailSpec":
        if bool(self.user) != bool(self.password):
            raise ValueError("`user` and `password` go together")
        if self.password and not VARIABLE.fullmatch(self.password):
            raise ValueError("`password` is the name of an environment variable that holds it, such as SMTP_PASSWORD")
        if self.password and self.security == "none":
            raise ValueError("a password is only sent encrypted: set `security` to starttls or tls")
        return self


class NotifySpec(_Entry):
    """Who is told how a training ended; `on: always` tells of success too.

    `webhook` is a URL, or the name of an environment variable that holds it: what a chat service gives is a secret.
    """

    webhook: str | None = None
    email: EmailSpec | None = None
    on: Literal["failure", "always"] = "failure"
    timeout_s: float = Field(10, gt=0, le=300)

    @field_validator("webhook")
    @classmethod
    def _a_url_or_variable(cls, value: str | None) -> str | None:
        if value and not VARIABLE.fullmatch(value) and not re.match(r"https?://[^\s/]+", value):
            raise ValueError("a URL (https://...), or the name of an environment variable that holds it, is expected")
        return value


class ScheduleSpec(_Entry):
    """When and how `kedro edge retrain` trains a model again.

    `cron` has five fields (minute, hour, day, month, weekday) in `timezone`; without it nothing is scheduled. A due
    training takes place only when one of `new_data`, `drift` and `max_age_days` (since the champion was made) says so;
    with none of them, always. `parameters` change those of the model, as `finetune.epochs: 10`. A failed one is tried
    again by the scheduler, `retries` times. With `deploy: after_gate`, what passed goes to the devices of `fleet`.
    """

    cron: str | None = None
    timezone: str = "UTC"
    new_data: NewDataSpec | None = None
    drift: DriftSpec | None = None
    max_age_days: float | None = Field(None, gt=0)
    parameters: Mapping[str, bool | int | float | str] = Field(default_factory=dict)
    deploy: Literal["never", "after_gate"] = "never"
    fleet: FleetSpec = FleetSpec()
    retries: int = Field(0, ge=0, le=100)
    retry_delay_minutes: float = Field(5, gt=0)
    notify: NotifySpec = NotifySpec()

    @field_validator("cron")
    @classmethod
    def _a_schedule(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from cronsim import CronSim, CronSimError

        fields = value.split()
        if len(fields) != 5:
            raise ValueError("five fields are expected: minute hour day month weekday, such as `0 3 * * 1`")
        try:
            next(CronSim(value, datetime(2024, 1, 1)))
        except CronSimError as error:
            raise ValueError(f"this is no schedule: {str(error).lower()}") from error
        except StopIteration:
            raise ValueError("this schedule names a day that never comes") from None
        return " ".join(fields)

    @field_validator("parameters")
    @classmethod
    def _of_the_model(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        for name, one in value.items():
            if not _PARAMETER.fullmatch(name):
                raise ValueError(f"'{name}' names no parameter of a stage; `finetune.epochs` is one")
            if "," in str(one) or "=" in str(one):
                raise ValueError(f"{name}: values with `,` or `=` belong into the parameters of the model")
        return value

    @field_validator("timezone")
    @classmethod
    def _a_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("a name of the time zone database is expected, such as Europe/Berlin or UTC") from error
        return value

    @model_validator(mode="after")
    def _drift_needs_samples(self) -> "ScheduleSpec":
        if self.drift and not self.new_data and (self.drift.inputs or not self.drift.on_device):
            raise ValueError("`drift` compares new samples: say in `new_data.path` where they arrive")
        return self

    def next_due(self, after: datetime) -> datetime | None:
        """Return the first due time after `after`, which has a time zone; `None` without `cron`."""
        if self.cron is None:
            return None
        from cronsim import CronSim

        found: datetime = next(CronSim(self.cron, after.astimezone(ZoneInfo(self.timezone))))
        return found
