"""The readers of every task that a study may name."""

from collections.abc import Iterator, Mapping

from compliance.estimates.groups import PATIENTS, GroupFigures, with_small_groups_withheld, withheld
from coordinator.rounds.evaluation.binary_classification import BINARY_CLASSIFICATION
from coordinator.rounds.evaluation.multiclass_classification import MULTICLASS_CLASSIFICATION
from coordinator.rounds.evaluation.multilabel_classification import MULTILABEL_CLASSIFICATION
from coordinator.rounds.evaluation.regression import REGRESSION
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    NoisedCounts,
    PartCounts,
    Released,
)
from coordinator.rounds.evaluation.segmentation import SEGMENTATION
from coordinator.rounds.evaluation.statistics import MONITORING, STATISTICS
from coordinator.rounds.evaluation.survival import SURVIVAL
from protocol.study.study import Study

#: Every reader by the ``kind`` that stands in a study's section ``task``.
READERS: Mapping[str, EvaluationReader] = {
    "binary_classification": BINARY_CLASSIFICATION,
    "multiclass_classification": MULTICLASS_CLASSIFICATION,
    "multilabel_classification": MULTILABEL_CLASSIFICATION,
    "regression": REGRESSION,
    "segmentation": SEGMENTATION,
    "statistics": STATISTICS,
    "monitoring": MONITORING,
    "survival": SURVIVAL,
}


#: Why groups are withheld whose counts are of different bins: it is rare, and another seed helps.
APART = "the hospitals' machines rounded the bins apart"


def released_of(study: Study, noised: NoisedCounts) -> Released:
    """Returns the released figures of an evaluation, which follow from its counts alone."""
    reader = READERS[study.task.kind]
    figures = reader.pooled(study, noised)
    return Released(
        figures=figures,
        sites={site: reader.part(study, part) for site, part in noised.sites.items()},
        groups=tuple(_groups(study, reader, noised)),
        risks=reader.risks(study, noised) if reader.risks else None,
        operating_points=reader.operating_points(study, noised) if reader.operating_points else (),
        columns=reader.columns(study, noised) if reader.columns else (),
        calibration=reader.calibration(study, noised) if reader.calibration else (),
        recalibration=reader.recalibration(noised, figures) if reader.recalibration else None,
        histograms=reader.histograms(study, noised) if reader.histograms else (),
        outcomes=reader.outcomes(study, noised) if reader.outcomes else (),
    )


def _groups(study: Study, reader: EvaluationReader, noised: NoisedCounts) -> Iterator[GroupFigures]:
    """Yields the figures of each group, grouping by grouping."""
    for (name, grouping), counts in zip(
        study.evaluation.groups.items(), noised.groups, strict=True
    ):
        parts = [PartCounts(cells, noised.deviation, noised.grid) for cells in counts]
        found = {
            group: {PATIENTS: reader.patients(part), **group_figures(study, part)}
            for group, part in zip(grouping.groups, parts, strict=True)
        }
        if reader.groups_add_up is None or reader.groups_add_up(study, noised):
            yield from with_small_groups_withheld(name, found)
            continue
        for group, figures in found.items():
            yield GroupFigures(grouping=name, group=group, figures=withheld(figures, APART))


def group_figures(study: Study, part: PartCounts) -> Figures:
    """Returns the figures of one group's counts."""
    reader = READERS[study.task.kind]
    return (reader.group or reader.part)(study, part)


def site_figures(study: Study, part: PartCounts) -> Figures:
    """Returns the figures of one site's own counts."""
    return READERS[study.task.kind].part(study, part)
