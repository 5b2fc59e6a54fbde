"""Criteria of success, each decided by the figures that a run released."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap
from compliance.facts.dossier.record import Dossier
from compliance.facts.figures import FigureKind, figure_kind
from compliance.facts.formatting import show
from compliance.facts.named_figures import Whose
from protocol.study.study import SuccessCriterion


class CriterionVerdict(StrEnum):
    """The verdict about a criterion."""

    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "cannot be decided"


@dataclass(frozen=True, kw_only=True)
class CriterionFigure:
    """A figure that a criterion was decided by: of whom, its interval, and its own verdict."""

    part: str
    found: Interval
    verdict: CriterionVerdict

    def to_json(self) -> dict[str, Any]:
        """Returns the figure as ``--json`` shows it."""
        found = self.found
        return {
            "part": self.part,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "note": found.note,
            "verdict": self.verdict.value,
        }


@dataclass(frozen=True, kw_only=True)
class CriterionResult:
    """A criterion, what decided it, and why."""

    criterion: SuccessCriterion
    verdict: CriterionVerdict
    why: str
    figures: tuple[CriterionFigure, ...]

    @property
    def kind(self) -> FigureKind:
        """The kind of its figure."""
        return figure_kind(self.criterion.figure)

    @property
    def asked(self) -> str:
        """The criterion in words."""
        one, bound = self.criterion, "at least" if self.criterion.wants_more else "at most"
        given = one.at_least if one.at_least is not None else one.at_most
        if one.baseline is not None:
            base = one.baseline
            bound = f"less {base.name} ({show(base.value, self.kind.form)}) is {bound}"
        said = f"{self.kind.title}{_OF[one.of].format(grouping=one.grouping, outcome=one.outcome)}"
        whole = "by its 95 % interval" if one.by == "interval" else "by its estimate"
        return f"{said} {bound} {given:g}, {whole}"

    def to_json(self) -> dict[str, Any]:
        """Returns the result as ``--json`` shows it."""
        return {
            **self.criterion.model_dump(mode="json"),
            "threshold": self.criterion.threshold,
            "asked": self.asked,
            "verdict": self.verdict.value,
            "why": self.why,
            "figures": [one.to_json() for one in self.figures],
        }


_OF = {
    "all": "",
    "every_hospital": " of every hospital",
    "hospital_gap": ", largest gap between hospitals,",
    "every_group": " of every group of {grouping}",
    "group_gap": ", largest gap between groups of {grouping},",
    "outcome": " of {outcome}",
}


def decided(found: Interval, criterion: SuccessCriterion) -> CriterionVerdict:
    """Returns the verdict about one figure: by its whole interval, or by its estimate.

    >>> criterion = SuccessCriterion(name="a", figure="auroc", at_least=0.7)
    >>> decided(Interval(value=0.8, low=0.69, high=0.9), criterion).value
    'not met'
    """
    decisive = found.value
    if criterion.by == "interval":
        decisive = found.low if criterion.wants_more else found.high
    if decisive is None:
        return CriterionVerdict.UNDECIDED
    reached = (
        decisive >= criterion.threshold if criterion.wants_more else decisive <= criterion.threshold
    )
    return CriterionVerdict.MET if reached else CriterionVerdict.NOT_MET


def together(verdicts: Iterable[CriterionVerdict]) -> CriterionVerdict:
    """Returns the verdict of several that must all be met: one that is not met decides.

    >>> together([CriterionVerdict.MET, CriterionVerdict.UNDECIDED]).value
    'cannot be decided'
    """
    found = set(verdicts)
    if CriterionVerdict.NOT_MET in found:
        return CriterionVerdict.NOT_MET
    return CriterionVerdict.MET if found == {CriterionVerdict.MET} else CriterionVerdict.UNDECIDED


def criterion_result(dossier: Dossier, criterion: SuccessCriterion) -> CriterionResult:
    """Returns what a run's released figures decide about a criterion."""
    if not dossier.released:
        why = "no figure was released yet" if dossier.state == "running" else "nothing was released"
        return CriterionResult(
            criterion=criterion, verdict=CriterionVerdict.UNDECIDED, why=why, figures=()
        )
    if criterion.of in ("hospital_gap", "group_gap"):
        return _gap_result(dossier, criterion)
    figures = tuple(
        CriterionFigure(part=part, found=found, verdict=decided(found, criterion))
        for part, found in _figures(dossier, criterion).items()
    )
    verdict = together(one.verdict for one in figures)
    telling = [one for one in figures if one.verdict is verdict] or list(figures)
    why = "; ".join(_said(criterion, one) for one in telling) or "it was not released"
    return CriterionResult(criterion=criterion, verdict=verdict, why=why, figures=figures)


#: So many digits of a gap count.
_DIGITS = 12
_NOT_RELEASED = Interval.withheld("not released")


def _figures(dossier: Dossier, criterion: SuccessCriterion) -> Mapping[str, Interval]:
    """Returns the figures that a criterion asks for, by part; what is lacking says so."""
    named = {
        (one.whose, one.part): one.found
        for one in dossier.named_figures
        if one.figure == criterion.figure and one.at is None
    }
    match criterion.of:
        case "every_hospital":
            parts = [(Whose.HOSPITAL, site) for site in _sites(dossier)]
        case "every_group":
            parts = [(Whose.GROUP, one.name) for one in _groups(dossier, criterion)]
        case "outcome":
            parts = [(Whose.OUTCOME, criterion.outcome or "")]
        case _:
            parts = [(Whose.ALL, "")]
    return {part: named.get((whose, part), _NOT_RELEASED) for whose, part in parts}


def _sites(dossier: Dossier) -> list[str]:
    """Returns every hospital of the study, whether it was in a sum or not."""
    named = [site["name"] for site in dossier.study.get("sites", ())]
    return sorted(named or [site.site for site in dossier.sites])


def _groups(dossier: Dossier, criterion: SuccessCriterion) -> list[Any]:
    return [one for one in dossier.groups if one.grouping == criterion.grouping]


def _gap_result(dossier: Dossier, criterion: SuccessCriterion) -> CriterionResult:
    """Returns the verdict about a largest gap: of those whose figures are known.

    What is withheld can only widen the gap of all. So a gap that is small among some does not show
    that all are close, and one that is large among some is large among all.
    """
    if criterion.of == "hospital_gap":
        gap = dossier.largest_gaps.get(criterion.figure)
        parts = {site: _released_at(dossier, site, criterion.figure) for site in _sites(dossier)}
    else:
        gap = dossier.group_gaps.get(criterion.grouping or "", {}).get(criterion.figure)
        parts = {
            one.group: one.released.get(criterion.figure, _NOT_RELEASED)
            for one in _groups(dossier, criterion)
        }
    lacking = sorted(part for part, found in parts.items() if found.value is None)
    if gap is None:
        why = f"fewer than two are known: without {', '.join(lacking) or 'any'}"
        return CriterionResult(
            criterion=criterion, verdict=CriterionVerdict.UNDECIDED, why=why, figures=()
        )
    # 0.9 less 0.6 is 0.3, and no more: what subtraction adds in the last place decides nothing.
    value, low, high = (round(one, _DIGITS) for one in (gap.value, gap.low, gap.high))
    found = Interval(value=value, low=low, high=high)
    among = decided(found, criterion)
    verdict = among
    if lacking and (among is CriterionVerdict.MET) != criterion.wants_more:
        verdict = CriterionVerdict.UNDECIDED
    figure = CriterionFigure(part=_between(gap), found=found, verdict=among)
    why = _said(criterion, figure)
    if lacking:
        why += f"; without {', '.join(lacking)}, of which nothing is known"
    return CriterionResult(criterion=criterion, verdict=verdict, why=why, figures=(figure,))


def _between(gap: LargestGap) -> str:
    return f"{gap.highest} and {gap.lowest}"


def _released_at(dossier: Dossier, site: str, figure: str) -> Interval:
    own = {one.site: one.released for one in dossier.sites}
    return own.get(site, {}).get(figure, _NOT_RELEASED)


def _said(criterion: SuccessCriterion, one: CriterionFigure) -> str:
    """Returns a figure beside the threshold, in words."""
    form = figure_kind(criterion.figure).form
    whose = f"{one.part}: " if one.part else ""
    if one.found.value is None:
        return f"{whose}{one.found.note or 'not released'}"
    if one.verdict is CriterionVerdict.UNDECIDED:
        return f"{whose}{show(one.found, form)} has no interval"
    side = {
        (True, CriterionVerdict.MET): "reaches",
        (True, CriterionVerdict.NOT_MET): "falls below",
        (False, CriterionVerdict.MET): "stays within",
        (False, CriterionVerdict.NOT_MET): "reaches above",
    }[criterion.wants_more, one.verdict]
    return f"{whose}{show(one.found, form)} {side} {show(criterion.threshold, form)}"
