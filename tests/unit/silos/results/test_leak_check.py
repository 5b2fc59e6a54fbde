"""A hospital's own check of what a model gives away of its patients; nothing of it leaves."""

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from pipelines.attacks.membership import overtrained
from pipelines.networks.networks import build, parameters_of
from pipelines.records import Records
from protocol.errors import PolicyRefused
from protocol.study.study_file import read_study
from silos.isolation.own_leaks import leaks
from silos.results.kept_models import keep_model
from silos.results.leak_check import STAYS_HERE
from tests.support.networked.network import Network
from tests.support.simulated.studies import small_study
from tests.system.training.test_leak_gates import COLUMNS, PRIVATE
from tests.unit.collegium.cli.test_silo_commands import Person, person

__all__ = ["person"]
STUDY = read_study(PRIVATE)


def drawn(count: int, seed: int) -> Records:
    """Patients whose labels have nothing to do with their columns."""
    random, places = np.random.default_rng(seed), np.arange(count)
    return Records(
        features=random.normal(size=(count, COLUMNS)).astype(np.float32),
        labels=(random.random(count) < 0.5).astype(np.float32),
        patients=places,
        patient_keys=tuple(map(str, places)),
        rows=places,
    )


def test_a_model_that_knows_its_patients_by_heart_is_seen_and_another_is_not() -> None:
    train, test = drawn(60, 1), drawn(50, 2)
    known = overtrained(lambda: build(STUDY.task, STUDY.cohort, 1), train, 200)
    found = leaks(STUDY, "east", train, test, parameters_of(known))
    assert (found["training_patients"], found["test_patients"]) == (60, 50)
    for one in found["membership"].values():
        assert one["advantage"]["low"] > 0.3
    assert found["extraction"]["excess"]["low"] > 1
    fresh = parameters_of(build(STUDY.task, STUDY.cohort, 1))
    found = leaks(STUDY, "east", train, test, fresh)
    for one in found["membership"].values():
        assert one["advantage"]["low"] < 0.1
    assert found["extraction"]["excess"]["low"] < 0.5


def test_too_few_patients_cannot_be_told_apart() -> None:
    with pytest.raises(PolicyRefused, match="60 training and 9 test patients: 10 of each"):
        leaks(STUDY, "east", drawn(60, 1), drawn(9, 2), {})


@pytest.mark.long
def test_the_check_is_made_in_the_hospital_and_leaves_nothing_behind(
    run_once: tuple[Network, str], tmp_path: Path, person: Person
) -> None:
    """With the process that trains; the test's own network is not the study's, so one is put in."""
    network, run = run_once
    home, study = Path(copytree(network.sites["east"].home, tmp_path / "copy")), small_study()
    keep_model(home, run, study, parameters_of(build(study.task, study.cohort, 5)))
    before = sorted(path.name for path in home.rglob("*"))
    allowing = ("--largest-advantage", "1", "--largest-exposure", "9")
    assert person.runs("silo", "leak-check", run, "--home", home, "--json", *allowing) == 0
    found = json.loads(person.out)
    assert found["note"] == STAYS_HERE and STAYS_HERE in person.err
    assert found["training_patients"] + found["test_patients"] == 40 and found["above"] == []
    assert sorted(path.name for path in home.rglob("*")) == before
    assert "may refuse to serve" not in person.err
