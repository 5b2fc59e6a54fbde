"""Runs are compared with what doing them again gives; the cause and the first round are named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collegium.models.reproduction import (
    DIFFERENT,
    IDENTICAL,
    WITHIN,
    ReproductionAnswer,
    ReproductionPlaces,
    reproduce,
)
from compliance.facts.dossier import Library, Software, distributions_digest
from coordinator.rounds.run_records import software
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.training.randomness import Entropy, RoundInput
from tests.support.simulated.federation import Federation, LinearTrainer, write_hospitals
from tests.support.simulated.studies import TABLE_STUDY

PROMISED = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
#: The small study without privacy: whoever is drawn follows from a seed that is kept.
FREE = TABLE_STUDY.replace(PROMISED, "{mode: none, sampling_rate: 1.0}")


class NudgedTrainer(LinearTrainer):
    """Computes as other software does: every update is a little longer."""

    engine = "by other hands"
    factor = 1.01

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        end = super().update(given, entropy)
        return replace(end, update=end.update * self.factor)


class RoundedTrainer(NudgedTrainer):
    """Computes as another processor does."""

    factor = 1 + 1e-6


class LateTrainer(NudgedTrainer):
    """Computes otherwise from the second round on."""

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        self.factor = 1.01 if given.number else 1.0
        return super().update(given, entropy)


Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Runs a study in memory in a folder of its own; returns the output folder."""

    def make(
        name: str,
        text: str = FREE,
        *,
        seed: int | None = 5,
        trainer: type[LinearTrainer] = LinearTrainer,
        write: Callable[[Path, Study], None] = write_hospitals,
    ) -> Path:
        (tmp_path / name).mkdir()
        federation = Federation(
            tmp_path / name, read_study(text), fixed_noise=seed, trainer=trainer, write=write
        )
        model = federation.run()
        with federation.store.transaction() as transaction:
            row = transaction.run("run-1")
            row.state, row.model_digest = "finished", model.model_digest
            record = transaction.write(row)
            entry = federation_entry(model.model_digest, record)
            transaction.log([entry], federation.workspace.signing_key())
        federation.close()
        return federation.workspace.root

    return make


def federation_entry(model: str, record: str):  # type: ignore[no-untyped-def]
    from compliance.audit.log import NewEntry

    return NewEntry(type="run-finished", run_id="run-1", payload=model, record=record)


def compared(before: Path, after: Path) -> ReproductionAnswer:
    places = ReproductionPlaces(out=before, against=after)
    return reproduce("run-1", places, lambda *_: pytest.fail("nothing is run"), lambda _: None)


def test_a_run_made_again_in_a_second_folder_is_identical(made: Made) -> None:
    found = compared(made("one"), made("two"))
    assert found.kind == found.sentence == IDENTICAL
    assert found.model == found.model_again is not None
    assert not found.differences
    assert json.loads(json.dumps(found.to_json()))["answer"] == IDENTICAL


def test_a_run_is_not_compared_with_itself_or_a_copy(made: Made, tmp_path: Path) -> None:
    before = made("one")
    copied = Path(shutil.copytree(before, tmp_path / "copied"))
    for again in (before, copied):
        with pytest.raises(WorkspaceRefused, match="is the run itself"):
            compared(before, again)


def test_a_changed_seed_is_named_with_the_first_round(made: Made) -> None:
    found = compared(made("one"), made("two", FREE.replace("model: 1", "model: 2")))
    assert found.sentence == (
        "different: first at training round 1, because the study says seeds.model 2, it was 1"
    )


def test_a_changed_data_file_is_named_before_what_else_differs(made: Made) -> None:
    def write(folder: Path, study: Study) -> None:
        write_hospitals(folder, study)
        lines = (folder / "south.csv").read_text().splitlines()
        (folder / "south.csv").write_text("\n".join([*lines[:-1], "99.0,A,south-39,1"]) + "\n")

    found = compared(made("one"), made("two", write=write, trainer=NudgedTrainer))
    assert found.kind == DIFFERENT
    assert found.first == "training round 1"
    assert found.cause.startswith("the data file south.csv is another: its digest is ")
    assert [one.kind for one in found.differences] == ["data", *["engine"] * 4]


def test_a_changed_engine_is_named_with_the_round_in_which_it_shows(made: Made) -> None:
    found = compared(made("one"), made("two", trainer=LateTrainer))
    assert (found.kind, found.first) == (DIFFERENT, "training round 2")
    assert found.cause == (
        "the gradients of east were computed by 'by other hands', before by 'by hand'"
    )


def test_another_rounding_is_within_tolerance_and_its_cause_is_named(made: Made) -> None:
    found = compared(made("one"), made("two", trainer=RoundedTrainer))
    assert (found.kind, found.first) == (WITHIN, "training round 1")
    assert "of their norm apart, and up to 1e-04 is called rounding" in found.sentence


def other_software() -> Software:
    own = software()
    libraries = tuple(
        Library(name=one.name, version="9.9") if one.name in ("numpy", "rich") else one
        for one in own.libraries
    )
    return replace(
        own, libraries=libraries, distributions=distributions_digest(libraries), code="ab" * 32
    )


def test_a_changed_library_is_named_and_own_code_after_it(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made("one")
    monkeypatch.setattr("coordinator.rounds.run_records.manifest.software", other_software)
    found = compared(before, made("two", trainer=NudgedTrainer))
    assert (found.kind, found.first) == (DIFFERENT, "training round 1")
    assert found.cause == f"the library numpy is 9.9, it was {np.__version__}"
    assert [one.text.split(" is ")[0] for one in found.differences[:3]] == [
        "the library numpy", "Collegium's own code", "the library rich",
    ]  # fmt: skip


def test_where_nothing_recorded_differs_the_answer_says_so(made: Made) -> None:
    class Silent(NudgedTrainer):
        engine = LinearTrainer.engine

    found = compared(made("one"), made("two", trainer=Silent))
    assert found.sentence == (
        "different: first at training round 1, because nothing that is recorded differs"
    )


def test_a_private_simulation_is_compared_up_to_the_noise(made: Made) -> None:
    before, again = made("one", TABLE_STUDY, seed=None), made("two", TABLE_STUDY, seed=None)
    found = compared(before, again)
    assert found.model != found.model_again
    assert found.kind in (WITHIN, DIFFERENT)  # by chance: noise was drawn anew
    assert "all before the noise is identical" in found.sentence
    assert any("their keys are never kept" in said for said in found.not_compared)
    assert any("the sums of training round 2, the evaluation" in said for said in found.compared)


def test_other_records_of_a_private_simulation_are_different_before_any_round(made: Made) -> None:
    before = made("one", TABLE_STUDY, seed=None)

    def write(folder: Path, study: Study) -> None:
        write_hospitals(folder, study, patients=39)

    found = compared(before, made("two", TABLE_STUDY, seed=None, write=write))
    assert found.kind == DIFFERENT
    assert found.first == "the records of east, north, south, west, before training round 1"
    assert found.cause.startswith("the data file east.csv is another")


def test_a_tampered_vector_is_different_at_its_round(made: Made) -> None:
    before = made("one")
    folder = next(place for place in (before / "rounds").iterdir())
    vector = next(folder.glob("*.vector"))
    data = bytearray(vector.read_bytes())
    data[7] ^= 1
    vector.write_bytes(bytes(data))
    found = compared(before, made("two"))
    assert found.kind == DIFFERENT
    assert found.first in ("training round 2", "the evaluation")
    assert "masked vector" in found.cause and "was changed" in found.cause


def test_records_that_are_not_what_was_logged_are_refused(made: Made) -> None:
    import sqlite3

    before = made("one")
    shutil.copytree(before, before.parent / "copy")
    with sqlite3.connect(before / "collegium.db") as connection:
        connection.execute("UPDATE run_manifest SET document = replace(document, 'hand', 'foot')")
    connection.close()
    with pytest.raises(StoreBroken, match="its run_manifest record is not what was logged"):
        compared(before, before.parent / "copy")


def test_a_run_that_is_not_over_is_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    federation = Federation(tmp_path / "begun", read_study(FREE), fixed_noise=5)
    federation.run()
    federation.close()
    with pytest.raises(WorkspaceRefused, match="run-1 is not over"):
        compared(federation.workspace.root, federation.workspace.root)
