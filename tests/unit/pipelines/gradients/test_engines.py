"""Engines against one backward at a time, and the choice of one that is right."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.gradients.clipping import clip_to_integers
from pipelines.gradients.engine_choice import engine_for, right_engine
from pipelines.gradients.engines import ENGINES, LayerGradients
from pipelines.networks.networks import build, load_parameters, parameters_of
from pipelines.networks.registry import ARCHITECTURES
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.labels import BinaryLabel, ClassLabel
from protocol.study.task.networks.classifiers import Classifier, DenseNet, FullyConnectedNet
from protocol.study.task.networks.fusions import LateFusion
from protocol.study.task.networks.registry import NETWORKS, Network
from protocol.study.task.task import BinaryClassification, MulticlassClassification
from protocol.vectors.tensors import flatten
from tests.support.machine.short_form import short_form
from tests.support.reference.per_patient_gradients import (
    clipped_exactly,
    exact_norm_squared,
    one_at_a_time,
)
from tests.support.simulated.tasks import BINARY_CLASSIFICATION

TABLE = TableCohort(
    kind="table",
    patient_key="row",
    columns=tuple(NumberColumn(name=f"x{i}", kind="number", range=(-9, 9)) for i in range(5)),
    label=BinaryLabel(column="y", positive=(1,), negative=(0,)),
)
IMAGES = ImageCohort.model_validate(
    {
        "kind": "images",
        "patient_key": "row",
        "label": {"positive": [1], "negative": [0]},
        "image": {"shape": [8, 9], "range": [0, 1], "centre": 0, "scale": 1},
    }
)
LOGISTIC = (BinaryClassification(network=FullyConnectedNet()), TABLE, (5,))
HIDDEN = (
    BinaryClassification(network=FullyConnectedNet(hidden_channels=(7, 3))),
    TABLE,
    (5,),
)
PRELU = (
    BinaryClassification(network=FullyConnectedNet(hidden_channels=(4,), act="prelu")),
    TABLE,
    (5,),
)
CONVOLUTION = (
    BinaryClassification(network=Classifier(channels=(3, 4), strides=(2, 1))),
    IMAGES,
    (1, 8, 9),
)
TANH = (
    BinaryClassification(network=FullyConnectedNet(hidden_channels=(4, 6), act="tanh")),
    TABLE,
    (5,),
)
CASES = [LOGISTIC, HIDDEN, PRELU, TANH, CONVOLUTION]


def batch(shape, counts, seed=0):
    """Returns features, labels and weights of patients with the given numbers of records.

    Places behind a patient's last record hold zeros and have weight 0.
    """
    random = np.random.default_rng(seed)
    most = max(counts)
    present = np.arange(most) < np.array(counts)[:, None]
    features = random.normal(size=(len(counts), most, *shape)) * present.reshape(
        *present.shape, *[1] * len(shape)
    )
    labels = (random.random(present.shape) < 0.5) & present
    weights = present / np.array(counts)[:, None]
    return [torch.from_numpy(a.astype(np.float32)) for a in (features, labels, weights)]


def by_oracle(module, features, labels, weights):
    """One plain backward for every record that is there, and each patient's mean."""
    present = weights > 0
    owners = np.nonzero(present.numpy())[0].tolist()
    return one_at_a_time(module, features[present], labels[present], owners)


def engine_that_can(name, module):
    """An engine by name; skips where the engine says that it cannot do this network."""
    try:
        return ENGINES[name](module, BINARY_CLASSIFICATION.errors)
    except NotImplementedError as error:
        assert name == "chain"
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "counts", short_form([range(1, 21), [1] * 6, [20], [3, 1, 2], [4, 4, 4]], 2)
)
def test_engine_equals_one_backward_per_record(name, case, counts):
    task, cohort, shape = case
    module = build(task, cohort, seed=3)
    given = batch(shape, list(counts))
    fast = engine_that_can(name, module)(*given)
    slow = by_oracle(module, *given)
    assert fast.dtype == torch.float32 and fast.shape == slow.shape
    assert np.abs(fast.numpy() - slow).max() <= 1e-5 * np.linalg.norm(slow, axis=1).max()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", [HIDDEN, CONVOLUTION])
def test_clipped_gradients_equal_brute_force_for_patients_of_1_to_20_records(name, case):
    """One backward a record, means, clipping in rational arithmetic: within one unit in 10,000."""
    task, cohort, shape = case
    module = build(task, cohort, seed=3)
    given = batch(shape, list(range(1, 21)))
    rows = engine_that_can(name, module)(*given)
    slow = by_oracle(module, *given)
    for clip in (0.05, 100.0):  # all are shortened, and none
        brute = np.array([clipped_exactly(row, clip, 2**17) for row in slow])
        each = [clip_to_integers(r[None], clip=clip, units=2**17).numpy() for r in rows]
        found = np.array(each)
        assert np.abs(found - brute).max() <= 13
        assert all(exact_norm_squared(row) <= 2**34 for row in found)
        assert np.array_equal(clip_to_integers(rows, clip=clip, units=2**17), found.sum(axis=0))


@pytest.mark.parametrize("name", ENGINES)
def test_engine_leaves_module_and_batch_as_they_were(name):
    module = build(HIDDEN[0], TABLE, seed=3).eval()
    before = flatten(parameters_of(module))
    given = batch((5,), [2, 1])
    kept = [tensor.clone() for tensor in given]
    ENGINES[name](module, BINARY_CLASSIFICATION.errors)(*given)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))
    assert np.array_equal(flatten(parameters_of(module)), before)
    assert not module.training and not given[0].requires_grad
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(layer._forward_hooks for layer in module.modules())
    assert not any("forward" in vars(layer) for layer in module.modules())


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", [HIDDEN, CONVOLUTION])
def test_one_patients_nan_stays_with_that_patient(name, case):
    task, cohort, shape = case
    module = build(task, cohort, seed=3)
    features, labels, weights = batch(shape, [1, 2, 1])
    engine = engine_that_can(name, module)
    clean = engine(features, labels, weights)
    features[0] = float("nan")
    rows = engine(features, labels, weights)
    assert not rows[0].isfinite().all()
    assert torch.equal(rows[1:], clean[1:])


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", [HIDDEN, PRELU, CONVOLUTION])
def test_engine_computes_with_what_is_loaded_into_its_network(name, case):
    task, cohort, shape = case
    module, other = build(task, cohort, 3), build(task, cohort, 4)
    engine = engine_that_can(name, module)
    load_parameters(module, parameters_of(other))
    found = engine(*batch(shape, [1, 1]))
    again = ENGINES[name](other, BINARY_CLASSIFICATION.errors)(*batch(shape, [1, 1]))
    assert np.array_equal(found, again)


class Image(nn.Module):
    """Every kind of layer that the table of layers knows, in one network of one logit."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
        transposed = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[axes]
        instance = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[axes]
        self.layers = nn.Sequential(
            convolution(1, 4, 3, padding=1), nn.PReLU(), nn.GroupNorm(2, 4),
            convolution(4, 8, 2, stride=2, groups=2, bias=False), nn.PReLU(8),
            transposed(8, 4, 3, stride=2, padding=1, output_padding=1), instance(4, affine=True),
            convolution(4, 4, 1), convolution(4, 4, 3, dilation=2),
        )  # fmt: skip
        self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens = self.layers(features).flatten(2).transpose(1, 2)
        return self.last(self.norm(tokens)).mean(dim=1)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 2], [2, 1]])
@pytest.mark.parametrize("max_grouped", [0, 10**6])
def test_every_layer_of_the_table_has_the_right_gradient(axes, counts, max_grouped, monkeypatch):
    monkeypatch.setattr("pipelines.gradients.layer_rules._MAX_GROUPED", max_grouped)
    torch.manual_seed(0)
    module = Image(axes)
    given = batch((1,) + (8,) * axes, counts)
    fast = LayerGradients(module, BINARY_CLASSIFICATION.errors)(*given).numpy()
    slow = by_oracle(module, *given)
    assert np.abs(fast - slow).max() <= 1e-4 * np.linalg.norm(slow, axis=1).max()


def test_every_network_of_the_table_names_an_engine():
    assert {*ARCHITECTURES, LateFusion} == set(NETWORKS.values())  # which is made of two
    assert {one.engine for one in ARCHITECTURES.values()} <= set(ENGINES)
    assert list(ENGINES)[-1] == "one at a time"
    assert "opacus" not in ENGINES  # it is the second opinion


@pytest.mark.parametrize("case", [LOGISTIC, HIDDEN, TANH, CONVOLUTION])
def test_networks_get_the_engine_they_name(case):
    task, cohort, shape = case
    chosen = engine_for(task, cohort, build(task, cohort, 3), (6, 2, *shape))
    assert chosen.name == ARCHITECTURES[type(task.network)].engine and chosen.distance < 1e-5


@pytest.mark.long
def test_densenet121_has_right_gradients_layer_by_layer():
    task = BinaryClassification(network=DenseNet())
    cohort = IMAGES.model_copy(
        update={"image": IMAGES.image.model_copy(update={"shape": (32, 32)})}
    )
    module = build(task, cohort, 3)
    assert engine_for(task, cohort, module, (2, 1, 1, 32, 32)).name == "layers"


def test_an_engine_that_cannot_is_skipped_with_a_line_in_the_log(caplog):
    caplog.set_level(logging.INFO, "collegium.silo")
    chosen = engine_for(PRELU[0], TABLE, build(PRELU[0], TABLE, 3), (6, 2, 5))
    assert chosen.name == "layers"
    assert "gradients by 'chain' are skipped: NotImplementedError" in caplog.text


class Scaled(torch.autograd.Function):
    """A custom operation whose backward is right for one record at a time only."""

    @staticmethod
    def forward(context, values, factor):
        context.save_for_backward(values, factor)
        return values * factor

    @staticmethod
    def backward(context, gradient):
        values, factor = context.saved_tensors
        return gradient * factor, (gradient * values).sum(0)


class Custom(nn.Module):
    """A parameter of its own, outside any layer that an engine knows."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.last = nn.Parameter(torch.ones(5)), nn.Linear(5, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.last(Scaled.apply(features, self.factor))


def test_a_custom_operation_is_computed_one_patient_at_a_time(caplog):
    caplog.set_level(logging.INFO, "collegium.silo")
    assert (
        right_engine(Custom(), (3, 2, 5), "layers", BINARY_CLASSIFICATION).name == "one at a time"
    )
    for name in ("chain", "layers", "vmap"):
        assert f"gradients by {name!r} are" in caplog.text


class Windows(nn.Module):
    """Folds a record's windows into the batch, as SwinUNETR does: hooks see too many records."""

    def __init__(self, mixes: bool = False) -> None:
        super().__init__()
        self.window, self.last = nn.Linear(2, 3), nn.Linear(6, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        windows = self.window(features.reshape(-1, 2)).tanh()
        return self.last(windows.reshape(len(features), 6))


def test_network_that_folds_windows_into_the_batch_gets_right_gradients():
    module = Windows()
    given = batch((4,), [1, 2, 1])
    engine = right_engine(module, tuple(given[0].shape), "layers", BINARY_CLASSIFICATION).engine
    assert np.allclose(engine(*given), by_oracle(module, *given), atol=1e-6)


class Segmentation(nn.Module):
    """One logit of a network that gives an image: its mean."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.network(features).flatten(1).mean(dim=1, keepdim=True)


def rearrange(tensor: torch.Tensor, pattern: str) -> torch.Tensor:
    """What SwinUNETR asks of einops, which is not installed: axes in another order."""
    before, after = (side.split() for side in pattern.split("->"))
    return tensor.permute([before.index(axis) for axis in after])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_swin_unetr_which_the_layer_engine_cannot_do_gets_a_right_engine(caplog, monkeypatch):
    from monai.networks.nets.swin_unetr import SwinUNETR

    monkeypatch.setattr("monai.networks.nets.swin_unetr.rearrange", rearrange)
    caplog.set_level(logging.INFO, "collegium.silo")
    torch.manual_seed(0)
    network = SwinUNETR(in_channels=1, out_channels=1, feature_size=12, spatial_dims=2)
    chosen = right_engine(Segmentation(network), (2, 1, 1, 64, 64), "layers", BINARY_CLASSIFICATION)
    assert "gradients by 'layers' are" in caplog.text
    assert chosen.name in ("vmap", "one at a time")  # whether rows touch is the machine's


class Unseen(nn.Module):
    """Uses a layer's weight once more behind its back, where no hook sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        again = (features.tanh() * self.last.weight).sum(dim=-1, keepdim=True)
        return self.last(features) + again


def test_an_engine_that_is_silently_wrong_is_found_and_skipped(caplog):
    caplog.set_level(logging.INFO, "collegium.silo")
    assert right_engine(Unseen(), (3, 2, 5), "layers", BINARY_CLASSIFICATION).name == "vmap"
    assert "gradients by 'layers' are wrong by" in caplog.text


class Remembers(nn.Module):
    """Adds a little of the record before."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.memory = nn.Linear(5, 1), torch.zeros(5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        before, self.memory = self.memory, features[-1].detach()
        return self.last(features + 0.1 * before)


class Branch(nn.Module):
    """Has a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(5, 1), nn.Linear(5, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.used(features)


class Centred(nn.Module):
    """Takes the batch's mean away: gradients of a patient's records depend on each other."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.last(features - 0.5 * features.mean(dim=0))


def frozen() -> nn.Module:
    module = nn.Linear(5, 1)
    module.bias.requires_grad_(False)
    return module


REFUSED = {
    "dropout": (nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.3), nn.Linear(4, 1)),
                "layer '1' draws random numbers in training"),
    "memory": (Remembers(), "remembers records"),
    "batch norm": (nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 1)), "one record alone"),
    "unused": (Branch(), "does not reach parameter 'unused.bias'"),
    "frozen": (frozen(), "parameter 'bias' is frozen"),
    "mean": (Centred(), "change each other's gradients"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_network_without_gradients_per_patient_is_refused_by_name(name):
    module, message = REFUSED[name]
    with pytest.raises(StudyRefused, match=message):
        right_engine(module, (3, 2, 5), "layers", BINARY_CLASSIFICATION)


def test_choosing_leaves_network_and_generator_as_they_were():
    module = build(HIDDEN[0], TABLE, 3).eval()
    before, state = flatten(parameters_of(module)), torch.get_rng_state()
    right_engine(module, (3, 2, 5), "chain", BINARY_CLASSIFICATION)
    assert np.array_equal(flatten(parameters_of(module)), before) and not module.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("network", "cohort", "shape", "engine"),
    [
        (FullyConnectedNet(hidden_channels=(7, 3)), TABLE, (5,), "chain"),
        (FullyConnectedNet(hidden_channels=(4,), act="gelu"), TABLE, (5,),
         "layers"),
        (Classifier(channels=(3, 4), strides=(2, 1)), IMAGES, (1, 8, 8),
         "layers"),
    ],
)  # fmt: skip
def test_networks_with_several_outputs_get_the_engines_that_they_name(
    network: Network, cohort: TableCohort | ImageCohort, shape: tuple[int, ...], engine: str
) -> None:
    label = ClassLabel(column="y", classes={"a": (0,), "b": (1,), "c": (2,)})
    update = {"label": label}
    if isinstance(cohort, ImageCohort):
        update["image"] = cohort.image.model_copy(update={"shape": shape[1:]})  # type: ignore[assignment]
    cohort = cohort.model_copy(update=update)
    task = MulticlassClassification(kind="multiclass_classification", network=network)
    module = build(task, cohort, 3)
    found = engine_for(task, cohort, module, (6, 2, *shape))
    assert found.name == engine and found.distance < 1e-5
    assert module(torch.zeros(2, *shape)).shape == (2, 3)
