"""Nothing that happens to hospital, coordinator or line costs privacy, or ends unexplained.

The faults are in ``tests/long/chaos``; all of them are played by ``make chaos`` or
``pytest -m chaos``, the short form by every run of the tests.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.long.chaos.faults.every import FAULTS
from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.judge import Verdict, judge
from tests.long.chaos.run import Consortia, undisturbed
from tests.long.chaos.stage import PER_SITE, Stage

_SHORT = [fault for fault in FAULTS if fault.short]
_LONG = [fault for fault in FAULTS if not fault.short]


@pytest.fixture(scope="module")
def consortia(tmp_path_factory: pytest.TempPathFactory) -> Consortia:
    return Consortia(tmp_path_factory.mktemp("consortia"))


@pytest.mark.parametrize("fault", _SHORT, ids=lambda fault: fault.name)
def test_fault_ends_finished_or_refused_and_nothing_is_under_counted(
    consortia: Consortia, tmp_path: Path, fault: Fault
) -> None:
    assert consortia.strike(fault, tmp_path / "fault").problems == ()


@pytest.mark.chaos
@pytest.mark.parametrize("fault", _LONG, ids=lambda fault: fault.name)
def test_every_other_fault_does_too(consortia: Consortia, tmp_path: Path, fault: Fault) -> None:
    assert consortia.strike(fault, tmp_path / "fault").problems == ()


def test_names_of_faults_are_their_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def ended(consortia: Consortia, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A run to which nothing happened, and all that it left behind."""
    stage = Stage(tmp_path_factory.mktemp("ended"), consortia.founded(PER_SITE), PER_SITE)
    try:
        undisturbed(stage)
    finally:
        stage.close()
    return stage


def judged(ended: Stage, folder: Path, spoil: Callable[[Path], None]) -> Verdict:
    """The verdict over a copy that something was done to."""
    shutil.copytree(ended.folder, folder)
    spoil(folder)
    hospitals = {name: folder / name / "hospital.db" for name in ended.sites}
    return judge(folder / "coordinator", hospitals, ended.run_id, model=None)


def test_judge_has_nothing_to_say_of_a_run_without_a_fault(ended: Stage, tmp_path: Path) -> None:
    verdict = judged(ended, tmp_path / "copy", lambda _: None)
    assert (verdict.problems, verdict.told) == ((), "finished, all hospitals in it")


def test_judge_finds_a_vector_that_no_ledger_has_booked(ended: Stage, tmp_path: Path) -> None:
    def one_more(folder: Path) -> None:
        with (folder / "coordinator" / "witness.jsonl").open("a") as file:
            file.write(json.dumps(["east", "f" * 64, "masked", 1]) + "\n")

    verdict = judged(ended, tmp_path / "copy", one_more)
    assert verdict.problems == ("east: 1 vectors left that the ledger never booked",)


def test_judge_finds_a_ledger_of_before(consortia: Consortia, ended: Stage, tmp_path: Path) -> None:
    def restore(folder: Path) -> None:
        shutil.rmtree(folder / "east")
        shutil.copytree(consortia.founded(PER_SITE) / "east", folder / "east")

    problems = " ".join(judged(ended, tmp_path / "copy", restore).problems)
    assert "east: the ledger went back in time" in problems
    assert "east: 3 vectors left that the ledger never booked" in problems


def test_judge_finds_a_record_that_is_not_the_logged_one(ended: Stage, tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        with sqlite3.connect(folder / "coordinator" / "collegium.db") as database:
            database.execute("UPDATE run SET state = 'running'")

    problems = " ".join(judged(ended, tmp_path / "copy", change).problems)
    assert "says running, the log says finished" in problems
    assert "it did not end" in problems


def test_judge_finds_another_model(ended: Stage) -> None:
    assert "the model is another one" in " ".join(ended.judged("0" * 64).problems)
