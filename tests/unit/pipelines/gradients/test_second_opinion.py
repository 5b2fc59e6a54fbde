"""Opacus has a say once, when a hospital joins: on the network, its gradients, and the price."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon
from compliance.privacy.events import SampledGaussian
from pipelines.gradients.engine_choice import (
    Sample,
    first_engine,
    moved_copy,
    one_backward_per_record,
)
from pipelines.gradients.engines import ENGINES, Errors
from pipelines.gradients.opacus_check import (
    distances,
    opacus_epsilon,
    opacus_gradients,
    refuse_unfit,
)
from pipelines.networks.networks import build
from pipelines.networks.registry import ARCHITECTURES, Architecture
from protocol.errors import StudyRefused
from protocol.study.task.networks.classifiers import FullyConnectedNet
from silos.training.second_opinion import require_not_cheaper, second_opinion_of
from silos.training.trainer import Trainer
from tests.bench import studies
from tests.support.simulated.tasks import BINARY_CLASSIFICATION
from tests.unit.pipelines.gradients.test_batch_invariance import LIGHT, SHIPPED, form_of

STUDY = studies.tabular(patients=150)
RECORDS = studies.drawn_records(STUDY, 20)


def joined() -> Trainer:
    return Trainer(STUDY, "east", RECORDS, RECORDS)


def plan() -> PrivacyPlan:
    found = PrivacyPlan.at(STUDY, "east")
    assert found is not None
    return found


@pytest.mark.parametrize("name", LIGHT)
def test_opacus_finds_every_network_that_ships_fit_and_computes_the_same(name: str) -> None:
    study, _ = SHIPPED[name]
    module = build(study.task, study.cohort, 1)
    refuse_unfit(module)
    engine = "layers" if name in ("gelu", "prelu") else first_engine(study.task)
    found = distances(module, engine, form_of(study), BINARY_CLASSIFICATION)
    assert 0 <= found.one_backward < 1e-5
    assert name == "vit" if found.opacus is None else 0 <= found.opacus < 1e-5
    assert not any(hasattr(p, "grad_sample") for p in module.parameters())


def test_the_two_oracles_share_no_code_and_agree() -> None:
    module = moved_copy(build(STUDY.task, STUDY.cohort, 1))
    sample = Sample.drawn((studies.FEATURES,), BINARY_CLASSIFICATION)
    ours, theirs = (
        oracle(module, sample, BINARY_CLASSIFICATION.loss)
        for oracle in (one_backward_per_record, opacus_gradients)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.linalg.norm(theirs, axis=1).min() > 0


def test_a_network_that_mixes_patients_is_refused_when_a_hospital_joins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = joined()
    trainer._module = nn.Sequential(nn.BatchNorm1d(studies.FEATURES), nn.Linear(13, 1))
    with pytest.raises(StudyRefused, match="Opacus 1.* finds it unfit: BatchNorm"):
        trainer.second_opinion(None, 0.0)


def test_a_layer_in_place_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> nn.Module:
        return nn.Sequential(nn.Linear(13, 4), nn.ReLU(inplace=True), nn.Linear(4, 1))

    own = Architecture(build=made, engine="chain")
    monkeypatch.setitem(ARCHITECTURES, FullyConnectedNet, own)
    assert not build(STUDY.task, STUDY.cohort, 1)[1].inplace  # type: ignore[index, union-attr]


class Shrunk:
    """An engine that is wrong by one part in a hundred."""

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._right = ENGINES["layers"](module, errors)

    def __call__(self, *given: torch.Tensor) -> NDArray[np.float32]:
        return self._right(*given) * np.float32(0.99)


def test_gradients_that_are_not_opacus_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = joined()
    monkeypatch.setitem(ENGINES, "chain", Shrunk)  # type: ignore[arg-type]
    with pytest.raises(StudyRefused, match="'chain' are 1.0e-02 of their norm away from one back"):
        trainer.second_opinion(None, 0.0)
    monkeypatch.setattr(
        "pipelines.gradients.opacus_check.one_backward_per_record",
        lambda *given: one_backward_per_record(*given) * np.float32(0.99),
    )
    with pytest.raises(StudyRefused, match="away from Opacus"):
        trainer.second_opinion(None, 0.0)


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "delta"),
    [(1.844, 0.05, 200, 1e-6), (0.6957, 0.05, 100, 1e-5), (10.0, 1.0, 8, 1e-4)],
)
def test_opacus_accountant_and_ours_agree_within_its_error(
    noise: float, rate: float, steps: int, delta: float
) -> None:
    event = SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps)
    theirs = opacus_epsilon(
        noise_multiplier=noise, sampling_rate=rate, steps=steps, delta=delta, error=0.01
    )
    ours = epsilon(event, delta)
    assert ours - 1e-3 <= theirs <= ours + 0.021
    require_not_cheaper(ours, theirs)
    with pytest.raises(StudyRefused, match="Opacus' accountant finds"):
        require_not_cheaper(0.97 * ours - 0.01, theirs)


def test_a_plan_that_claims_less_than_it_costs_is_refused() -> None:
    """As it would be if the accounting here forgot half of the steps."""
    honest = plan()
    found = second_opinion_of(joined(), honest)
    assert found.opacus_epsilon is not None and found.opacus_epsilon >= honest.epsilon - 1e-3
    half = replace(honest.training, steps=honest.training.steps // 2)
    with pytest.raises(StudyRefused, match="one of the two is wrong"):
        second_opinion_of(joined(), replace(honest, epsilon=epsilon(half, honest.delta)))


def test_a_study_without_privacy_has_no_price_to_compare() -> None:
    found = second_opinion_of(joined(), None)
    assert found.opacus_epsilon is None and found.opacus_distance is not None
    assert found.torch == torch.__version__ and found.opacus[0].isdigit()
