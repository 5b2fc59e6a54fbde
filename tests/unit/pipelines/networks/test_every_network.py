"""Every network on the list: built, told apart by patient, and right to the last digits."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.gradients.batch_invariance import RecordOutputs
from pipelines.gradients.clipping import clip_to_integers
from pipelines.gradients.engine_choice import engine_for
from pipelines.gradients.engines import OneAtATime
from pipelines.gradients.opacus_check import distances, refuse_unfit
from pipelines.networks.networks import build
from pipelines.tasks.registry import task_of
from protocol.study.rounds.noise_shares import units_for
from protocol.study.task.networks.registry import NETWORKS as LISTED
from tests.support.machine.one_thread import one_thread  # noqa: F401
from tests.support.simulated.networks import NETWORKS, learned_by

#: Beyond a second each, for their numbers or for how their gradients are computed.
LARGE = (
    "resnet18", "resnet34", "resnet50", "resnet10", "EfficientNetBN", "DenseNet121", "DenseNet169",
    "SegResNet", "DynUNet", "UNETR", "LateFusion",
)  # fmt: skip
EACH = [pytest.param(name, marks=pytest.mark.long if name in LARGE else ()) for name in NETWORKS]
#: Networks whose gradients Opacus' hooks do not compute.
WITHOUT_HOOKS = {
    "resnet10", "resnet18", "resnet34", "resnet50", "ViT", "DynUNet", "SegResNet",
    "LateFusion of ViT",
}  # fmt: skip


def test_every_network_of_the_list_is_tried() -> None:
    assert {name.partition(" of ")[0] for name in NETWORKS} == set(LISTED)


@pytest.mark.parametrize("name", EACH)
def test_it_gets_the_engine_that_it_names_and_its_gradients_are_right(name: str) -> None:
    (task, cohort, form), engine = learned_by(name), NETWORKS[name][2]
    module = build(task, cohort, 1)
    refuse_unfit(module)
    assert engine_for(task, cohort, module, (3, 2, *form)).name == engine
    found = distances(module, engine, form, task_of(task, cohort))
    assert found.one_backward < 1e-12
    assert (found.opacus is None) == (name in WITHOUT_HOOKS)
    assert found.opacus is None or found.opacus < 1e-12


@pytest.mark.parametrize("name", EACH)
def test_patients_of_1_to_20_records_have_integer_gradients_of_the_bound_at_most(name: str) -> None:
    task, cohort, form = learned_by(name)
    module, learned, random = (
        build(task, cohort, 1),
        task_of(task, cohort),
        np.random.default_rng(2),
    )
    counts = np.array([1, 20, 3])
    features = random.normal(size=(3, 20, *form)).astype(np.float32)
    labels = learned.drawn_labels(random, 60).reshape(
        3, 20, *learned.drawn_labels(random, 1).shape[1:]
    )
    weights = np.where(np.arange(20) < counts[:, None], 1 / counts[:, None], 0).astype(np.float32)
    chosen = engine_for(task, cohort, module, features.shape)
    given = (torch.from_numpy(features), torch.from_numpy(labels), torch.from_numpy(weights))
    rows = chosen.engine(*given).numpy()
    slow = OneAtATime(module, learned.errors)(*given).numpy()
    apart, norms = np.linalg.norm(rows - slow, axis=1), np.linalg.norm(slow, axis=1)
    assert (apart < 0.02 * norms.max()).all()  # float32: a unit at its kink may go either way
    units = units_for(rows.shape[1])
    for row in rows:
        alone = clip_to_integers(torch.from_numpy(row[None]), clip=0.5, units=units)
        assert sum(int(number) ** 2 for number in alone.tolist()) <= units**2


@pytest.mark.parametrize("name", EACH)
def test_nothing_in_it_mixes_records_draws_or_works_in_place(name: str) -> None:
    task, cohort, form = learned_by(name)
    module = build(task, cohort, 1)
    for layer in module.modules():
        assert not getattr(layer, "inplace", False)
        assert not isinstance(layer, nn.modules.batchnorm._BatchNorm)
        assert not isinstance(layer, nn.Dropout) or layer.p == 0
    random = np.random.default_rng(3)
    features = random.normal(size=(5, *form)).astype(np.float32)
    outputs = RecordOutputs(module, form)
    whole = outputs(features)
    np.testing.assert_array_equal(outputs(features[2:3])[0], whole[2])
