"""A new study of every task is valid as it stands, and says what its records must hold."""

from pathlib import Path

import pytest

from collegium.studies.authoring.template import study_template
from collegium.studies.authoring.template_tasks import TEMPLATES
from pipelines.networks.networks import build
from protocol.errors import StudyRefused
from protocol.study.study_file import read_study
from protocol.study.task.task import LABEL_FORMS
from tests.support.machine.commands import ask

BINARY = "binary_classification"
#: Templates of binary classification that are not of a table.
IMAGES = {
    "image_classification": ("images", "Classifier"),
    "late_fusion": ("images with columns", "LateFusion"),
}


def test_every_task_has_a_template() -> None:
    made_elsewhere = {"monitoring"}  # by collegium monitor plan
    assert set(TEMPLATES) == {*LABEL_FORMS, *IMAGES} - made_elsewhere


@pytest.mark.parametrize("task", TEMPLATES)
def test_it_is_a_study_of_that_task_whose_network_can_be_built(task: str) -> None:
    study = read_study(study_template(task=task))
    assert study.task.kind == (BINARY if task in IMAGES else task)
    assert (study.cohort.contents, study.task.network.target) == IMAGES.get(
        task, (study.cohort.contents, study.task.network.target)
    )
    assert study.privacy.mode == "per_site"
    if study.trains:
        assert build(study.task, study.cohort, 1)


def test_only_what_a_plan_does_not_advise_is_said_not_to_be() -> None:
    assert "knows binary classification only" in study_template(task="regression")
    for task in IMAGES:
        assert "builds the network and advises others, as a guide" in study_template(task=task)


def test_another_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(StudyRefused, match="--template cox: one of binary_classification, "):
        study_template(task="cox")


def test_the_command_writes_it_and_the_check_takes_it(tmp_path: Path) -> None:
    to = tmp_path / "new.yaml"
    made = ask("study", "new", "--to", to, "--template", "survival")
    assert made.returncode == 0, made.stderr
    assert "published sources" in to.read_text()
    assert ask("study", "check", to).returncode == 0
    refused = ask("study", "new", "--to", tmp_path / "other.yaml", "--template", "none")
    assert refused.returncode == 2 and "--template none: there is none of" in refused.stderr
