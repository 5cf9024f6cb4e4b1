"""How to measure."""

from pydantic import BaseModel, ConfigDict, Field


class ProfileSettings(BaseModel):
    """Two repeats, each in a fresh process: `warmup` runs, then timed runs.

    Timed are at least `min_inferences` runs and at least `min_seconds` seconds. Above `noisy_spread_pct` (difference
    of the two repeats' medians, in percent of the smaller) the figures come with a warning. `images` is the number of
    different validation images to run; `threads` those of the engine; `time_limit_s` is for one repeat.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    warmup: int = Field(50, ge=1)
    min_inferences: int = Field(100, ge=100)
    min_seconds: float = Field(2.0, ge=2.0)
    threads: int = Field(1, ge=1)
    images: int = Field(32, ge=1)
    noisy_spread_pct: float = Field(10.0, gt=0)
    time_limit_s: float = Field(300.0, gt=0)
