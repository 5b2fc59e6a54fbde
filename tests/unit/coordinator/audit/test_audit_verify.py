"""The verifier that an auditor uses: what it takes, writes, answers and says that it left out."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from collegium.cli.main import main
from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest
from collegium.verification.inputs import AuditInputs
from collegium.verification.recomputed_round import recompute_round
from collegium.verification.verify import verify_folder
from compliance.audit.log import NewEntry
from coordinator.audit.faults import Faults
from coordinator.audit.verification import Verified
from coordinator.database.baselines import keep_reference
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.study.study_file import read_study
from silos.config.site_template import site_template
from tests.support.machine.commands import ask
from tests.support.machine.short_form import short_form
from tests.support.simulated.output_folder import (
    RUNS,
    change,
    kept_note,
    make_folder,
    rewrite_log,
    without_run,
)
from tests.support.simulated.studies import changed, small_study

QUIET = Console(quiet=True)


def audit(*given: object) -> tuple[int, dict[str, object], str]:
    """Runs a command of ``collegium audit`` with --json; returns code, answer and words."""
    done = ask("audit", *given, "--json")
    return done.returncode, json.loads(done.stdout), done.stderr


def faults(folder: Path, **given: object) -> list[str]:
    answer = verify_folder(folder, AuditInputs(**given), QUIET)  # type: ignore[arg-type]
    return [fault["what"] for fault in answer["faults"]]


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Returns every file below a folder: when it was changed, and what it holds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def log_more(folder: Path) -> None:
    """Lets the log go on."""
    store, key = Store(folder / "collegium.db"), Workspace(folder).signing_key()
    keep_reference(store, key, "sweep-002", "sweep", small_study(), {"auroc": 0.5})
    store.close()


def test_the_answer_names_key_root_and_date_and_what_was_not_checked(folder: Path) -> None:
    code, answer, words = audit("verify", "--out", folder)
    own = Workspace(folder).public_key().hex()
    assert (code, answer["verified"], answer["faults"]) == (0, True, [])
    assert (answer["key"], answer["key_given"], answer["ledgers"]) == (own, False, 4)
    for named in ("key", "root", "newest_entry", "verified_at"):
        assert str(answer[named]) in words
    assert "whose log it is: the key is the one that lies beside it" in words


def test_figures_that_nothing_recomputes_are_named(tmp_path: Path) -> None:
    study = read_study(changed("aggregation: {", "aggregation: {keep_rounds: 0, "))
    answer = verify_folder(make_folder(tmp_path, study), AuditInputs(), QUIET)
    assert answer["verified"] and answer["kept_rounds"] == 0
    said = " ".join(answer["not_checked"])
    assert "the sums of 6 of 6 rounds, and the models and figures released from them" in said
    assert "in the hospitals' databases what is not of the ledger" in said


def test_a_given_key_is_the_one_that_is_trusted(folder: Path) -> None:
    own = Workspace(folder).public_key().hex()
    for key in (own, folder / "coordinator.pub"):
        code, answer, words = audit("verify", "--out", folder, "--key", key)
        assert (code, answer["key_given"]) == (0, True)
        assert "whose log it is" not in words
    code, answer, words = audit("verify", "--out", folder, "--key", "ab" * 32)
    assert (code, answer["verified"]) == (2, False)
    assert "coordinator.pub holds another key than the one given" in words
    assert "Make sure that the key is this log's; then stop, and keep a copy" in words


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("verify", "--out", "nowhere"), 66),
        (("verify", "--out", "{folder}", "--checkpoint", "nowhere"), 66),
        (("verify", "--out", "{folder}", "--report", "nowhere"), 66),
        (("verify", "--out", "{folder}", "--hospital", "nowhere"), 66),
        (("verify", "--out", "{folder}", "--key", "coordinator"), 64),
        (("verify", "--out", "{folder}", "--chekpoint", "x"), 64),
        (("verify",), 64),
        (("recompute", "evaluation", "--out", "{folder}", "--key", "zz"), 64),
        (("recompute", "77", "--out", "{folder}"), 66),
        (("recompute", "--out", "{folder}"), 64),
    ],
)
def test_wrong_usage_and_what_is_not_there_have_codes_of_their_own(
    genuine: Path,
    given: tuple[str, ...],
    code: int,
) -> None:
    named = [part.format(folder=genuine) for part in given]
    found, answer, words = audit(*named)
    assert (found, answer["verified"], bool(answer["error"])) == (code, False, True)
    assert words.strip()


@pytest.mark.parametrize("statement", ["UPDATE run SET seed = 9", "DROP TABLE run"])
def test_what_was_tampered_with_is_two_and_is_answered(
    folder: Path,
    statement: str,
) -> None:
    change(folder, "UPDATE run SET seed = 8", statement)
    code, answer, words = audit("verify", "--out", folder)
    assert (code, answer["verified"]) == (2, False)
    assert answer.get("faults") or answer.get("error")
    assert "collegium: " in words


def test_nothing_is_written_anywhere(folder: Path) -> None:
    before = everything(folder)
    assert faults(folder) == []
    recompute_round(folder, "evaluation", None, QUIET)
    with_views = open_views(folder)
    with_views.dossier(RUNS[0])
    with_views.close()
    assert everything(folder) == before


def test_a_folder_of_a_writer_that_was_killed_is_read_whole_and_left_as_it_is(
    folder: Path, tmp_path: Path
) -> None:
    store, key = Store(folder / "collegium.db"), Workspace(folder).signing_key()
    with store.read():  # as long as somebody reads, what was written stays beside the file
        keep_reference(store, key, "sweep-002", "sweep", small_study(), {"auroc": 0.5})
        killed = Path(shutil.copytree(folder, tmp_path / "killed"))
    store.close()
    (killed / "collegium.db-shm").unlink()
    assert (killed / "collegium.db-wal").stat().st_size
    before = everything(killed)
    answer = verify_folder(killed, AuditInputs(), QUIET)
    assert (answer["faults"], answer["references"]) == ([], 2)
    assert everything(killed) == before


def test_a_checkpoint_of_before_is_part_of_a_log_that_only_went_on(
    folder: Path, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    note.write_bytes(kept_note(folder))
    log_more(folder)
    answer = verify_folder(folder, AuditInputs(checkpoints=(note,)), QUIET)
    assert answer["faults"] == []
    assert answer["checkpoints"] == [answer["size"] - 1]


def test_a_checkpoint_shows_a_log_that_was_written_anew(folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_bytes(kept_note(folder))
    rewrite_log(folder, lambda session: without_run(session, RUNS[1]))
    log_entries(folder, 100)
    assert any("the log was rewritten" in fault for fault in faults(folder, checkpoints=(note,)))


def log_entries(folder: Path, number: int) -> None:
    """Adds entries that no row belongs to."""
    store, key = Store(folder / "collegium.db"), Workspace(folder).signing_key()
    with store.transaction() as transaction:
        transaction.log([NewEntry(type="note", run_id=None, payload=digest(b""))] * number, key)
    store.close()


def test_a_checkpoint_that_another_key_signed_is_none(folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_bytes(kept_note(folder).replace(b"audit/v1/", b"audit/v2/"))
    assert any("is not one that this log" in f for f in faults(folder, checkpoints=(note,)))


@pytest.mark.parametrize("form", short_form(["html", "json", "csv"], 3))
def test_a_report_of_before_is_the_one_that_the_records_still_give(
    folder: Path, tmp_path: Path, form: str
) -> None:
    report = tmp_path / f"report.{form}"
    export_report(folder, ReportRequest(name=RUNS[0]), form, report, QUIET)
    assert "Verified at entry" in report.read_text()
    log_more(folder)
    answer = verify_folder(folder, AuditInputs(report=report), QUIET)
    assert (answer["faults"], answer["report"]) == ([], f"run {RUNS[0]}")
    report.write_text(report.read_text().replace("patient", "patent", 1), newline="")
    assert any("is not the one that these records give" in f for f in faults(folder, report=report))


def test_a_report_of_records_that_were_changed_carries_a_watermark(
    folder: Path, tmp_path: Path
) -> None:
    change(folder, "UPDATE run SET failure = 'Approved by the ethics board' WHERE id = 'run-1'")
    report = tmp_path / "report.html"
    with pytest.raises(StoreBroken, match="carries the watermark NOT VERIFIED"):
        export_report(folder, ReportRequest(name=RUNS[0]), "html", report, QUIET)
    assert "NOT VERIFIED: the records behind this document are not what was logged" in (
        report.read_text()
    )


def test_a_hospitals_own_folder_misses_a_run_that_was_removed(folder: Path, tmp_path: Path) -> None:
    """The coordinator of a network has no hospital's database; the hospital has its own."""
    home = Path(shutil.move(folder / "silos" / "east", tmp_path / "east"))
    (home / "site.yaml").write_text(site_template("east"))
    shutil.rmtree(folder / "silos")
    rewrite_log(folder, lambda session: without_run(session, RUNS[1]))
    found = faults(folder, hospital=home)
    assert "its ledger knows a run that the log does not" in found
    assert any("this log does not extend it" in fault for fault in found)


def test_a_ledger_of_another_version_is_not_brought_up_to_date(folder: Path) -> None:
    change(folder, "UPDATE alembic_version SET version_num = '0001'")
    before = everything(folder)
    with pytest.raises(StoreBroken, match="written by another version"):
        verify_folder(folder, AuditInputs(), QUIET)
    assert everything(folder) == before


def test_a_key_that_is_none_and_a_file_that_is_not_there_are_refused(folder: Path) -> None:
    with pytest.raises(MessageRefused, match="64 hexadecimal digits"):
        verify_folder(folder, AuditInputs(key="ab"), QUIET)
    with pytest.raises(WorkspaceRefused, match="cannot be read"):
        verify_folder(folder, AuditInputs(checkpoints=(folder / "none",)), QUIET)


def pipe(place: Path) -> None:
    os.mkfifo(place)


def endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, endless, Path.mkdir])
@pytest.mark.parametrize(
    "place",
    short_form([
        "coordinator.pub", "coordinator.key", "rounds/*/transcript.json", "rounds/*/*.vector",
        "snapshots/*.safetensors", "silos/east/hospital-heads/east.ledger",
    ], 2),
)  # fmt: skip
def test_what_is_no_file_is_a_fault_and_is_not_waited_for(
    folder: Path, place: str, make: Callable[[Path], None]
) -> None:
    struck = sorted(folder.glob(place))[0]
    struck.unlink()
    make(struck)
    done = ask("audit", "verify", "--out", folder)
    assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr


def test_what_changes_while_a_run_is_at_work_is_neither_verified_nor_a_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a simulation that was looked at while it ran was told to be a log cut short."""
    sizes = count(100)

    def moving(workspace: Workspace, found: Verified, public: bytes, faults: Faults) -> tuple[str]:
        faults.add(f"it keeps a signed head of {next(sizes)} entries", hospital="east")
        return ("east",)

    monkeypatch.setattr("collegium.verification.verify.check_simulated", moving)
    with Workspace(folder).at_work():
        answer = verify_folder(folder, AuditInputs(), QUIET)
        assert (answer["verified"], answer["faults"]) == (False, [])
        assert len(answer["unsettled"]) == 2
        monkeypatch.setattr(sys, "argv", ["collegium", "audit", "verify", "--out", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 75
    assert len(verify_folder(folder, AuditInputs(), QUIET)["faults"]) == 1  # nothing is at work


def test_a_tampering_is_a_fault_while_a_run_is_at_work_too(folder: Path) -> None:
    change(folder, "UPDATE run SET state = 'failed' WHERE id = 'run-1'")
    with Workspace(folder).at_work():
        answer = verify_folder(folder, AuditInputs(), QUIET)
    assert (answer["verified"], answer["unsettled"]) == (False, [])
    assert answer["faults"] and {fault["run"] for fault in answer["faults"]} == {"run-1"}
