"""The figures that a study will release, so that no criterion names one that it never will."""

from collections.abc import Collection, Iterator, Mapping

from compliance.facts.figures import TASK_FIGURES, FigureKind, figure_kind
from compliance.facts.named_figures import RISK_FIGURES
from protocol.errors import StudyRefused
from protocol.study.cohort.labels import ClassLabel, FindingsLabel, MaskLabel
from protocol.study.study import Study, SuccessCriterion, nearest
from protocol.study.task.task import (
    BinaryClassification,
    MulticlassClassification,
    Segmentation,
    Survival,
)

#: Bins of a hospital's own counts, or of a group's, from which an AUROC follows.
_BINS_OF_AUROC = 3


def require_releasable(study: Study) -> None:
    """Checks that a study will release every figure of its preregistration, and that it can reach.

    Raises:
        StudyRefused: one line for each criterion that no run could ever decide, or meet.
    """
    problems = [f"{path}: {why}" for path, why in _problems(study)]
    if problems:
        raise StudyRefused("\n".join(problems))


def released_names(study: Study) -> Mapping[str, Collection[str]]:
    """Returns the names of the figures that a study releases, by the scope of a criterion."""
    task = study.task
    figures, evaluation = TASK_FIGURES[task.kind], study.evaluation
    binary = isinstance(task, BinaryClassification)
    whole = [kind.name for kind in figures.pooled]
    if isinstance(task, MulticlassClassification) and task.confidence:
        whole += [kind.name for kind in figures.asked]
    if binary:
        whole += RISK_FIGURES
    site = [kind.name for kind in figures.site]
    if binary and evaluation.site_bins >= _BINS_OF_AUROC:
        site.append("auroc")
    group = [
        kind.name
        for kind in figures.group
        if not (binary and kind.name == "auroc" and evaluation.group_bins < _BINS_OF_AUROC)
    ]
    outcome = [kind.name for kind in figures.outcome]
    if isinstance(task, Segmentation) and not task.distances:
        outcome.remove("hausdorff")
    if isinstance(task, Survival) and task.loss != "hazard":
        outcome.remove("predicted_event_free")
    return {
        "all": tuple(dict.fromkeys(whole)),
        "every_hospital": site,
        "hospital_gap": site,
        "every_group": group,
        "group_gap": group,
        "outcome": outcome,
    }


def outcome_names(study: Study) -> tuple[str, ...]:
    """Returns the names of the outcomes that a study tells apart: classes, findings, times."""
    label, task = study.cohort.label, study.task
    if isinstance(task, Survival):
        return tuple(f"at {time:g}" for time in task.times)
    if isinstance(task, Segmentation) and isinstance(label, MaskLabel):
        return tuple([*label.classes][1:])
    if isinstance(task, MulticlassClassification) and isinstance(label, ClassLabel):
        return tuple(label.classes)
    return tuple(label.findings) if isinstance(label, FindingsLabel) and study.has_model else ()


def _problems(study: Study) -> Iterator[tuple[str, str]]:
    said = study.preregistration
    if said is None:
        return
    names, outcomes = released_names(study), outcome_names(study)
    for place, one in enumerate(said.success):
        path = f"preregistration.success.{place}"
        known = [*names[one.of]]
        if one.figure not in known:
            there = f"; of {one.of} it releases {', '.join(known)}" if known else ""
            hint = nearest(one.figure, known)
            yield f"{path}.figure", f"this study never releases {one.figure!r}{hint}{there}"
            continue
        if one.outcome is not None and one.outcome not in outcomes:
            hint = nearest(one.outcome, [*outcomes])
            yield (
                f"{path}.outcome",
                f"this study has no outcome {one.outcome!r}{hint}; it has {', '.join(outcomes)}",
            )
        if (why := _unreachable(one, figure_kind(one.figure))) is not None:
            yield f"{path}.{'at_least' if one.wants_more else 'at_most'}", why


def _unreachable(one: SuccessCriterion, kind: FigureKind) -> str | None:
    """Returns why no value of a figure reaches a threshold; None where one can."""
    low, high = kind.low, kind.high
    if one.of in ("hospital_gap", "group_gap"):
        high = None if low is None or high is None else high - low
        low = 0.0
    if one.wants_more and high is not None and one.threshold > high:
        return f"{one.figure} is never more than {high:g}: no run could reach {one.threshold:g}"
    if not one.wants_more and low is not None and one.threshold < low:
        return f"{one.figure} is never less than {low:g}: no run could reach {one.threshold:g}"
    return None
