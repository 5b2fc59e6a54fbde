"""A patient's gradient and score depend on that patient alone, bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.engines import ENGINES, LayerGradients
from pipelines.gradients import scores
from pipelines.networks import build, load_parameters, parameters_of
from pipelines.steady import SteadyGradients, depends_on_own_row_only, steady_scores
from protocol.study_file import read_study
from tests.reference.per_patient_gradients import one_at_a_time

#: Networks and engines that can do them; one patient at a time shows nothing here and is slow.
FITTING = [
    *(("table", kind) for kind in ENGINES),
    *(("images", kind) for kind in ("layers", "vmap", "opacus")),
]
ROOT = Path(__file__).parent.parent


def network(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network with parameters so large that one bit decides a gradient, and its input's form."""
    if name == "images":
        study = read_study((ROOT / "examples" / "pneumonia" / "study.yaml").read_text())
        return build(study.task, study.cohort, 0), (1, 28, 28)
    text = (ROOT / "examples" / "heart-disease" / "study.yaml").read_text()
    study = read_study(text.replace("hidden: []", "hidden: [32]"))
    module = build(study.task, study.cohort, 0)
    generator = np.random.default_rng(1)
    crafted = {
        key: (generator.normal(size=value.shape) * 1e12).astype(np.float32)
        for key, value in parameters_of(module).items()
    }
    load_parameters(module, crafted)
    return module, (13,)


@pytest.mark.parametrize(("name", "kind"), FITTING)
@pytest.mark.parametrize("records", [1, 3])
def test_removing_a_patient_leaves_every_other_gradient_as_it_was(
    name: str, kind: str, records: int
) -> None:
    module, form = network(name)
    generator = np.random.default_rng(2)
    engine, places = SteadyGradients(ENGINES[kind]()), 16
    for filled in (16, 9, 2):
        features = np.zeros((places, records, *form), dtype=np.float32)
        labels = np.zeros((places, records), dtype=np.float32)
        features[:filled] = generator.normal(size=(filled, records, *form))
        labels[:filled] = generator.random((filled, records)) < 0.5
        whole = engine(module, features, labels, filled)
        without = np.zeros_like(features), np.zeros_like(labels)
        without[0][: filled - 1], without[1][: filled - 1] = features[1:filled], labels[1:filled]
        np.testing.assert_array_equal(engine(module, *without, filled - 1), whole[1:])


def test_scores_are_of_one_record_each(tmp_path: Path) -> None:
    for name in ("table", "images"):
        module, form = network(name)
        features = np.random.default_rng(3).normal(size=(70, *form)).astype(np.float32)
        np.testing.assert_array_equal(
            steady_scores(module, features[1:]), steady_scores(module, features)[1:]
        )
        np.testing.assert_allclose(
            steady_scores(module, features), scores(module, features), rtol=1e-3
        )
    assert steady_scores(module, features[:0]).shape == (0,)


def test_steady_gradients_equal_the_oracle() -> None:
    study = read_study((ROOT / "examples" / "pneumonia" / "study.yaml").read_text())
    module = build(study.task, study.cohort, 0)
    generator = np.random.default_rng(4)
    features = generator.normal(size=(4, 2, 1, 28, 28)).astype(np.float32)
    labels = (generator.random((4, 2)) < 0.5).astype(np.float32)
    found = SteadyGradients(LayerGradients())(module, features, labels, 3)
    oracle = one_at_a_time(
        module, torch.from_numpy(features[:3].reshape(6, 1, 28, 28)),
        torch.from_numpy(labels[:3].reshape(6)), [0, 0, 1, 1, 2, 2],
    )  # fmt: skip
    np.testing.assert_allclose(found, oracle, atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), FITTING)
def test_engine_of_a_network_computes_whole_micro_batches(
    name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If not, it would still be right, but many times slower."""
    module, form = network(name)
    caplog.set_level("INFO", "collegium.silo")
    features = np.zeros((64, 1, *form), dtype=np.float32)
    SteadyGradients(ENGINES[kind]())(module, features, features.reshape(64, -1)[:, :1], 1)
    assert "one patient at a time" not in caplog.text


class Leaky:
    """An engine in which every row depends on how many rows are filled, as BLAS's may."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(
        self,
        module: nn.Module,
        features: torch.Tensor,
        labels: torch.Tensor,
        patients: torch.Tensor,
    ) -> NDArray[np.float32]:
        self.calls.append(len(features))
        return (features + features.abs().sum() * 1e-6).numpy()


def test_an_engine_that_mixes_rows_is_found_and_computes_one_patient_at_a_time() -> None:
    engine = Leaky()
    steady = SteadyGradients(engine)
    features = np.ones((8, 1, 3), dtype=np.float32)
    rows = steady(nn.Identity(), features, np.zeros((8, 1), dtype=np.float32), 5)
    assert rows.shape == (5, 3)
    assert engine.calls[-5:] == [1] * 5
    assert not depends_on_own_row_only(lambda r: r + r.sum(), features[:, 0])
    assert depends_on_own_row_only(lambda r: r * 2, features[:, 0])
