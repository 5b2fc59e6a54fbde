"""The base of the frozen records that people write, and the range of what they promise."""

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: The least and the most privacy loss that may be promised: beyond, no noise keeps it, or none is
#: needed.
LEAST_EPSILON, MOST_EPSILON = 1e-6, 1e6
Epsilon: TypeAlias = Annotated[float, Field(ge=LEAST_EPSILON, le=MOST_EPSILON)]


#: What a screen takes for an order, and what turns the direction of writing; the line feed apart.
_HIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def _has_nothing_hidden(text: str) -> str:
    if _HIDDEN.search(text) is not None:
        raise ValueError("a text holds no control character: type it anew")
    return text


def one_line(text: str) -> str:
    """Returns a text of one line in which nothing is hidden.

    Raises:
        ValueError: it is none.
    """
    if "\n" in text:
        raise ValueError("a text of one line")
    return _has_nothing_hidden(text)


#: A text for people, of one line; of several.
OneLine: TypeAlias = Annotated[str, AfterValidator(one_line)]
Lines: TypeAlias = Annotated[str, AfterValidator(_has_nothing_hidden)]


class FrozenModel(BaseModel):
    """Base of the frozen records people write: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)
