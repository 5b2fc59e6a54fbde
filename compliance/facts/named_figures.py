"""Every released figure of a run in one list: which figure, of whom, at which threshold.

Page, report, JSON and the table of performance have them from here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from compliance.estimates.interval import Interval

if TYPE_CHECKING:
    from compliance.facts.dossier import Dossier


class Whose(Enum):
    """The patients that a figure is of."""

    ALL = "all"
    HOSPITAL = "hospital"
    GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class NamedFigure:
    """A released figure.

    Attributes:
        figure: its name (``compliance.facts.figures``).
        whose: the kind of part of the patients.
        part: the part's name: empty for all, ``basel``, ``sex: women``.
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
_RISKS = ("sensitivity", "ill", "mean_risk", "lacking", "excess_brier")
#: The figures of an operating point that are of a threshold.
_AT = ("flagged", "sensitivity", "specificity", "ppv", "npv", "net_benefit")


def named_figures(dossier: "Dossier") -> tuple[NamedFigure, ...]:
    """Returns the released figures of a run: of all patients, hospitals, groups, thresholds."""
    return tuple(_each(dossier))


def _each(dossier: "Dossier") -> Iterator[NamedFigure]:
    yield from _of(Whose.ALL, "", dossier.released)
    if dossier.risks is not None:
        risks = {name: getattr(dossier.risks, name) for name in _RISKS}
        yield from _of(Whose.ALL, "", risks)
    for site in dossier.sites:
        yield from _of(Whose.HOSPITAL, site.site, site.released)
    for group in dossier.groups:
        yield from _of(Whose.GROUP, group.name, group.released)
    for point in dossier.operating_points:
        for name in _AT:
            found: Interval = getattr(point, name)
            yield NamedFigure(figure=name, whose=Whose.ALL, part="", found=found, at=point.risk)


def _of(whose: Whose, part: str, released: Mapping[str, Interval]) -> Iterator[NamedFigure]:
    for name, found in released.items():
        yield NamedFigure(figure=name, whose=whose, part=part, found=found)
