"""A released model ready to score: its study, its network with its parameters, its digests."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.networks.networks import build, load_parameters
from protocol.errors import MessageRefused, StudyRefused
from protocol.study.study import Study
from protocol.study.task.statistics import Statistics
from protocol.vectors.tensors import Tensors, model_digest
from silos.results.inference.scores import Score, margins_of, score_names, scores_of

#: Records that the network is given at once.
_AT_ONCE = 1024
#: So many numbers at once at most: of large images, fewer records.
_NUMBERS = 1 << 22


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoringModel:
    """A model that scores records.

    Attributes:
        study: that it was trained by.
        digest: of its parameters.
        snapshot: the digest of the signed snapshot that names it; None where a hospital's kept run
            does.
        run: where it was trained.
        vouched: who vouches that it is the run's final model, for people.
        module: the network with its parameters.
    """

    study: Study
    digest: str
    snapshot: str | None
    run: str
    vouched: str
    module: nn.Module

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of a record's scores, in the order in which they are written."""
        return score_names(self.study.task, self.study.cohort.label)

    def outputs(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the network's (records, outputs, ...) numbers of some encoded records."""
        width = max(1, int(np.prod(features.shape[1:], dtype=np.int64)))
        at_once = max(1, min(_AT_ONCE, _NUMBERS // width))
        found = []
        with torch.inference_mode():
            for begin in range(0, len(features), at_once):
                given = torch.from_numpy(np.ascontiguousarray(features[begin : begin + at_once]))
                found.append(self.module(given).double().numpy())
        return np.concatenate(found)

    def scores(self, outputs: NDArray[np.float64]) -> list[Score]:
        """Returns the scores that outputs stand for, of each record."""
        return scores_of(self.study.task, self.study.cohort.label, outputs)

    def margins(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns how far each record is from where the decision changes, see ``margins_of``."""
        return margins_of(self.study.task, outputs)

    @property
    def contract(self) -> dict[str, object]:
        """The contract: what a record must hold, what comes back; the study's declarations."""
        task, label = self.study.task, self.study.cohort.label
        return {
            "model": self.digest,
            "snapshot": self.snapshot,
            "run": self.run,
            "vouched": self.vouched,
            "study": self.study.digest,
            "study_name": self.study.name,
            "licence": "" if self.study.release is None else self.study.release.licence,
            "permitted_use": "" if self.study.release is None else self.study.release.permitted_use,
            "task": task.kind,
            "scores": list(self.score_names),
            "label": label.model_dump(mode="json", exclude={"clinical"}),
            "columns": [
                column.model_dump(mode="json", exclude={"clinical"})
                for column in self.study.cohort.features
            ],
        }


def scoring_model(
    study: Study, tensors: Tensors, *, run: str, snapshot: str | None, vouched: str
) -> ScoringModel:
    """Returns a model ready to score; its parameters' digest has been held to what was signed.

    Raises:
        StudyRefused: the study has no model, or needs pretrained parameters that are missing.
        MessageRefused: the parameters are not those of its network.
    """
    if isinstance(study.task, Statistics):
        raise StudyRefused(f"study {study.name} counts columns: it has no model that scores")
    module = build(study.task, study.cohort, study.seeds.model)
    try:
        load_parameters(module, tensors)
    except MessageRefused as error:
        raise MessageRefused(
            f"the model's file does not fit the study's network ({error}). Where hospitals keep "
            "layers of their own, it is no whole model: score with this hospital's own (--own)"
        ) from error
    return ScoringModel(
        study=study,
        digest=model_digest(tensors),
        snapshot=snapshot,
        run=run,
        vouched=vouched,
        module=module.eval(),
    )
