"""What a study may say of recipes: names, plain arguments, and packages; no code is needed."""

import json
from typing import Any

import pytest

from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.task.augmentation import Augmentation
from protocol.study.task.recipes import RecipeUse
from protocol.study.variants import question
from tests.support.simulated.studies import SURVIVAL_STUDY, TABLE_STUDY, changed, small_study

PACKAGE = f"recipes: [{{distribution: acme-recipes, version: 1.2.0, sha256: {'ab' * 32}}}]\n"
NETWORK = '  network: {_target_: "acme-recipes:TinyNet", width: 8, names: [a, b], deep: true}\n'


def with_recipe(network: str = NETWORK, packages: str = PACKAGE) -> str:
    old = "  network: {_target_: FullyConnectedNet, hidden_channels: [4]}\n"
    return changed(old, network) + packages


def test_a_study_without_recipes_keeps_its_digest() -> None:
    assert "recipes" not in json.loads(small_study().canonical_bytes)
    assert "loss" not in json.loads(small_study().canonical_bytes)["task"]


def test_a_recipes_network_is_part_of_the_study_with_its_arguments() -> None:
    study = read_study(with_recipe())
    network = study.task.network
    assert isinstance(network, RecipeUse)
    assert (network.distribution, network.name) == ("acme-recipes", "TinyNet")
    assert network.given == {"width": 8, "names": ("a", "b"), "deep": True}
    assert network.package is study.recipes[0] and str(network.package) == "acme-recipes 1.2.0"
    again = Study.model_validate(json.loads(study.canonical_bytes))
    assert again.digest == study.digest
    other = read_study(with_recipe(NETWORK.replace("width: 8", "width: 9")))
    assert other.digest != study.digest and other.task.network != study.task.network
    newer = read_study(with_recipe(packages=PACKAGE.replace("1.2.0", "1.3.0")))
    assert question(newer) != question(study) == question(study.with_seed(9))


def test_a_survival_task_takes_a_recipes_loss() -> None:
    text = SURVIVAL_STUDY.replace(
        "task:\n", 'task:\n  loss: {_target_: "acme-recipes:Pairs", k: 2}\n'
    )
    study = read_study(text + PACKAGE)
    assert list(study.task.recipe_uses) == ["task.loss"]


REFUSED = {
    "no package": (with_recipe(packages=""), "of a package that the study does not name"),
    "another package": (
        with_recipe(NETWORK.replace("acme-recipes", "other")),
        "add other with its version and its wheel's sha256 under recipes (named: acme-recipes)",
    ),
    "nothing used": (TABLE_STUDY + PACKAGE, "nothing of acme-recipes is used"),
    "two versions": (
        with_recipe(packages=PACKAGE[:-2] + PACKAGE[9:].replace("[", ", ").replace("1.2", "1.3")),
        "a distribution is named twice",
    ),
    "a module": (
        with_recipe('  network: {_target_: "os:path.join"}\n'),
        "a recipe's name is its package and its own, as in acme-recipes:TinyNet",
    ),
    "an object": (
        with_recipe(NETWORK.replace("deep: true", "deep: {a: 1}")),
        "an argument of a recipe is a truth value, a finite number",
    ),
    "a long list": (
        with_recipe(NETWORK.replace("[a, b]", str(list(range(65))))),
        "a list of up to 64",
    ),
    "a long text": (with_recipe(NETWORK.replace("[a, b]", "x" * 201)), "of 200 letters at most"),
    "no number": (with_recipe(NETWORK.replace("width: 8", "width: .inf")), "finite number"),
    "many": (
        with_recipe(NETWORK.replace("deep: true", ", ".join(f"a{n}: 1" for n in range(33)))),
        "35 arguments, at most 32",
    ),
    "no name": (with_recipe(NETWORK.replace("deep", '"a-b"')), "is no name of an argument"),
    "a version": (with_recipe(packages=PACKAGE.replace("1.2.0", "latest")), "recipes[0].version"),
    "a digest": (with_recipe(packages=PACKAGE.replace("ab" * 32, "ab")), "recipes[0].sha256"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recipe_is_refused_with_its_line(name: str) -> None:
    text, said = REFUSED[name]
    with pytest.raises(StudyRefused) as refused:
        read_study(text, "s.yaml")
    assert said in str(refused.value)
    assert str(refused.value).startswith("s.yaml:")


@pytest.mark.parametrize(
    "transform", [{"_target_": "acme-recipes:RandInvertd"}, {"_target_": "acme-recipes:X", "p": 1}]
)
def test_a_transform_may_be_a_recipes(transform: dict[str, Any]) -> None:
    found = Augmentation.model_validate({"transforms": [transform]})
    assert found.model_dump(mode="json")["transforms"] == [transform]
