"""What the parameters of all stages share."""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Parameters of one stage: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
