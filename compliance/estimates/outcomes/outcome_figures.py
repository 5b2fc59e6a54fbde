"""The released figures of one outcome: of a class, a finding, or a time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.estimates.interval import Interval


@dataclass(frozen=True, kw_only=True)
class OutcomeFigures:
    """The figures of one outcome.

    Attributes:
        outcome: its name: a class or a finding as the study names it, ``at 2``.
        figures: by name (``compliance.facts.figures``).
        declared: what the study declares of the outcome, beside which its figures are read: the
            published share of patients without the event; None where it declares nothing.
    """

    outcome: str
    figures: Mapping[str, Interval]
    declared: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as JSON has them; undone by ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "OutcomeFigures":
        """Returns the figures that ``to_json`` gave."""
        figures = {name: Interval(**found) for name, found in kept["figures"].items()}
        return cls(outcome=kept["outcome"], figures=figures, declared=kept["declared"])
