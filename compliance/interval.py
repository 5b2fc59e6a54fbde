"""A released figure with its interval, as everything that shows figures holds it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A released figure with its 95 % interval; ``value`` is None when not available.

    Guarantee: a figure with a note is withheld, and what is withheld is not kept:
    value, low and high are None, so nothing can draw, average or write them.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""

    def __post_init__(self) -> None:
        if self.note:
            for name in ("value", "low", "high"):
                object.__setattr__(self, name, None)
