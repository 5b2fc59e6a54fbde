"""Targets: models of two bundled studies, trained here on half of the real records."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pipelines.cohort.loading import load_cohort
from pipelines.sources.source import BundledRecords, RecordFile, Source
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import Study
from protocol.study.study_file import read_study_file
from protocol.vectors.tensors import model_digest
from silos.results.inference.record_batches import batches_of
from silos.results.inference.scoring_model import ScoringModel
from tests import ROOT

#: Steps and rate of training: as far as it goes, so that there is something to copy.
_STEPS, _RATE, _DECAY = 400, 0.05, 1e-3
Features = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A model that is attacked, and real records that it was not trained on.

    Attributes:
        name: of the study and the network.
        model: ready to score.
        own: (records, width) encoded records that it was trained on.
        others: (records, width) encoded records of other patients.
    """

    name: str
    model: ScoringModel
    own: Features
    others: Features

    @property
    def cohort(self) -> TableCohort:
        """The study's contract."""
        cohort = self.model.study.cohort
        if not isinstance(cohort, TableCohort):
            raise TypeError("the targets are of tables")
        return cohort


def heart_disease(hidden: int) -> Target:
    """Returns a model of heart disease: logistic regression, or with a layer of hidden units."""
    heart = ROOT / "collegium" / "studies" / "heart_disease"
    study = read_study_file(heart / "study.yaml")
    sources = [RecordFile(path=path) for path in sorted(heart.glob("processed.*.data"))]
    name = f"heart disease, {f'{hidden} hidden' if hidden else 'logistic'}"
    return _target(name, study, sources, hidden)


def breast_cancer(hidden: int) -> Target:
    """Returns a model of breast cancer, with a layer of hidden units."""
    study = read_study_file(ROOT / "collegium" / "studies" / "breast-cancer.yaml")
    return _target(f"breast cancer, {hidden} hidden", study, [BundledRecords()], hidden)


def targets() -> list[Target]:
    """Returns logistic regression on heart disease, and a network with a layer of 16 on each."""
    return [heart_disease(0), heart_disease(16), breast_cancer(16)]


def network(width: int, hidden: int, seed: int = 1) -> nn.Module:
    """Returns a new network of these sizes; without hidden ones it is logistic regression."""
    torch.manual_seed(seed)
    if not hidden:
        return nn.Linear(width, 1)
    return nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1))


def trained(
    module: nn.Module,
    features: Features,
    risks: NDArray[np.float64],
    steps: int = _STEPS,
    decay: float = _DECAY,
) -> nn.Module:
    """Trains a network on records and their risks, all of them in each step; returns it."""
    given, wanted = torch.from_numpy(features), torch.from_numpy(risks).float()
    optimizer = torch.optim.Adam(module.parameters(), lr=_RATE, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(module(given)[:, 0], wanted).backward()
        optimizer.step()
    return module.eval()


def _target(name: str, study: Study, sources: Sequence[Source], hidden: int) -> Target:
    features, labels = [], []
    for source in sources:
        whole = load_cohort(study.cohort, source, site="all")
        (batch,) = batches_of(source, study.cohort, "all")
        if len(batch.features) != len(whole):
            raise RuntimeError("scoring takes in other records than training")
        features.append(batch.features)
        labels.append(whole.labels[np.argsort(whole.rows)])
    every, ill = np.concatenate(features), np.concatenate(labels)[:, None].ravel()
    order = np.random.default_rng(7).permutation(len(every))
    own, others = order[: len(order) // 2], order[len(order) // 2 :]
    module = trained(network(every.shape[1], hidden), every[own], ill[own].astype(np.float64))
    found = {n: p.detach().numpy() for n, p in module.named_parameters()}
    model = ScoringModel(
        study=study,
        digest=model_digest(found),
        snapshot=None,
        run="measured",
        vouched="trained here",
        module=module,
    )
    return Target(name=name, model=model, own=every[own], others=every[others])
