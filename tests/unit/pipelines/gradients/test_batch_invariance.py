"""A patient's gradient and score depend on that patient alone, bit for bit."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.gradients.batch_invariance import (
    RecordOutputs,
    depends_on_own_row_only,
    without_subnormals,
)
from pipelines.gradients.clipping import scores
from pipelines.gradients.engine_choice import engine_for, right_engine
from pipelines.gradients.engines import ENGINES, Errors
from pipelines.networks.networks import build, load_parameters, parameters_of
from pipelines.networks.registry import engine_of
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests import ROOT
from tests.bench import studies
from tests.support.machine.one_thread import one_thread  # noqa: F401
from tests.support.machine.short_form import short_form
from tests.support.simulated.tasks import BINARY_CLASSIFICATION

DEMO = (ROOT / "collegium" / "studies" / "breast-cancer.yaml").read_text()


def table(hidden: str, activation: str = "tanh") -> Study:
    return read_study(
        DEMO.replace("hidden_channels: [8]", f"hidden_channels: {hidden}").replace(
            "tanh", activation
        )
    )


def images(network: str, side: int, columns: str = "") -> Study:
    return studies.imaging(micro_batch=16, side=side, network=network, columns=columns)


COLUMNS = "{name: age, kind: number, range: [-9, 9]}, {name: sex, kind: category, values: [f, m]}"


#: Every network that ships, in forms of a micro-batch that leave something over everywhere.
SHIPPED: dict[str, tuple[Study, tuple[tuple[int, int], ...]]] = {
    "logistic regression": (table("[]"), ((64, 1), (37, 3), (5, 1), (256, 8))),
    "tanh": (table("[8]"), ((58, 1), (64, 1), (37, 3), (10, 1))),
    "relu": (table("[13, 5]", "relu"), ((58, 1), (64, 1), (37, 3), (1, 8))),
    "relu of 8": (table("[8]", "relu"), ((58, 1), (64, 1))),
    "gelu": (table("[8]", "gelu"), ((64, 1), (37, 3))),
    "prelu": (table("[8]", "prelu"), ((64, 1), (37, 3))),
    "classifier": (
        images("{_target_: Classifier, channels: [8, 16], strides: [2, 2]}", 28),
        ((64, 1), (37, 3), (10, 1)),
    ),
    "odd classifier": (
        images("{_target_: Classifier, channels: [5, 7], strides: [2, 1], kernel_size: 5}", 13),
        ((37, 2), (6, 1)),
    ),
    "densenet": (images("{_target_: DenseNet121}", 32), ((2, 1),)),
    "vit": (
        images(
            "{_target_: ViT, patch_size: 4, hidden_size: 12, mlp_dim: 24, num_layers: 2, "
            "num_heads: 3}",
            8,
        ),
        ((5, 2), (7, 1)),
    ),
    "late fusion": (
        images(
            "{_target_: LateFusion, image: {_target_: Classifier, channels: [8, 5], strides: "
            "[2, 2]}, table: {_target_: FullyConnectedNet, hidden_channels: [7], act: tanh}}",
            13,
            COLUMNS,
        ),
        ((37, 3), (10, 1), (3, 20)),
    ),
}


def form_of(study: Study) -> tuple[int, ...]:
    return study.cohort.record_form


@pytest.mark.parametrize("name", short_form(SHIPPED, 3))
def test_every_network_that_ships_gets_the_fast_engine_that_it_names(name: str) -> None:
    """If not, it would still be right, but many times slower."""
    study, forms = SHIPPED[name]
    module = build(study.task, study.cohort, 1)
    named = engine_of(study.task.network)
    wanted = "layers" if name in ("gelu", "prelu") else named
    for form in forms:
        assert engine_for(study.task, study.cohort, module, (*form, *form_of(study))).name == wanted


def crafted(module: nn.Module, seed: int) -> None:
    """Loads numbers so large that one bit decides a gradient."""
    generator = np.random.default_rng(seed)
    load_parameters(
        module,
        {
            key: (generator.normal(size=value.shape) * 1e4).astype(np.float32)
            for key, value in parameters_of(module).items()
        },
    )


#: DenseNet121 takes half a second for a few small images: its engine is tried above.
LIGHT = [name for name in SHIPPED if name != "densenet"]


@pytest.mark.parametrize("name", short_form(LIGHT, 2))
@pytest.mark.parametrize("extreme", [False, True])
def test_removing_a_patient_leaves_every_other_gradient_as_it_was(name: str, extreme: bool) -> None:
    study, forms = SHIPPED[name]
    module = build(study.task, study.cohort, 0)
    if extreme:
        crafted(module, 1)
    generator = np.random.default_rng(2)
    for places, records in forms:
        shape = (places, records, *form_of(study))
        engine = engine_for(study.task, study.cohort, module, shape).engine
        features = generator.normal(size=shape).astype(np.float32)
        labels = (generator.random(shape[:2]) < 0.5).astype(np.float32)
        weights = np.where(np.arange(records) < 2, 1 / min(records, 2), 0) * np.ones(shape[:2])
        weights = weights.astype(np.float32)
        whole = rows_of(engine, features, labels, weights)
        for first in {1, places // 2, places - 1} - {0, places}:
            without = [np.zeros_like(a) for a in (features, labels, weights)]
            for target, source in zip(without, (features, labels, weights), strict=True):
                target[: places - first] = source[first:]
            found = rows_of(engine, *without)
            np.testing.assert_array_equal(found[: places - first], whole[first:])


def rows_of(engine: object, *arrays: NDArray[np.float32]) -> NDArray[np.float32]:
    return engine(*map(torch.from_numpy, arrays)).numpy()  # type: ignore


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("extreme", [False, True])
def test_scores_are_of_one_record_each(name: str, extreme: bool) -> None:
    study, _ = SHIPPED[name]
    module = build(study.task, study.cohort, 0)
    if extreme:
        crafted(module, 1)
    given = RecordOutputs(module, form_of(study))
    assert given.rows == 64
    features = np.random.default_rng(3).normal(size=(70, *form_of(study))).astype(np.float32)
    whole = given(features)
    np.testing.assert_array_equal(given(features[1:]), whole[1:])
    np.testing.assert_array_equal(given(features[::-1].copy()), whole[::-1])
    np.testing.assert_allclose(whole, scores(module, features)[:, None], rtol=1e-3, atol=1e-4)
    assert given(features[:0]).shape == (0, 1)


class Leaky(nn.Module):
    """A network in which every row depends on who else is there, as BLAS's may."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        others = features.detach().abs().sum() * 1e-6 if len(features) > 2 else 0.0
        return self.last(features + others)  # type: ignore[no-any-return]


def test_a_network_that_mixes_rows_is_found(caplog: pytest.LogCaptureFixture) -> None:
    """``vmap`` shows the network one patient at a time; scores come in calls of one record."""
    caplog.set_level("INFO", "collegium.silo")
    torch.manual_seed(0)
    module = Leaky()
    assert right_engine(module, (8, 1, 3), "layers", BINARY_CLASSIFICATION).name == "vmap"
    assert "gradients by 'layers' let patients of one batch touch" in caplog.text
    assert RecordOutputs(module, (3,)).rows == 1


def test_the_test_sees_a_row_that_moves_goes_or_changes() -> None:
    example = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    places = np.arange(8, dtype=np.float32)[:, None]
    assert depends_on_own_row_only(lambda rows: rows * 2, example)
    assert not depends_on_own_row_only(lambda rows: rows + rows.sum(), example)
    assert not depends_on_own_row_only(lambda rows: rows + places * 1e-3, example)


@pytest.mark.parametrize("name", ["tanh", "logistic regression"])
def test_no_coordinator_chooses_the_numbers_of_the_test(name: str) -> None:
    """All zeros round alike in any order: with them as parameters every engine would pass."""
    study, _ = SHIPPED[name]
    module = build(study.task, study.cohort, 0)
    load_parameters(module, {k: np.zeros_like(v) for k, v in parameters_of(module).items()})
    ENGINES_BEFORE = dict(ENGINES)
    shape = (64, 1, *form_of(study))
    try:
        ENGINES["chain"] = Unpadded  # type: ignore[index]
        found = engine_for(study.task, study.cohort, module, shape)
    finally:
        ENGINES["chain"] = ENGINES_BEFORE["chain"]  # type: ignore[index]
    assert found.name != "chain"


class Unpadded:
    """Gradients of the first layer that differ by the row they stand in, unless all is zero."""

    def __init__(self, module: nn.Module, errors: Errors) -> None:
        self._right = ENGINES["layers"](module, errors)

    def __call__(
        self, features: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> NDArray[np.float32]:
        rows = self._right(features, labels, weights)
        if len(rows) > 4:
            rows[1::2] *= np.float32(1 + 2**-23)
        return rows


def test_numbers_below_the_normal_range_count_as_zero_inside_and_as_they_are_outside() -> None:
    tiny = torch.full((4,), 1e-30)
    with without_subnormals():
        assert (tiny * 1e-10).abs().sum() == 0
    assert (tiny * 1e-10).abs().sum() > 0
