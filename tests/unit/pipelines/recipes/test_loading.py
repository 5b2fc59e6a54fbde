"""A recipe's code: what is imported, what is refused, and the tests that it must pass."""

import os
import py_compile
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.networks.networks import build
from pipelines.recipes.admission import admit
from pipelines.recipes.loading import forget, recipe_failures
from pipelines.tasks.registry import task_of
from pipelines.transforms.augmentation import augmenter_of
from protocol.errors import FederationError, PolicyRefused, StudyRefused
from protocol.study.study import Study
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.trainer import Trainer, try_step
from tests.bench.studies import drawn_records, imaging
from tests.support.hospital.recipes import (
    NAME,
    imported,
    install,
    make_wheel,
    package_of,
    source,
    study_with,
)
from tests.support.simulated.studies import small_study

Given = Callable[..., Study]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """Installs a package of this source and returns an admitted study that uses it."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def made(body: str = "", study: Study | None = None, **task: Any) -> Study:
        wheel = make_wheel(tmp_path, source(body), more={"acme_recipes/late.py": "HERE = 1\n"})
        install(wheel, site)
        found = study_with(package_of(wheel), study, **task)
        admit(found.recipes[0], wheel)
        return found

    yield made
    forget(NAME)
    assert not imported()


def images() -> Study:
    return imaging(micro_batch=4, side=8, patients=8)


AUGMENTED = {"transforms": [{"_target_": f"{NAME}:RandInvertd", "prob": 0.5}], "copies": 2}


def test_network_loss_and_transform_of_a_recipe_train(given: Given) -> None:
    study = given(study=images(), augmentation=AUGMENTED)
    records = drawn_records(study, 8)
    trainer = Trainer(study, "east", records, records)
    assert trainer.engine == "layers"
    opinion = trainer.second_opinion(None, 0.0)
    assert float(opinion["engine_distance"] or 0) < 1e-6
    round_input = RoundInput(model=trainer.initial_model(), number=0, noise_multiplier=1.0)
    assert (trainer.update(round_input, SecretEntropy()).update != 0).all()


def test_a_recipes_loss_is_learned_by_and_the_tasks_counts_stay(given: Given) -> None:
    study = given()
    built_in, learned = task_of(small_study().task, study.cohort), task_of(study.task, study.cohort)
    assert (learned.counts, learned.scores) == (built_in.counts, built_in.scores)
    outputs = torch.linspace(-3, 3, 70)[:, None]
    labels, weights = (torch.arange(70) % 2).float(), torch.arange(70) % 3 / 2
    away = outputs.clone().requires_grad_()
    loss = learned.loss(away, labels, weights)
    (expected,) = torch.autograd.grad(loss, away)
    torch.testing.assert_close(learned.errors(outputs, labels, weights), expected)
    part = learned.errors(outputs[37:], labels[37:], weights[37:])
    assert torch.equal(part, learned.errors(outputs, labels, weights)[37:])


def test_arguments_and_names_are_the_recipes_own(given: Given) -> None:
    study = given(network={"_target_": f"{NAME}:TinyNet", "width": 30, "deep": True})
    with pytest.raises(StudyRefused, match="width: Input should be less than or equal to 9; deep"):
        build(study.task, study.cohort, 1)
    other = study.replaced(
        task=study.task.model_copy(
            update={"network": study.task.network.model_copy(update={"target": f"{NAME}:Other"})}
        )
    )
    with pytest.raises(StudyRefused, match="registers these networks: TinyNet"):
        build(other.task, other.cohort, 1)


def test_nothing_is_imported_where_nothing_was_admitted(tmp_path: Path, given: Given) -> None:
    admitted = given()
    study = Study.model_validate(admitted.model_dump())
    with pytest.raises(PolicyRefused, match="is not at hand here"):
        build(study.task, study.cohort, 1)
    assert not imported()


def test_a_file_that_is_changed_after_it_was_admitted_is_not_run(
    tmp_path: Path, given: Given
) -> None:
    study, package = given(), tmp_path / "site-packages" / "acme_recipes"
    build(study.task, study.cohort, 1)
    (package / "late.py").write_text("HERE = 2\n")
    with pytest.raises(PolicyRefused, match=r"late\.py was changed"):
        __import__("acme_recipes.late")
    (package / "later.py").write_text("HERE = 2\n")
    with pytest.raises(ModuleNotFoundError):
        __import__("acme_recipes.later")
    forget(NAME)
    with pytest.raises(PolicyRefused, match=r"late\.py was changed"):
        build(study.task, study.cohort, 2)


def test_a_forged_compiled_file_is_never_run(tmp_path: Path, given: Given) -> None:
    study, package = given(), tmp_path / "site-packages" / "acme_recipes"
    own, forged = package / "late.py", tmp_path / "late.py"
    forged.write_text("HERE = 3\n")
    stat = own.stat()
    os.utime(forged, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    tag = sys.implementation.cache_tag
    py_compile.compile(str(forged), cfile=str(package / "__pycache__" / f"late.{tag}.pyc"))
    build(study.task, study.cohort, 1)
    assert __import__("acme_recipes.late").late.HERE == 1


def test_what_was_imported_before_it_was_compared_is_refused(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = given()
    monkeypatch.setitem(sys.modules, "acme_recipes", sys)
    with pytest.raises(PolicyRefused, match="was imported in this process before"):
        build(study.task, study.cohort, 1)


def test_two_wheels_of_a_distribution_do_not_meet_in_a_process(
    given: Given, tmp_path: Path
) -> None:
    study = given()
    build(study.task, study.cohort, 1)
    other = given("SECOND = True")
    with pytest.raises(PolicyRefused, match="another: begin a new one"):
        build(other.task, other.cohort, 1)


MIXING = """
class Net(Net):
    def forward(self, rows):
        found = super().forward(rows)
        return found - found.mean(dim=0)
"""
BATCH_NORM = """
class Net(Net):
    def __init__(self, inputs, width, outputs):
        super().__init__(inputs, width, outputs)
        self.norm = nn.BatchNorm1d(width, affine=False)
    def forward(self, rows):
        return self.last(self.norm(self.first(rows.flatten(1))) + 0 * len(rows))
    def modules(self):
        return iter([self, self.first, self.last])
"""
RANDOM = """
class Net(Net):
    def forward(self, rows):
        return self.last(functional.dropout(self.first(rows.flatten(1))) + 1)
"""
WRONG_FORM = """
class Net(Net):
    def forward(self, rows):
        return super().forward(rows).repeat(1, 2)
"""
UNREACHED = """
class Net(Net):
    def __init__(self, inputs, width, outputs):
        super().__init__(inputs, width, outputs)
        self.spare = nn.Linear(2, 2)
"""
NO_NUMBER = """
def focal(settings):
    return lambda outputs, label: (outputs[0] - outputs[0]).sqrt()
"""
NOT_SCALAR = """
def focal(settings):
    return lambda outputs, label: outputs * label
"""
MEMORY = """
SEEN = []
def focal(settings):
    def loss(outputs, label):
        SEEN.append(1)
        return outputs[0] * len(SEEN)
    return loss
"""
NO_MODULE = """
def net(settings, shape, outputs):
    return lambda rows: rows
"""
ODD_NAME = """
class Net(Net):
    def __init__(self, inputs, width, outputs):
        super().__init__(inputs, width, outputs)
        self.register_parameter("NAME", nn.Parameter(torch.zeros(1)))
    def forward(self, rows):
        return super().forward(rows) + getattr(self, "NAME")
"""
REFUSED = {
    "a name behind every other": (ODD_NAME.replace("NAME", "\u00e4nd"), "other than ASCII letters"),
    "the name of the clip": (ODD_NAME.replace("NAME", "~clip"), "other than ASCII letters"),
    "mixing": (MIXING, "the records of one batch change each other's gradients"),
    "batch norm": (BATCH_NORM, "TinyNet|records"),
    "random": (RANDOM, "draws random numbers in training"),
    "form": (WRONG_FORM, r"gives \(2,\) for a record"),
    "unreached": (UNREACHED, "the loss does not reach parameter 'spare.bias'"),
    "no number": (NO_NUMBER, "gradient is not finite"),
    "not a number": (NOT_SCALAR, "acme-recipes:FocalLoss|a loss of one record"),
    "memory": (MEMORY, "draws random numbers in training, or remembers records"),
    "no module": (NO_MODULE, "its build gave no torch module"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_code_that_does_not_keep_the_rules_is_refused_when_a_hospital_joins(
    given: Given, name: str
) -> None:
    body, said = REFUSED[name]
    study = given(body)
    with pytest.raises(StudyRefused, match=said) as refused:
        try_step(study, "east", torch.device("cpu"))
    assert NAME in str(refused.value) or "TinyNet" in str(refused.value)


TRANSFORMS = {
    "another generator": (
        "import numpy\nclass Invert(Invert):\n    def __call__(self, data):\n"
        "        return {'image': data['image'] + numpy.random.random()}",
        "comes from its own R",
    ),
    "remembers": (
        "class Invert(Invert):\n    def __call__(self, data):\n"
        "        self.n = getattr(self, 'n', 0) + 1\n"
        "        return {'image': data['image'] * self.n}",
        "two results for one image",
    ),
    "not finite": (
        "class Invert(Invert):\n    def __call__(self, data):\n"
        "        return {'image': data['image'] / 0}",
        "not finite",
    ),
    "another form": (
        "class Invert(Invert):\n    def __call__(self, data):\n"
        "        return {'image': data['image'][:, :4]}",
        "a transform keeps its form",
    ),
    "no transform": ("Invert = lambda keys, prob: (lambda data: data)", "no random MONAI"),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_that_does_not_keep_the_rules_is_refused(given: Given, name: str) -> None:
    body, said = TRANSFORMS[name]
    study = given(body, images(), augmentation=AUGMENTED)
    with pytest.raises(StudyRefused, match=said) as refused:
        try_step(study, "east", torch.device("cpu"))
    assert f"{NAME}:RandInvertd" in str(refused.value)


FAILING = {
    "import": ('raise ValueError("a patient of 71")', "__init__|acme_recipes, line"),
    "build": (
        'def net(settings, shape, outputs):\n    raise ValueError("a patient of 71")',
        "acme_recipes, line",
    ),
    "transform": (
        "class Invert(Invert):\n    def __call__(self, data):\n"
        '        raise ValueError("a patient of 71")',
        "acme_recipes, line",
    ),
    "a refusal of its own": (
        "class Invert(Invert):\n    def __call__(self, data):\n"
        "        raise KeyError(float(data['image'].sum()))",
        "KeyError|RuntimeError",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_an_error_in_a_recipes_code_names_the_recipe_and_not_its_words(
    given: Given, name: str
) -> None:
    body, said = FAILING[name]
    study = given(body, images(), augmentation=AUGMENTED)
    with pytest.raises(StudyRefused, match=said) as refused:
        try_step(study, "east", torch.device("cpu"))
    assert "recipes: acme-recipes 1.2.0 failed with" in str(refused.value)
    assert "a patient of 71" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_error_elsewhere_is_not_laid_to_a_recipe() -> None:
    with pytest.raises(ZeroDivisionError), recipe_failures():
        1 / 0  # noqa: B018
    with pytest.raises(FederationError), recipe_failures():
        raise PolicyRefused("no")


def test_an_augmenter_of_a_recipe_follows_from_its_seed(given: Given) -> None:
    study = given(study=images(), augmentation=AUGMENTED)
    vary = augmenter_of(study.task, study.cohort)
    assert vary is not None
    drawn = np.random.default_rng(0).normal(size=(40, 1, 8, 8)).astype(np.float32)
    labels, seeds = np.zeros(40, np.float32), np.arange(40, dtype=np.uint32)
    found, _ = vary(drawn, labels, seeds)
    turned = (found == -drawn).all(axis=(1, 2, 3))
    assert 8 <= turned.sum() <= 32 and np.array_equal(found[~turned], drawn[~turned])
