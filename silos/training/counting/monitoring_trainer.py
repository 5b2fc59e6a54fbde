"""The counter of a monitoring study: columns as in statistics, and a released model's scores.

The model's parameters came with the study, whose text the hospital approved and which names them
by their digest. Scores never leave: each patient counts in one bin of a grid that the study fixes.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.gradients.batch_invariance import RecordOutputs
from pipelines.networks.networks import build
from pipelines.records import Records
from protocol.study.cohort.cohort import Cohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.vocabulary import canonical_token
from protocol.study.study import Study
from protocol.study.task.monitoring import Monitoring, ScoredModel
from protocol.study.task.task import BinaryClassification
from silos.training.counting.column_trainer import ColumnTrainer, Floats

Singles = NDArray[np.float32]


class MonitoringTrainer(ColumnTrainer):
    """Counts every patient of one hospital for one release of a calendar.

    The work is the same for any patients: as many places as the study declares are scored.

    Raises:
        StudyRefused: the model's file is not at hand, or does not fit the network or the records.
    """

    def __init__(self, study: Study, site: str, train: Records, test: Records) -> None:
        super().__init__(study, site, train, test)
        model = study.task.model if isinstance(study.task, Monitoring) else None
        self._scores = None if model is None else ScoreBins(model, study.cohort)

    def _values(self) -> Iterator[Floats]:
        """Yields the (places, columns) values, the bin of the score behind those of the records."""
        if self._scores is None:
            yield from super()._values()
            return
        for features, labels, weights in self._parts():
            values = self._counter.values(features, labels, weights)
            yield np.column_stack([values, self._scores(features, weights > 0)])


class ScoreBins:
    """The bin of each patient's score by a released model.

    A patient's score is the mean logit of its records, as in the model's evaluation.

    Args:
        model: the model, its grid, and what stands for missing cells.
        cohort: by which records are encoded.
    """

    def __init__(self, model: ScoredModel, cohort: Cohort) -> None:
        task = BinaryClassification(network=model.network, pretrained=model.pretrained)
        self._outputs = RecordOutputs(build(task, cohort, 0), cohort.record_form)
        self._edges = np.array(model.edges)
        self._stands_in = stand_ins(model, cohort)

    def __call__(self, features: Singles, present: NDArray[np.bool_]) -> Floats:
        """Returns the (patients,) number of each one's bin; NaN where none of its records has one.

        Args:
            features: (patients, records, width), NaN where a cell is missing.
            present: (patients, records), whether there is a record.
        """
        filled = np.where(np.isnan(features), self._stands_in, features)
        scored = present & ~np.isnan(filled).any(axis=-1)
        rows = np.nan_to_num(filled).astype(np.float32).reshape(-1, features.shape[-1])
        logits = self._outputs(rows)[:, 0].astype(np.float64).reshape(present.shape)
        scored &= np.isfinite(logits)
        count = scored.sum(axis=1)
        total = np.where(scored, logits, 0.0).sum(axis=1)
        bins = np.searchsorted(self._edges, total / np.maximum(count, 1), side="right")
        return np.where(count > 0, bins.astype(np.float64), np.nan)


def stand_ins(model: ScoredModel, cohort: Cohort) -> Singles:
    """Returns the (width,) encoded numbers that stand for missing cells; NaN where none does."""
    blocks: list[Singles] = []
    for column in cohort.features:
        said = model.impute.get(column.name)
        if said is None:
            blocks.append(np.full(column.width, np.nan, dtype=np.float32))
        elif isinstance(column, NumberColumn):
            number = (float(said) - column.centre) / column.scale
            blocks.append(np.array([number], dtype=np.float32))
        else:
            place = column.tokens.index(canonical_token(said))
            blocks.append(np.eye(len(column.tokens), dtype=np.float32)[place][1:])
    return np.concatenate(blocks)
