"""Adapters begin by adding nothing, are all that is trained, and have right gradients."""

import numpy as np
import pytest
import torch

from pipelines.attacks.inversion import first_layer
from pipelines.gradients.engine_choice import TOLERANCE, engine_for
from pipelines.networks.adapters import Adapted
from pipelines.networks.networks import build, load_parameters, parameters_of
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.task.adapters import Adapters
from protocol.vectors.tensors import flatten
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.bench import studies
from tests.support.simulated.networks import learned_by
from tests.support.simulated.studies import changed

#: A network's name, the layers that get adapters, of which rank, and how many there are.
CASES = {
    "ViT": (("network.blocks",), 3, 8),
    "FullyConnectedNet": (("hidden_0",), 2, 1),
    "UNETR": (("vit.blocks.0.mlp", "vit.blocks.1.attn.qkv"), 2, 3),
}


def adapted(name: str, **update: object):  # type: ignore[no-untyped-def]
    task, cohort, form = learned_by(name)
    layers, rank, count = CASES[name]
    found = task.model_copy(update={"adapters": Adapters(rank=rank, layers=layers), **update})
    return task, found, cohort, form, count


@pytest.mark.parametrize("name", CASES)
def test_a_network_with_adapters_begins_as_the_network_itself(name: str) -> None:
    task, with_them, cohort, form, count = adapted(name)
    own, module = build(task, cohort, 3).eval(), build(with_them, cohort, 3).eval()
    features = torch.randn(3, *form)
    assert torch.equal(own(features), module(features))
    assert sum(isinstance(layer, Adapted) for layer in module.modules()) == count
    names = [name for name, _ in module.named_parameters()]
    assert len(names) == 2 * count
    assert {name.split(".")[-2] for name in names} == {"down", "up"}
    whole = sum(p.numel() for p in own.parameters())
    frozen = sum(b.numel() for n, b in module.named_buffers() if "." in n or b.is_floating_point())
    assert frozen >= whole


@pytest.mark.parametrize("name", CASES)
def test_engines_gradients_of_adapters_are_right(name: str) -> None:
    _, task, cohort, form, _ = adapted(name)
    module = build(task, cohort, 3)
    chosen = engine_for(task, cohort, module, (4, 2, *form))
    assert chosen.name == "layers" and chosen.distance < TOLERANCE / 1e9


def test_adapters_follow_from_the_seed_and_the_generator_stays_as_it_was() -> None:
    _, task, cohort, _, _ = adapted("ViT")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (flatten(parameters_of(build(task, cohort, s))) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_layers_that_are_trained_beside_adapters_are_trained_whole() -> None:
    head = ("network.classification_head",)
    _, task, cohort, form, count = adapted("ViT", trained_layers=head)
    names = [name for name, _ in build(task, cohort, 1).named_parameters()]
    assert len(names) == 2 * count + 2
    assert sum(name.startswith(head[0]) for name in names) == 2


def test_scale_multiplies_what_adapters_add() -> None:
    _, task, cohort, form, _ = adapted("ViT")
    features, found = torch.randn(2, *form), []
    for scale in (0.5, 1.0, 2.0):
        scaled = task.adapters.model_copy(update={"scale": scale})
        module = build(task.model_copy(update={"adapters": scaled}), cohort, 1).eval()
        parameters = parameters_of(module)
        load_parameters(module, {name: value + 0.1 for name, value in parameters.items()})
        layer = next(each for each in module.modules() if isinstance(each, Adapted))
        tokens = torch.ones(1, layer.base.in_features)
        found.append((layer(tokens) - layer.base(tokens)) / scale)
        assert module(features).isfinite().all()
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert torch.allclose(found[0], found[2], atol=1e-5) and found[0].abs().max() > 1e-3


def study_of(adapters: str) -> Study:
    sizes = "patch_size: 4, hidden_size: 8, mlp_dim: 16, num_layers: 1, num_heads: 2"
    network = f"{{_target_: ViT, {sizes}}}\n  adapters: {adapters}"
    return studies.imaging(micro_batch=4, side=8, patients=12, network=network)


def test_a_hospital_sends_adapters_alone() -> None:
    study = study_of("{rank: 2, layers: [network.blocks]}")
    data = studies.drawn_records(study, 12)
    trainer = Trainer(study, "east", data, data)
    model = trainer.initial_model()
    given = RoundInput(model=model, number=0, noise_multiplier=None)
    update = trainer.update(given, FixedEntropy(1, simulated=True)).update
    assert update.size == flatten(model).size == sum(v.size for v in model.values()) < 500
    assert update.any() and trainer.engine == "layers"


@pytest.mark.parametrize(
    ("adapters", "words"),
    [
        ("{rank: 2, layers: [blocks]}", "'blocks' is no linear layer and holds none; there are"),
        ("{rank: 2, layers: [network.norm]}", "'network.norm' is no linear layer"),
        ("{rank: 8, layers: [network.blocks]}", "rank: 8 is not below the 8 and 16 numbers"),
    ],
)
def test_layers_that_cannot_be_adapted_are_refused_by_name(adapters: str, words: str) -> None:
    study = study_of(adapters)
    with pytest.raises(StudyRefused, match=words):
        build(study.task, study.cohort, 1)


@pytest.mark.parametrize(
    "adapters", ["{rank: 0, layers: [a]}", "{rank: 2, layers: []}", "{rank: 2, layers: ['a b']}"]
)
def test_adapters_out_of_range_are_refused_with_their_line(adapters: str) -> None:
    with pytest.raises(StudyRefused, match=r"study:\d+: task\.adapters\."):
        read_study(changed("task:\n", f"task:\n  adapters: {adapters}\n"))


@pytest.mark.parametrize("trained", ["network.cls_token", "network.classification_head.bias"])
def test_a_parameter_beside_frozen_ones_can_be_trained(trained: str) -> None:
    """Opacus' hooks refuse such a network: it is then compared with one backward per record."""
    study = study_of(f"{{rank: 2, layers: [network.blocks]}}\n  trained_layers: [{trained}]")
    data = studies.drawn_records(study, 12)
    trainer = Trainer(study, "east", data, data)
    found = trainer.second_opinion(None, 1e-5)
    assert found["opacus_distance"] is None and float(str(found["engine_distance"])) < TOLERANCE


@pytest.mark.parametrize("frozen", [{"trained_layers": ("output",)}, {"adapters": True}])
def test_inversion_has_no_first_layer_where_it_is_frozen(frozen: dict[str, object]) -> None:
    task, with_adapters, cohort, (width,), _ = adapted("FullyConnectedNet")
    assert first_layer(build(task, cohort, 1), width) is not None
    module = build(
        with_adapters if "adapters" in frozen else task.model_copy(update=frozen), cohort, 1
    )
    assert first_layer(module, width) is None
