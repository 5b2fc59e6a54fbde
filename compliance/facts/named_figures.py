"""Every released figure of a run in one list: which figure, of whom, at which threshold.

Page, report, JSON and the table of performance have them from here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from compliance.estimates.binned_scores.operating_points import OperatingPoint
from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.facts.groups import GroupFacts


class Whose(Enum):
    """The patients that a figure is of, or the outcome."""

    ALL = "all"
    OUTCOME = "outcome"
    HOSPITAL = "hospital"
    GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class NamedFigure:
    """A released figure.

    Attributes:
        figure: its name (``compliance.facts.figures``).
        whose: the kind of part of the patients.
        part: its name: empty for all, ``basel``, ``sex: women``; the class, finding or time.
        at: the threshold that it is of, as a risk; None for others.
        found: its value with the 95 % interval, or why there is none.
    """

    figure: str
    whose: Whose
    part: str
    found: Interval
    at: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the figure as a line of JSON or of a table."""
        return {
            "figure": self.figure,
            "of": self.whose.value,
            "part": self.part,
            "at": self.at,
            "value": self.found.value,
            "low": self.found.low,
            "high": self.found.high,
            "note": self.found.note,
        }


#: The figures of a model's risks, and of its decisions at the study's threshold.
RISK_FIGURES = (
    "patients", "sensitivity", "specificity", "ppv", "ill", "mean_risk", "lacking", "excess_brier"
)  # fmt: skip
#: The figures of an operating point that are of a threshold.
_AT = ("flagged", "sensitivity", "specificity", "ppv", "npv", "net_benefit")


def named_figures(
    released: Mapping[str, Interval],
    risks: RiskFigures | None,
    sites: Mapping[str, Mapping[str, Interval]],
    groups: Iterable[GroupFacts],
    points: Iterable[OperatingPoint],
    outcomes: Iterable[OutcomeFigures] = (),
) -> tuple[NamedFigure, ...]:
    """Returns the released figures: of all patients, outcomes, hospitals, groups, thresholds.

    Args:
        released: of all patients, by name.
        risks: of the model's risks, if it has any.
        sites: of each hospital, by its name.
        groups: of groups of patients.
        points: what the model does at each threshold.
        outcomes: of each class, finding or time.
    """
    found = [*_of(Whose.ALL, "", released)]
    if risks is not None:
        found += _of(Whose.ALL, "", {name: getattr(risks, name) for name in RISK_FIGURES})
    for outcome in outcomes:
        found += _of(Whose.OUTCOME, outcome.outcome, outcome.figures)
    for site, figures in sites.items():
        found += _of(Whose.HOSPITAL, site, figures)
    for group in groups:
        found += _of(Whose.GROUP, group.name, group.released)
    for point in points:
        found += _of(Whose.ALL, "", {name: getattr(point, name) for name in _AT}, at=point.risk)
    return tuple(found)


def _of(
    whose: Whose, part: str, released: Mapping[str, Interval], at: float | None = None
) -> list[NamedFigure]:
    return [
        NamedFigure(figure=name, whose=whose, part=part, found=found, at=at)
        for name, found in released.items()
    ]
