"""The readers of every task that a study may name."""

from collections.abc import Mapping

from coordinator.evaluation.binary_classification import BINARY_CLASSIFICATION
from coordinator.evaluation.multiclass_classification import MULTICLASS_CLASSIFICATION
from coordinator.evaluation.multilabel_classification import MULTILABEL_CLASSIFICATION
from coordinator.evaluation.regression import REGRESSION
from coordinator.evaluation.released import (
    EvaluationReader,
    Figures,
    Floats,
    NoisedCounts,
    Released,
)
from coordinator.evaluation.segmentation import SEGMENTATION
from coordinator.evaluation.statistics import STATISTICS
from coordinator.evaluation.survival import SURVIVAL
from protocol.study.study import Study

#: Every reader by the ``kind`` that stands in a study's section ``task``.
READERS: Mapping[str, EvaluationReader] = {
    "binary_classification": BINARY_CLASSIFICATION,
    "multiclass_classification": MULTICLASS_CLASSIFICATION,
    "multilabel_classification": MULTILABEL_CLASSIFICATION,
    "regression": REGRESSION,
    "segmentation": SEGMENTATION,
    "statistics": STATISTICS,
    "survival": SURVIVAL,
}


def released_of(study: Study, noised: NoisedCounts) -> Released:
    """Returns the released figures of an evaluation, which follow from its counts alone."""
    reader = READERS[study.task.kind]
    return Released(
        figures=reader.pooled(study, noised),
        sites={
            site: reader.site(study, table, noised.table_deviations[site])
            for site, table in noised.tables.items()
        },
        risks=reader.risks(study, noised) if reader.risks else None,
        operating_points=reader.operating_points(study, noised) if reader.operating_points else (),
        columns=reader.columns(study, noised) if reader.columns else (),
    )


def site_figures(study: Study, table: Floats, deviation: float) -> Figures:
    """Returns the figures of one site's (4,) own counts with this noise."""
    return READERS[study.task.kind].site(study, table, deviation)
