"""The base of the frozen records that people write: studies, site files, policies."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Base of the frozen records people write: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)
