"""The base of the frozen records that people write, and the range of what they promise."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

#: The least and the most privacy loss that may be promised: beyond, no noise keeps it, or none is
#: needed.
LEAST_EPSILON, MOST_EPSILON = 1e-6, 1e6
Epsilon: TypeAlias = Annotated[float, Field(ge=LEAST_EPSILON, le=MOST_EPSILON)]


class FrozenModel(BaseModel):
    """Base of the frozen records people write: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)
