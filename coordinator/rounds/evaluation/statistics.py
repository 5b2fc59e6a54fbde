"""Statistics and monitoring: numbers of patients, and figures of every column, of noised sums."""

from compliance.estimates.column_figures import (
    ColumnFigures,
    column_figures,
    counted_patients,
)
from compliance.estimates.drift.histograms import NoisedHistogram
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    NoisedCounts,
    PartCounts,
)
from protocol.study.study import Study
from protocol.study.task.monitoring import SCORE
from protocol.study.task.statistics import Statistics
from protocol.vectors.column_counts import PATIENTS, places


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    return {"patients": counted_patients(float(noised.pooled[PATIENTS]), noised.deviation)}


def _part(study: Study, part: PartCounts) -> Figures:
    return {"patients": counted_patients(float(part.cells[0]), part.deviation)}


def _columns(study: Study, noised: NoisedCounts) -> tuple[ColumnFigures, ...]:
    if not isinstance(study.task, Statistics):
        raise ValueError(f"task {study.task.kind} counts no columns")
    patients = float(noised.pooled[PATIENTS])
    return tuple(
        column_figures(
            column, patients, noised.pooled[begin : begin + column.size], noised.deviation
        )
        for column, begin in places(study.task.columns(study.cohort))
    )


def _histograms(study: Study, noised: NoisedCounts) -> tuple[NoisedHistogram, ...]:
    if not isinstance(study.task, Statistics):
        raise ValueError(f"task {study.task.kind} counts no columns")
    features = {column.name for column in study.cohort.features}
    return tuple(
        NoisedHistogram(
            name=column.name,
            parts=column.parts,
            counts=tuple(map(float, noised.pooled[begin + 1 : begin + column.size])),
            missing=float(noised.pooled[begin]),
            patients=float(noised.pooled[PATIENTS]),
            deviation=noised.deviation,
            is_ordered=column.range is not None or column.name == SCORE,
            compares_missing=column.name in features,
        )
        for column, begin in places(study.task.columns(study.cohort))
    )


STATISTICS = EvaluationReader(pooled=_pooled, part=_part, columns=_columns)
MONITORING = EvaluationReader(pooled=_pooled, part=_part, columns=_columns, histograms=_histograms)
