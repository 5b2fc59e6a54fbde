"""Findings of a comparison, read back strictly from a file: a part, or more, is refused."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from compliance.estimates.interval import Interval


class _Kept(Protocol):
    def to_json(self) -> dict[str, Any]: ...


Found = TypeVar("Found", bound=_Kept)


def read_back(made: Callable[[Any], Found], kept: Any) -> Found:
    """Returns the findings that are made of what ``to_json`` gave.

    Raises:
        ValueError: these are none: something is missing, unknown, of another type, or does not
            agree with the rest.
    """
    try:
        found = made(kept)
        if found.to_json() == kept:
            return found
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("these are no findings of a comparison") from error
    raise ValueError("these findings say more than a comparison does, or other things")


def interval_from(kept: Mapping[str, Any]) -> Interval:
    """Returns the interval whose fields stand in a mapping: numbers or nothing, and a text.

    Raises:
        LookupError: a field is missing.
        TypeError: a figure is no number, or the note no text.
    """
    numbers = (kept["value"], kept["low"], kept["high"])
    known = [one for one in numbers if one is not None]
    if any(type(one) not in (int, float) or not math.isfinite(one) for one in known):
        raise TypeError("a figure is a number")
    if not isinstance(kept["note"], str):
        raise TypeError("a note is a text")
    value, low, high = numbers
    return Interval(value=value, low=low, high=high, note=kept["note"])
