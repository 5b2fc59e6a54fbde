"""A late fusion is the sum of two networks, each of which sees its own input alone."""

import numpy as np
import pytest
import torch

from pipelines.attacks.inversion import best_match, first_layer, recover
from pipelines.gradients.engine_choice import engine_for
from pipelines.gradients.engines import OneAtATime
from pipelines.networks.networks import build, parameters_of
from pipelines.networks.reference_inputs import reference_inputs
from pipelines.tasks.registry import task_of
from pipelines.transforms.augmentation import augmenter_of
from protocol.encoding import digest
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.labels import ClassLabel
from protocol.study.task.adapters import Adapters
from protocol.study.task.augmentation import Augmentation
from protocol.study.task.networks.classifiers import Classifier, FullyConnectedNet
from protocol.study.task.networks.fusions import LateFusion
from protocol.study.task.pretrained import Pretrained
from protocol.study.task.task import BinaryClassification, MulticlassClassification
from protocol.vectors.tensors import encode_tensors, layout_of
from tests.support.machine.one_thread import one_thread  # noqa: F401
from tests.support.simulated.networks import COLUMNS, learned_by

SMALL = LateFusion(
    image=Classifier(channels=(4, 8), strides=(2, 2)),
    table=FullyConnectedNet(hidden_channels=(5,), act="tanh"),
)
WIDTH = 3
_, COHORT, _ = learned_by("LateFusion of Classifier")
PIXELS = 12 * 9


def drawn(count: int) -> torch.Tensor:
    return torch.randn(count, PIXELS + WIDTH, generator=torch.Generator().manual_seed(3))


def test_its_output_is_the_sum_of_what_its_parts_give() -> None:
    module = build(BinaryClassification(network=SMALL), COHORT, 1).eval()
    features = drawn(4)
    image = module.image(features[:, :PIXELS].reshape(4, 1, 12, 9))
    assert torch.equal(module(features), image + module.table(features[:, PIXELS:]))
    assert {name.split(".")[0] for name, _ in module.named_parameters()} == {"image", "table"}


def test_a_task_of_several_outputs_adds_them_one_by_one() -> None:
    label = ClassLabel(classes={"a": (0,), "b": (1,), "c": (2,)})
    cohort = COHORT.model_copy(update={"label": label})
    task = MulticlassClassification(kind="multiclass_classification", network=SMALL)
    assert build(task, cohort, 1)(drawn(4)).shape == (4, 3)


def test_biases_of_both_parts_add_up_to_the_logit_of_the_prevalence() -> None:
    task = BinaryClassification(network=SMALL, prevalence=0.1)
    last = []
    for part in build(task, COHORT, 1).children():
        layers = [layer for layer in part.modules() if isinstance(layer, torch.nn.Linear)]
        last.append(float(layers[-1].bias.detach()))
    assert sum(last) == pytest.approx(np.log(0.1 / 0.9))


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_a_patients_gradient_is_the_mean_of_one_backward_a_record(count: int) -> None:
    task = BinaryClassification(network=SMALL)
    module, learned = build(task, COHORT, 1), task_of(task, COHORT)
    features = drawn(3 * count).reshape(3, count, -1)
    labels = (torch.arange(3 * count) % 2).float().reshape(3, count)
    weights = torch.full((3, count), 1 / count)
    chosen = engine_for(task, COHORT, module, tuple(features.shape))
    assert chosen.name == "layers"
    rows = chosen.engine(features, labels, weights)
    slow = OneAtATime(module, learned.errors)(features, labels, weights)
    for patient, row in enumerate(rows):
        each = []
        for record, label in zip(features[patient], labels[patient], strict=True):
            loss = learned.loss(module(record[None]), label[None], torch.ones(1))
            parts = torch.autograd.grad(loss, [p for _, p in sorted(module.named_parameters())])
            each.append(torch.cat([part.reshape(-1) for part in parts]))
        torch.testing.assert_close(row, torch.stack(each).mean(dim=0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(row, slow[patient], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trained", ["table", "image.final", "image"])
def test_one_part_can_be_trained_alone(trained: str) -> None:
    task = BinaryClassification(network=SMALL, trained_layers=(trained,))
    module = build(task, COHORT, 1)
    names = [name for name, _ in module.named_parameters()]
    assert names and all(name.startswith(f"{trained}.") for name in names)
    assert engine_for(task, COHORT, module, (3, 2, PIXELS + WIDTH)).name == "layers"


def test_a_part_can_have_adapters() -> None:
    adapters = Adapters(rank=2, layers=("table.hidden_0",))
    task = BinaryClassification(network=SMALL, adapters=adapters)
    module = build(task, COHORT, 1)
    names = [name for name, _ in module.named_parameters()]
    assert names and all(name.startswith("table.hidden_0.") for name in names)
    assert engine_for(task, COHORT, module, (3, 2, PIXELS + WIDTH)).name == "layers"


def test_an_image_part_can_start_from_public_parameters() -> None:
    other = parameters_of(build(BinaryClassification(network=SMALL), COHORT, 9))
    given = {name: value for name, value in other.items() if name.startswith("image.")}
    data = encode_tensors(given)
    start = Pretrained(file="a.safetensors", sha256=digest(data), source="nobody's")
    start.attach(data)
    task = BinaryClassification(network=SMALL, pretrained=start, trained_layers=("table",))
    found = dict(build(task, COHORT, 1).named_buffers())
    for name, value in given.items():
        np.testing.assert_array_equal(found[name].numpy(), value)


def test_augmentation_varies_the_image_and_leaves_the_columns() -> None:
    turns = {"_target_": "RandShiftIntensityd", "prob": 1, "offsets": 1}
    augmentation = Augmentation.model_validate({"copies": 2, "transforms": [turns]})
    task = BinaryClassification(network=SMALL, augmentation=augmentation)
    augmenter = augmenter_of(task, COHORT)
    assert augmenter is not None
    features, labels = drawn(5).numpy(), np.zeros(5, np.float32)
    seeds = np.arange(5, dtype=np.uint32)
    varied, _ = augmenter(features, labels, seeds)
    assert (varied[:, :PIXELS] != features[:, :PIXELS]).all()
    np.testing.assert_array_equal(varied[:, PIXELS:], features[:, PIXELS:])
    np.testing.assert_array_equal(features, drawn(5).numpy())
    alone = augmenter_of(task, COHORT.model_copy(update={"columns": ()}))
    assert alone is not None
    images, _ = alone(features[:, :PIXELS].reshape(5, 1, 12, 9), labels, seeds)
    np.testing.assert_array_equal(varied[:, :PIXELS], images.reshape(5, -1))


def test_reference_inputs_are_images_and_rows_of_the_declared_columns() -> None:
    found = reference_inputs(COHORT, 1)
    images = reference_inputs(COHORT.model_copy(update={"columns": ()}), 1)
    assert found.shape == (256, PIXELS + WIDTH) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :PIXELS], images.reshape(256, -1))
    table = TableCohort(
        kind="table", patient_key="row", columns=(*COLUMNS, {"name": "y", "kind": "other"}),
        label={"column": "y", "positive": (1,), "negative": (0,)},
    )  # type: ignore[arg-type]  # fmt: skip
    assert found[:, PIXELS:].mean(0) == pytest.approx(reference_inputs(table, 1).mean(0), abs=0.2)
    assert set(np.unique(found[:, -2:])) == {0, 1}


def test_inversion_reads_the_columns_of_one_patient_from_a_bare_gradient() -> None:
    task = BinaryClassification(network=SMALL)
    module, learned, features = build(task, COHORT, 1), task_of(task, COHORT), drawn(6)
    layer = first_layer(module, WIDTH)
    assert layer is not None and layer.weight == "table.hidden_0.0.weight"
    one = (features[:1][None], torch.ones(1, 1), torch.ones(1, 1))
    gradient = OneAtATime(module, learned.errors)(*one)[0].double().numpy()
    found = recover(gradient, layout_of(parameters_of(module)), layer)
    assert best_match(found, features[:1, PIXELS:].numpy()) > 0.9999
    assert best_match(found, features[1:2, PIXELS:].numpy()) < 0.99
