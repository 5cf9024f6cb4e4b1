"""How to measure."""

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ProfileSettings(BaseModel):
    """Two repeats, each in a fresh process: `warmup` runs, then timed runs.

    Timed are at least `min_inferences` runs and at least `min_seconds` seconds. Above `noisy_spread_pct` (difference
    of the two repeats' medians, in percent of the smaller) the figures come with a warning. `images` is the number of
    different validation images to run; `threads` those of the engine; `time_limit_s` is for one repeat.

    Where power can be read, `idle_seconds` of rest before the model is loaded tell the idle power. After the last
    repeat the model runs on for `sustained_seconds`, if not 0, for a curve of latency over time; that comes on top of
    the time limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    warmup: int = Field(50, ge=1)
    min_inferences: int = Field(100, ge=100)
    min_seconds: float = Field(2.0, ge=2.0)
    threads: int = Field(1, ge=1)
    images: int = Field(32, ge=1)
    noisy_spread_pct: float = Field(10.0, gt=0)
    time_limit_s: float = Field(300.0, gt=0)
    idle_seconds: float = Field(2.0, ge=1.0, le=600.0)
    sustained_seconds: float = Field(0.0, ge=0.0, le=86_400.0)

    @field_validator("sustained_seconds")
    @classmethod
    def _long_enough(cls, value: float) -> float:
        if 0 < value < 10:
            raise ValueError("0 (off) or at least 10 seconds: a device does not become warm in less")
        return value
