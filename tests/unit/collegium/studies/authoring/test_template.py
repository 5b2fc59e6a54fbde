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


def test_every_task_has_a_template() -> None:
    assert set(TEMPLATES) == set(LABEL_FORMS)


@pytest.mark.parametrize("task", TEMPLATES)
def test_it_is_a_study_of_that_task_whose_network_can_be_built(task: str) -> None:
    study = read_study(study_template(task=task))
    assert study.task.kind == task and study.privacy.mode == "per_site"
    assert build(study.task, study.cohort, 1)


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
    assert refused.returncode == 2 and "--template none: one of" in refused.stderr
