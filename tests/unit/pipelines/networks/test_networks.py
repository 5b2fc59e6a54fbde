"""Networks are functions of the seed, ready for per-patient gradients, and strictly loaded."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.networks.networks import OnLine, build, load_parameters, parameters_of
from protocol.errors import MessageRefused, StudyRefused
from protocol.study.cohort.cohort import Image, ImageCohort, TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import BinaryLabel
from protocol.study.task.networks.classifiers import Classifier, DenseNet, FullyConnectedNet
from protocol.study.task.task import BinaryClassification
from protocol.vectors.tensors import flatten, layout_of, model_digest, unflatten

LABEL = BinaryLabel(column="y", positive=(1,), negative=(0,))
TABLE = TableCohort(
    kind="table",
    patient_key="row",
    columns=tuple(NumberColumn(name=f"x{i}", kind="number", range=(-9, 9)) for i in range(5)),
    label=LABEL,
)
HIDDEN = BinaryClassification(network=FullyConnectedNet(hidden_channels=(7,)))


def images(*shape):
    return ImageCohort(
        kind="images",
        patient_key="row",
        label=LABEL,
        image=Image(shape=shape, range=(0, 1), centre=0, scale=1),
    )


def convolution(channels=(4, 8), strides=(2, 2), kernel_size=3):
    network = Classifier(channels=channels, strides=strides, kernel_size=kernel_size)
    return BinaryClassification(network=network)


DENSE = BinaryClassification(network=DenseNet())
CASES = [(DENSE, images(32, 40), (1, 32, 40)), (DENSE, images(32, 32, 32), (1, 32, 32, 32))]
CASES += [(HIDDEN, TABLE, (5,)), (convolution(), images(28, 28), (1, 28, 28))]
CASES.append((convolution(), images(8, 9, 10), (1, 8, 9, 10)))


@pytest.mark.parametrize(("task", "cohort", "shape"), CASES)
def test_network_gives_one_logit_per_record(task, cohort, shape):
    module = build(task, cohort, seed=1)
    assert module(torch.zeros(3, *shape)).shape == (3, 1)


@pytest.mark.parametrize(("task", "cohort", "shape"), CASES)
def test_initial_parameters_follow_from_the_seed_alone(task, cohort, shape):
    torch.manual_seed(99)
    digests = [model_digest(parameters_of(build(task, cohort, seed))) for seed in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    build(HIDDEN, TABLE, seed=2**53 - 1)
    assert torch.equal(torch.rand(3), expected)


def test_logistic_regression_starts_from_zero():
    task = BinaryClassification(network=FullyConnectedNet())
    tensors = parameters_of(build(task, TABLE, seed=7))
    assert layout_of(tensors).size == TABLE.width + 1
    assert not flatten(tensors).any()


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "prelu"])
def test_networks_have_nothing_that_breaks_per_patient_gradients(activation):
    network = FullyConnectedNet(hidden_channels=(4, 3), act=activation)
    for module in (
        build(BinaryClassification(network=network), TABLE, 1),
        build(convolution(), images(28, 28), 1),
        build(DENSE, images(32, 32), 1),
    ):
        assert not [m for m in module.modules() if getattr(m, "inplace", False)]
        assert not [m for m in module.modules() if isinstance(m, nn.Dropout | nn.BatchNorm2d)]
        assert not list(module.buffers())


def test_densenet121_has_its_size_and_group_norm_everywhere():
    module = build(DENSE, images(64, 64), 1)
    assert sum(parameter.numel() for parameter in module.parameters()) == 6_948_609
    norms = [layer for layer in module.modules() if isinstance(layer, nn.GroupNorm)]
    assert len(norms) == 121 and {layer.num_groups for layer in norms} == {8}


def test_densenet121_takes_groups_that_divide_every_layers_channels():
    five = DenseNet(norm=("group", {"num_groups": 5}))
    with pytest.raises(StudyRefused, match="DenseNet121: .* 5 groups do not divide them"):
        build(BinaryClassification(network=five), images(32, 32), 1)


@pytest.mark.parametrize(("task", "cohort", "shape"), CASES)
def test_load_is_the_inverse_of_read(task, cohort, shape):
    module, other = build(task, cohort, 1), build(task, cohort, 2)
    tensors = parameters_of(other)
    vector = flatten(tensors)
    load_parameters(module, unflatten(layout_of(tensors), vector))
    assert np.array_equal(flatten(parameters_of(module)), vector)


def test_read_parameters_are_a_copy():
    module = build(HIDDEN, TABLE, 1)
    tensors = parameters_of(module)
    for tensor in tensors.values():
        tensor += 1
    assert not np.array_equal(flatten(parameters_of(module)), flatten(tensors))


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_other_layout_is_refused_and_changes_nothing(change):
    module = build(HIDDEN, TABLE, 1)
    before = flatten(parameters_of(module))
    tensors = {name: tensor + 1 for name, tensor in parameters_of(module).items()}
    name = sorted(tensors)[-1]
    if change == "missing":
        del tensors[name]
    elif change == "unknown":
        tensors["extra"] = np.zeros(1, np.float32)
    else:
        tensors[name] = tensors[name].reshape(1, *tensors[name].shape)
    with pytest.raises(MessageRefused, match="missing or unknown|expected"):
        load_parameters(module, tensors)
    assert np.array_equal(flatten(parameters_of(module)), before)


@pytest.mark.parametrize(
    ("task", "cohort", "message"),
    [
        (convolution((4,) * 5, (2,) * 5), images(16, 16), "after layer 4 images of .* one pixel"),
        (convolution((4,), (8,)), images(5, 8), "down to one pixel"),
        (convolution(), TABLE, "Classifier needs a cohort of kind images"),
        (DENSE, images(28, 64), r"DenseNet121 needs images of 32 pixels a side .* \(28, 64\)"),
        (DENSE, TABLE, "DenseNet121 needs a cohort of kind images"),
        (HIDDEN, images(28, 28), "FullyConnectedNet needs a cohort of kind table"),
        (convolution((4096, 4096), (1, 1)), images(64, 64), "1.* parameters, at most 100000000"),
    ],
)
def test_network_that_does_not_fit_is_refused(task, cohort, message):
    with pytest.raises(StudyRefused, match=message):
        build(task, cohort, seed=1)


def test_logits_on_a_line_are_those_of_the_network_moved_and_in_the_same_order() -> None:
    module = torch.nn.Linear(3, 1)
    records = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    plain, moved = module(records), OnLine(module, intercept=-1.5, slope=0.5)(records)
    torch.testing.assert_close(moved, -1.5 + 0.5 * plain)
    assert moved.argsort(dim=0).equal(plain.argsort(dim=0))
