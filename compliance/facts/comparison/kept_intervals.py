"""Intervals in the JSON of a comparison, and back: a number or nothing, never NaN or infinity."""

import math
from collections.abc import Mapping
from typing import Any

from compliance.estimates.interval import Interval


def interval_json(interval: Interval) -> dict[str, Any]:
    """Returns an interval's four keys: value, low, high and note."""
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "note": interval.note,
    }


def interval_from(kept: Mapping[str, Any]) -> Interval:
    """Returns the interval that ``interval_json`` gave.

    Raises:
        LookupError: a key is missing.
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
