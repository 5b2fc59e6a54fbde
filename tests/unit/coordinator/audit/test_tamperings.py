# ruff: noqa: S608  (the statements are this file's own)
"""No tampering with an output folder passes ``audit verify`` or ``audit recompute`` unnoticed.

The first group are the cases that a review tried (26 of 56 were not found then), the second our
own, the third what somebody does who holds the log's key and signs a new log over what was changed.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy.orm import Session

from collegium.verification.inputs import AuditInputs
from collegium.verification.recomputed_round import recompute_round
from collegium.verification.verify import verify_folder
from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.audit.run_checks import FINDINGS
from coordinator.database.store import (
    LoggedRow,
    MaskedRow,
    ReferenceRow,
    ReleaseRow,
    RoundRow,
    RunRow,
    StudyRow,
    Transaction,
)
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.encoding import digest
from protocol.errors import FederationError, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from tests import ROOT
from tests.support.machine.short_form import short_form
from tests.support.simulated.output_folder import (
    RUNS,
    Rewriting,
    append_to_log,
    change,
    changed_row,
    kept_note,
    rewrite_log,
    rows,
    without_run,
)

QUIET = Console(quiet=True)
EAST = "silos/east/hospital.db"
Tampering = Callable[[Path], object]
Forgery = Callable[[Transaction], list[NewEntry]]


def about(*, type: str, payload: str, record: str) -> NewEntry:
    """Returns an entry of the run that ended last."""
    return NewEntry(type=type, run_id="run-2", payload=payload, record=record)


def told(folder: Path, **given: object) -> list[str]:
    """Returns the faults that ``audit verify`` tells."""
    try:
        answer = verify_folder(folder, AuditInputs(**given), QUIET)  # type: ignore[arg-type]
    except StoreBroken as error:
        return [str(error)]
    assert answer["verified"] == (not answer["faults"])
    return [f"{fault['hospital']} {fault['run']}: {fault['what']}" for fault in answer["faults"]]


def recomputed(folder: Path) -> list[str]:
    """Returns what ``audit recompute`` complains of, over all rounds that are kept."""
    found = []
    for run in RUNS:
        for wanted in ("2", "evaluation"):
            try:
                recompute_round(folder, wanted, run, QUIET)
            except FederationError as error:
                found.append(str(error))
    return found


def sql(*statements: str, database: str = "collegium.db") -> Tampering:
    return lambda folder: change(folder, *statements, database=database)


def one(folder: Path, pattern: str) -> Path:
    """Returns the first file, or folder, of a pattern."""
    return sorted(folder.glob(pattern))[0]


def flip(pattern: str) -> Tampering:
    """Changes one byte in the middle of a file."""

    def tamper(folder: Path) -> None:
        data = bytearray(one(folder, pattern).read_bytes())
        data[len(data) // 2] ^= 1
        one(folder, pattern).write_bytes(data)

    return tamper


def gone(pattern: str) -> Tampering:
    def tamper(folder: Path) -> None:
        path = one(folder, pattern)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return tamper


def swap(pattern: str) -> Tampering:
    """Lets the first and the last file of a pattern change places."""

    def tamper(folder: Path) -> None:
        one, *_, other = sorted(folder.glob(pattern))
        held = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(held)

    return tamper


def written(name: str, text: str) -> Tampering:
    return lambda folder: (folder / name).write_text(text)


def flipped(table: str, column: str, where: str, database: str = "collegium.db") -> Tampering:
    """Changes one byte of a cell that holds bytes."""
    return sql(
        f"UPDATE {table} SET {column} = CAST(substr({column}, 1, length({column}) - 1) || "
        f"CASE WHEN substr({column}, -1) = x'00' THEN x'01' ELSE x'00' END AS BLOB) WHERE {where}",
        database=database,
    )


BACK = "2020-01-01T00:00:00.000Z"
NEWEST = "(SELECT max(size) FROM audit_checkpoint)"

#: What the review of 56 tried.
REVIEWED: dict[str, Tampering] = {
    "a byte in an entry": flipped("audit_entry", "entry", "idx = 40"),
    "a byte in a leaf hash": flipped("audit_entry", "leaf_hash", "idx = 40"),
    "a byte in the newest checkpoint": flipped("audit_checkpoint", "note", f"size = {NEWEST}"),
    "a byte in an old checkpoint": flipped(
        "audit_checkpoint", "note", "size = (SELECT min(size) FROM audit_checkpoint)"
    ),
    "a byte in the frontier": flipped("audit_checkpoint", "frontier", f"size = {NEWEST}"),
    "released figure": sql(
        "UPDATE release SET payload_json = "  # by chance every figure may be withheld
        "replace(replace(payload_json, '0.', '0.9'), 'null', '0.9') WHERE id = 1"
    ),
    "exact figure": sql("UPDATE run SET exact_json = replace(exact_json, '0.9', '0.99')"),
    "a byte in the study": flipped("study", "document", "1"),
    "study's name": sql("UPDATE study SET name = 'other'"),
    "study registered earlier": sql(f"UPDATE study SET registered_at = '{BACK}'"),
    "run failed": sql("UPDATE run SET state = 'failed' WHERE id = 'run-1'"),
    "run started earlier": sql(f"UPDATE run SET started_at = '{BACK}' WHERE id = 'run-1'"),
    "run ended earlier": sql(f"UPDATE run SET ended_at = '{BACK}' WHERE id = 'run-1'"),
    "run's seed": sql("UPDATE run SET seed = 99 WHERE id = 'run-1'"),
    "no simulation": sql("UPDATE run SET simulation = 0 WHERE id = 'run-1'"),
    "test noise": sql("UPDATE run SET test_noise = 1 WHERE id = 'run-1'"),
    "a remark on the run": sql(
        "UPDATE run SET failure = 'Approved by the ethics board of 1 May' WHERE id = 'run-1'"
    ),
    "environment": sql("UPDATE run SET environment_json = '{}' WHERE id = 'run-1'"),
    "sweep": sql("UPDATE run SET sweep = 'sweep' WHERE id = 'run-1'"),
    "signed epsilon": sql("UPDATE run SET sites_json = replace(sites_json, 'epsilon', 'epsilom')"),
    "round opened earlier": sql(f"UPDATE round SET opened_at = '{BACK}' WHERE id = 1"),
    "round closed earlier": sql(f"UPDATE round SET closed_at = '{BACK}' WHERE id = 1"),
    "context emptied": sql("UPDATE round SET context_json = '' WHERE id = 1"),
    "context emptied, drop-outs invented": sql(
        "UPDATE round SET context_json = '', dropped_json = '[\"east\"]' WHERE id = 1"
    ),
    "drop-outs invented": sql("UPDATE round SET dropped_json = '[\"east\"]' WHERE id = 1"),
    "round's kind": sql("UPDATE round SET round_kind = 'evaluation' WHERE id = 1"),
    "round failed": sql("UPDATE round SET state = 'failed' WHERE id = 1"),
    "release's time": sql(f"UPDATE release SET released_at = '{BACK}' WHERE id = 1"),
    "release's kind": sql("UPDATE release SET kind = 'other' WHERE id = 1"),
    "manifest in the database": sql("UPDATE snapshot SET manifest_json = '{}' WHERE id = 1"),
    "snapshot's round": sql("UPDATE snapshot SET round_number = 1 WHERE id = 1"),
    "release removed": sql("DELETE FROM release WHERE id = 1"),
    "round removed": sql("DELETE FROM round WHERE id = 2"),
    "run removed": sql(
        "DELETE FROM release WHERE run_id = 'run-1'", "DELETE FROM round WHERE run_id = 'run-1'",
        "DELETE FROM snapshot WHERE run_id = 'run-1'", "DELETE FROM run WHERE id = 'run-1'",
    ),
    "entry removed": sql("DELETE FROM audit_entry WHERE idx = 40"),
    "log cut": sql(
        "DELETE FROM audit_entry WHERE idx = (SELECT max(idx) FROM audit_entry)",
        f"DELETE FROM audit_checkpoint WHERE size = {NEWEST}",
    ),
    "entries swapped": sql(
        "UPDATE audit_entry SET idx = -1 WHERE idx = 40",
        "UPDATE audit_entry SET idx = 40 WHERE idx = 41",
        "UPDATE audit_entry SET idx = 41 WHERE idx = -1",
    ),
    "releases swapped": sql(
        "UPDATE release SET run_id = CASE run_id WHEN 'run-1' THEN 'run-2' ELSE 'run-1' END"
    ),
    "exact figures swapped": sql(
        "UPDATE run SET exact_json = (SELECT o.exact_json FROM run o WHERE o.id <> run.id)"
    ),
    "a byte in a model": flip("snapshots/*.safetensors"),
    "a byte in a model's manifest": flip("snapshots/*.json"),
    "model removed": gone("snapshots/*.safetensors"),
    "manifest removed": gone("snapshots/*.json"),
    "a byte in a kept vector": flip("rounds/*/*.vector"),
    "a byte in a transcript": flip("rounds/*/transcript.json"),
    "a byte in a kept model": flip("rounds/*/model.safetensors"),
    "kept round removed": gone("rounds/*"),
    "ledger's price": sql(
        "UPDATE ledger_entry SET rho_upper = rho_upper / 10 WHERE number = 5", database=EAST
    ),
    "ledger's last entry removed": sql(
        "DELETE FROM ledger_entry WHERE number = (SELECT max(number) FROM ledger_entry)",
        database=EAST,
    ),
    "ledger cut": sql("DELETE FROM ledger_entry WHERE number > 3", database=EAST),
    "budget raised": sql("UPDATE budget SET epsilon_max = 100", database=EAST),
    "budget's signer": sql("UPDATE budget SET signed_by = 'another'", database=EAST),
    "ledger removed": gone(EAST),
    "signing record emptied": sql("DELETE FROM signing_record", database=EAST),
    "page changed": written("index.html", "<html>AUROC 0.999</html>"),
    "key replaced": written("coordinator.pub", "ab" * 32 + "\n"),
}  # fmt: skip

SNAPSHOTS, ROUNDS = "snapshots/*.safetensors", "rounds/*/transcript.json"
#: What nobody had tried.
OWN: dict[str, Tampering] = {
    "study's digest": sql("UPDATE study SET digest = 'x' || substr(digest, 2)"),
    "study removed": sql("DELETE FROM study"),
    "study added": sql(
        "INSERT INTO study SELECT 1, substr(digest, 2) || 'x', name, document, registered_at "
        "FROM study"
    ),
    "run renamed": sql("UPDATE run SET id = 'run-3' WHERE id = 'run-2'"),
    "runs renamed to each other": sql(
        "UPDATE run SET id = 'x' WHERE id = 'run-1'", "UPDATE run SET id = 'run-1' WHERE id = "
        "'run-2'", "UPDATE run SET id = 'run-2' WHERE id = 'x'",
    ),
    "run running": sql("UPDATE run SET state = 'running', ended_at = NULL WHERE id = 'run-1'"),
    "run of another study": sql("UPDATE run SET study_digest = 'x' WHERE id = 'run-1'"),
    "run's model": sql("UPDATE run SET model_digest = 'x' WHERE id = 'run-1'"),
    "run's model forgotten": sql("UPDATE run SET model_digest = NULL WHERE id = 'run-1'"),
    "run's roster": sql("UPDATE run SET roster_json = replace(roster_json, 'east', 'easy')"),
    "run's roster without a hospital": sql("UPDATE run SET roster_json = '{}'"),
    "run's summaries": sql("UPDATE run SET sites_json = '{}' WHERE id = 'run-1'"),
    "summaries swapped": sql(
        "UPDATE run SET sites_json = (SELECT o.sites_json FROM run o WHERE o.id <> run.id)"
    ),
    "exact figures forgotten": sql("UPDATE run SET exact_json = NULL WHERE id = 'run-1'"),
    "a run's count of writes": sql("UPDATE run SET revision = revision - 1 WHERE id = 'run-1'"),
    "a run's count of writes is text": sql("UPDATE run SET revision = 'many'"),
    "round's number": sql("UPDATE round SET number = 7 WHERE id = 1"),
    "round's attempt": sql("UPDATE round SET attempt = 1 WHERE id = 1"),
    "round's context": sql("UPDATE round SET context = 'x' WHERE id = 1"),
    "round's model": sql("UPDATE round SET model_digest = 'x' WHERE id = 1"),
    "round's survivors": sql("UPDATE round SET survivors_json = '[\"east\"]' WHERE id = 1"),
    "round's survivors reordered": sql(
        "UPDATE round SET survivors_json = '[\"west\", \"south\", \"north\", \"east\"]' "
        "WHERE id = 1"
    ),
    "conduct invented": sql(
        "UPDATE round SET conduct_json = '{\"culprits\": [\"east\"]}' WHERE id = 1"
    ),
    "a context's log root": sql(
        "UPDATE round SET context_json = replace(context_json, 'log_root\":\"', 'log_root\":\"0')"
    ),
    "contexts swapped": sql(
        "UPDATE round SET context_json = (SELECT o.context_json FROM round o WHERE o.id = "
        "3 - round.id) WHERE id IN (1, 2)"
    ),
    "round open again": sql("UPDATE round SET state = 'open', closed_at = NULL WHERE id = 3"),
    "round put into another run": sql("UPDATE round SET run_id = 'run-2', attempt = 9 WHERE id=1"),
    "round added": sql(
        "INSERT INTO round (id, run_id, round_kind, number, attempt, state, context, "
        "survivors_json, dropped_json, conduct_json, context_json, opened_at, revision) "
        "SELECT 99, run_id, round_kind, number, 5, state, context, survivors_json, "
        "dropped_json, conduct_json, context_json, opened_at, 1 FROM round WHERE id = 1"
    ),
    "accusation added": sql(
        "INSERT INTO accusation (id, run_id, context, document, revision) SELECT 1, run_id, "
        "context, x'7b7d', 1 FROM round WHERE id = 1"
    ),
    "release doubled": sql(
        "INSERT INTO release (id, run_id, kind, payload_json, released_at, revision) SELECT 99, "
        "run_id, kind, payload_json, released_at, revision FROM release WHERE id = 1"
    ),
    "release of a red team": sql("UPDATE release SET kind = 'redteam' WHERE id = 1"),
    "signed tables": sql(
        "UPDATE release SET payload_json = replace(payload_json, 'A', 'B') WHERE kind = "
        "'site-tables'"
    ),
    "signed tables removed": sql("DELETE FROM release WHERE kind = 'site-tables'"),
    "release is no JSON": sql("UPDATE release SET payload_json = '{' WHERE id = 1"),
    "snapshot of another model": sql("UPDATE snapshot SET model_digest = 'x' WHERE id = 1"),
    "snapshot removed": sql("DELETE FROM snapshot WHERE id = 1"),
    "snapshots swapped": sql(
        "UPDATE snapshot SET run_id = CASE run_id WHEN 'run-1' THEN 'run-2' ELSE 'run-1' END"
    ),
    "reference's figures": sql("UPDATE reference SET figures_json = '{\"auroc\": 0.99}'"),
    "reference removed": sql("DELETE FROM reference"),
    "reference's epsilon": sql("UPDATE reference SET epsilon = 0.1"),
    "kept message": sql("UPDATE masked_message SET message = x'00' WHERE site = 'east'"),
    "kept message removed": sql("DELETE FROM masked_message WHERE site = 'east'"),
    "kept messages swapped": sql(
        "UPDATE masked_message SET message = (SELECT o.message FROM masked_message o WHERE "
        "o.site <> masked_message.site)"
    ),
    "a view in place of a table": sql(
        "ALTER TABLE reference RENAME TO was", "CREATE VIEW reference AS SELECT * FROM was",
        "UPDATE run SET seed = seed",
    ),
    "a table that nobody knows": sql(
        "CREATE TABLE other AS SELECT * FROM run", "UPDATE run SET seed = seed"
    ),
    "a digest as bytes": sql(
        "UPDATE reference SET study_digest = x'00'", "UPDATE reference SET study_digest = "
        "(SELECT unhex(digest) FROM study)",
    ),
    "a message as text": sql("UPDATE masked_message SET message = lower(hex(message))"),
    "member added": sql(
        "INSERT INTO member (public_key, site, state, revision) VALUES "
        "('ab', 'intruder', 'enrolled', 1)"
    ),
    "entry of no run": sql("UPDATE audit_entry SET run_id = NULL WHERE idx = 40"),
    "entry of another run": sql("UPDATE audit_entry SET run_id = 'run-2' WHERE idx = 5"),
    "entry is text": sql("UPDATE audit_entry SET entry = 'text' WHERE idx = 40"),
    "log emptied": sql("DELETE FROM audit_entry", "DELETE FROM audit_checkpoint"),
    "every head removed": sql("DELETE FROM audit_checkpoint"),
    "a head that nothing names removed": sql(
        "DELETE FROM audit_checkpoint WHERE size = (SELECT max(size) FROM audit_checkpoint "
        f"WHERE size < {NEWEST})"
    ),
    "a head that a round names removed": sql(
        "DELETE FROM audit_checkpoint WHERE size = (SELECT CAST(json_extract(context_json, "
        "'$.log_size') AS INTEGER) FROM round WHERE id = 2)"
    ),
    "models swapped": swap(SNAPSHOTS),
    "model cut": lambda folder: one(folder, SNAPSHOTS).write_bytes(b""),
    "manifest of another version": lambda folder: one(folder, "snapshots/*.json").write_text("{}"),
    "transcript removed": gone(ROUNDS),
    "transcripts swapped": swap(ROUNDS),
    "vector removed": gone("rounds/*/*.vector"),
    "vector cut": lambda folder: one(folder, "rounds/*/*.vector").write_bytes(b""),
    "kept model removed": gone("rounds/*/model.safetensors"),
    "page removed": gone("index.html"),
    "page of before": lambda folder: one(folder, "index.html").write_text("<html></html>"),
    "public key removed": gone("coordinator.pub"),
    "private key replaced": written("coordinator.key", "ab" * 32 + "\n"),
    "database emptied": lambda folder: (folder / "collegium.db").write_bytes(b""),
    "database cut": lambda folder: (folder / "collegium.db").write_bytes(
        (folder / "collegium.db").read_bytes()[:9000]
    ),
    "ledger's run": sql("UPDATE ledger_entry SET run = 'run-9' WHERE number = 5", database=EAST),
    "ledger's context": sql(
        "UPDATE ledger_entry SET context = 'x' WHERE number = (SELECT max(number) FROM "
        "ledger_entry WHERE state = 'SENT')",
        database=EAST,
    ),
    "ledger of another hospital": swap("silos/*st/hospital.db"),
    "list of heads removed": gone("silos/east/hospital-heads/east.ledger"),
    "list of heads cut": lambda folder: (
        one(folder, "silos/east/hospital-heads/east.ledger").write_bytes(b"")
    ),
    "a signed context": sql(
        "UPDATE signing_record SET digest = 'x' WHERE slot LIKE 'context/%'", database=EAST
    ),
    "a signed model": sql(
        "UPDATE signing_record SET digest = 'x' WHERE slot LIKE 'model/%'", database=EAST
    ),
    "a signed vector": sql(
        "UPDATE signing_record SET digest = 'x' WHERE slot = 'masked'", database=EAST
    ),
    "a signed round added": sql(
        "INSERT INTO signing_record VALUES ('ab', 'masked', 'ab')", database=EAST
    ),
    "a kept head of the log": sql("UPDATE log_head SET root = x'00'", database=EAST),
    "a kept head's size": sql("UPDATE log_head SET size = size + 1000", database=EAST),
    "a kept head's note": sql("UPDATE log_head SET note = x'00'", database=EAST),
    "a kept head's origin": sql("UPDATE log_head SET origin = 'another'", database=EAST),
}  # fmt: skip


@pytest.mark.parametrize("name", short_form([*REVIEWED, *OWN], 8))
def test_no_tampering_passes(folder: Path, name: str) -> None:
    (REVIEWED | OWN)[name](folder)
    assert told(folder), f"{name}: it verifies"


def test_as_many_were_tried_as_are_said() -> None:
    assert len(REVIEWED) == 56
    page = (ROOT / "docs" / "audit.md").read_text()
    assert f"and {len(OWN)} others" in page
    assert not set(REVIEWED) & set(OWN)


def test_what_nobody_changed_verifies_and_can_be_recomputed(folder: Path) -> None:
    assert told(folder) == []
    assert recomputed(folder) == []


# With the key: the log is written anew over what was changed, and signed.


def figures_of(folder: Path, run: str, **figures: float) -> None:
    """Releases another AUROC, or another accuracy of a hospital."""

    def forge(session: Session) -> Rewriting:
        (row,) = rows(session, ReleaseRow, run_id=run, kind="evaluation")
        said = json.loads(row.payload_json)  # type: ignore[attr-defined]
        for name, value in figures.items():
            where = (said["figures"] if name == "auroc" else said["sites"]["east"])[name]
            where |= {"value": value, "low": value - 0.01, "high": 1.0, "note": ""}
        text = json.dumps(said, sort_keys=True)
        payload = {digest(row.payload_json.encode()): digest(text.encode())}  # type: ignore[attr-defined]
        return Rewriting(replaced=payload | changed_row(row, payload_json=text))

    rewrite_log(folder, forge)


def at_home(folder: Path) -> None:
    """Leaves what a coordinator of a network has: no simulation, no hospital's database."""
    shutil.rmtree(folder / "silos")

    def forge(session: Session) -> Rewriting:
        replaced: dict[str, str] = {}
        for row in rows(session, RunRow):
            # Only the newest of its records can be made again; the others name no row.
            replaced |= changed_row(row, simulation=False)
        return Rewriting(replaced=replaced)

    rewrite_log(folder, forge)


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_was_removed_with_the_key_is_missed_by_the_hospitals(
    folder: Path, run: str
) -> None:
    rewrite_log(folder, lambda session: without_run(session, run))
    found = told(folder)
    assert f"east {run}: its ledger knows a run that the log does not" in found
    assert any("this log does not extend it" in fault or "root" in fault for fault in found)


def test_on_a_network_a_checkpoint_shows_it(folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_bytes(kept_note(folder))
    rewrite_log(folder, lambda session: without_run(session, "run-2"))
    assert any("it was cut" in fault for fault in told(folder, checkpoints=(note,)))


def test_hospitals_that_signed_no_roster_were_not_on_a_network(folder: Path) -> None:
    at_home(folder)
    assert any("its roster is none that its members have signed" in one for one in told(folder))


def test_without_anything_from_outside_the_answer_says_what_it_is_worth(folder: Path) -> None:
    at_home(folder)
    rewrite_log(folder, lambda session: without_run(session, "run-2"))
    answer = verify_folder(folder, AuditInputs(), QUIET)
    said = " ".join(answer["not_checked"])
    assert "whose log it is" in said
    assert "whether the whole log was written anew by whoever holds its key" in said


def test_an_auroc_that_was_signed_anew_does_not_follow_from_the_sum(folder: Path) -> None:
    figures_of(folder, "run-2", auroc=0.991)
    assert any("released figures do not follow" in fault for fault in recomputed(folder))


@pytest.mark.parametrize(("apart", "is_found"), [(1e-9, False), (1e-4, True)])
def test_a_figure_may_differ_by_what_another_machine_rounds_and_by_no_more(
    folder: Path, apart: float, is_found: bool
) -> None:
    def moved(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: moved(each) for name, each in found.items()}
        return found + apart if isinstance(found, float) else found

    def forge(session: Session) -> Rewriting:
        (row,) = rows(session, ReleaseRow, run_id="run-2", kind="evaluation")
        said = json.loads(row.payload_json)  # type: ignore[attr-defined]
        changed = said | {"figures": moved(said["figures"])}
        assert changed != said
        text = json.dumps(changed, sort_keys=True)
        payload = {digest(row.payload_json.encode()): digest(text.encode())}  # type: ignore[attr-defined]
        return Rewriting(replaced=payload | changed_row(row, payload_json=text))

    rewrite_log(folder, forge)
    assert is_found == any("released figures" in fault for fault in recomputed(folder))


def test_a_folder_of_an_earlier_version_is_checked_for_the_figures_that_it_keeps(
    folder: Path,
) -> None:
    def keep_fewer(session: Session) -> Rewriting:
        (row,) = rows(session, ReleaseRow, run_id="run-2", kind="evaluation")
        said = json.loads(row.payload_json)  # type: ignore[attr-defined]
        for name in ("auprc", "brier", "ece", "calibration_slope", "calibration_intercept"):
            del said["figures"][name]
        del said["calibration"], said["risks"]["ppv"]
        text = json.dumps(said, sort_keys=True)
        payload = {digest(row.payload_json.encode()): digest(text.encode())}  # type: ignore[attr-defined]
        return Rewriting(replaced=payload | changed_row(row, payload_json=text))

    rewrite_log(folder, keep_fewer)
    assert not any("released figures" in fault for fault in recomputed(folder))
    figures_of(folder, "run-2", auroc=0.991)
    assert any("released figures do not follow" in fault for fault in recomputed(folder))


def test_a_hospitals_figure_that_was_signed_anew_does_not_follow_from_its_table(
    folder: Path,
) -> None:
    figures_of(folder, "run-2", accuracy=0.99)
    assert any("do not follow from what it signed" in fault for fault in told(folder))


def test_what_was_signed_anew_before_a_later_round_is_no_head_that_the_round_names(
    folder: Path,
) -> None:
    shutil.rmtree(folder / "silos")
    figures_of(folder, "run-1", auroc=0.991)
    assert any("is not a head that this log had" in fault for fault in told(folder))


def test_a_log_of_another_key_is_not_the_one_that_the_hospitals_know(folder: Path) -> None:
    own = Workspace(folder).public_key().hex()
    key = SigningKey.generate()
    (folder / "coordinator.key").write_text(key.to_bytes().hex() + "\n")
    (folder / "coordinator.pub").write_text(key.public.hex() + "\n")
    rewrite_log(folder, lambda _session: Rewriting(replaced={}), key)
    assert any("of another log" in fault for fault in told(folder))
    assert any("is not signed by the log" in fault for fault in told(folder, key=own))


def test_a_model_that_was_swapped_with_the_key_does_not_follow(folder: Path) -> None:
    """The result of the last round names the model of another run."""

    def forge(session: Session) -> Rewriting:
        first, second = (
            rows(session, RoundRow, run_id=run, round_kind="training", number=1)[0] for run in RUNS
        )
        other = first.model_digest  # type: ignore[attr-defined]
        was = second.model_digest  # type: ignore[attr-defined]
        return Rewriting(replaced={was: other} | changed_row(second, model_digest=other))

    rewrite_log(folder, forge)
    assert told(folder)


def test_a_message_that_no_hospital_signed_is_found(folder: Path) -> None:
    """Shown to a hospital, it would not tell whether its ledger is an older copy."""

    def forge(session: Session) -> Rewriting:
        (row,) = rows(session, MaskedRow, site="east")
        return Rewriting(replaced=changed_row(row, message=b"{}"))

    rewrite_log(folder, forge)
    assert any("kept of east is not its own" in fault for fault in told(folder))


def test_a_round_that_never_was_is_not_in_the_hospitals_databases(folder: Path) -> None:
    change(folder, "DELETE FROM signing_record WHERE slot = 'masked'", database=EAST)
    assert any("its own database does not" in fault for fault in told(folder))


# With the key, later: entries are only appended, so that earlier checkpoints still fit.


def released_again(kind: str) -> Forgery:
    """A second release of a kind, which stands before the first."""

    def forge(transaction: Transaction) -> list[NewEntry]:
        (true,) = rows(transaction.session, ReleaseRow, run_id="run-2", kind=kind)
        payload = true.payload_json.replace("0.", "0.9")  # type: ignore[attr-defined]
        at = timestamp()
        row = ReleaseRow(id=-1, run_id="run-2", kind=kind, payload_json=payload, released_at=at)
        record = transaction.write(row)
        return [about(type="release", payload=digest(payload.encode()), record=record)]

    return forge


def cells(table: type[LoggedRow], logged: str = "remark", **changed: object) -> Forgery:
    """Other cells of a row of the run that ended last."""

    def forge(transaction: Transaction) -> list[NewEntry]:
        where = {"id": "run-2"} if table is RunRow else {"run_id": "run-2"}
        row = rows(transaction.session, table, **where)[0]
        for name, value in changed.items():
            setattr(row, name, value)
        return [about(type=logged, payload="0" * 64, record=transaction.write(row))]

    return forge


LATER: dict[str, Forgery] = {
    "a second evaluation": released_again("evaluation"),
    "a second set of signed tables": released_again("site-tables"),
    "another kind of release": cells(ReleaseRow, "remark", kind="findings"),
    "test noise": cells(RunRow, test_noise=True),
    "seed": cells(RunRow, seed=7777),
    "sweep": cells(RunRow, sweep="sweep-9"),
    "time": cells(RunRow, started_at="2001-01-01T00:00:00.000Z"),
    "environment": cells(RunRow, environment_json="{}"),
    "failed": cells(RunRow, "run-failed", state="failed", failure="a hospital is to blame"),
    "stopped": cells(RunRow, "run-stopped", state="stopped", failure="stopped"),
    "why it failed": cells(RunRow, "settlements", failure="Approved by ethics"),
    "a round's time": cells(RoundRow, opened_at="2001-01-01T00:00:00.000Z"),
}


@pytest.mark.parametrize("name", short_form(LATER, 6))
def test_nothing_can_be_appended_to_a_run_that_has_ended(folder: Path, name: str) -> None:
    append_to_log(folder, LATER[name], Workspace(folder).signing_key())
    assert any("run-2" in fault for fault in told(folder))


def test_what_a_red_team_found_is_appended_and_verifies(folder: Path) -> None:
    """With the key its findings can be forged: the answer says that nobody else signed them."""

    def found(transaction: Transaction) -> list[NewEntry]:
        payload, record = transaction.release("run-2", FINDINGS, {"reasons": []})
        return [about(type=FINDINGS, payload=payload, record=record)]

    for _ in range(2):  # a red team may come again
        append_to_log(folder, found, Workspace(folder).signing_key())
    answer = verify_folder(folder, AuditInputs(), QUIET)
    assert answer["verified"], answer["faults"]
    assert any("what a red team found" in sentence for sentence in answer["not_checked"])


SCHEMA = {
    "no index uq_release_run_kind": "DROP INDEX uq_release_run_kind",
    "no trigger audit_entry_no_update": "DROP TRIGGER audit_entry_no_update",
    "a trigger later that": "CREATE TRIGGER later AFTER INSERT ON run BEGIN DELETE FROM study; END",
    "table accusation is not as": "ALTER TABLE accusation ADD COLUMN more TEXT",
}


def test_a_study_and_a_pooled_reference_are_written_once(folder: Path) -> None:
    """With the log's key, appended: another day of registration, another figure."""

    def again(transaction: Transaction) -> list[NewEntry]:
        study = rows(transaction.session, StudyRow)[0]
        study.registered_at = "2001-01-01T00:00:00.000Z"
        pooled = rows(transaction.session, ReferenceRow)[0]
        pooled.figures_json = '{"auroc": 0.5}'
        return [
            NewEntry(type="remark", run_id=name, payload="0" * 64, record=transaction.write(row))
            for name, row in ((None, study), (pooled.id, pooled))
        ]

    append_to_log(folder, again, Workspace(folder).signing_key())
    faults = told(folder)
    assert any("its record was written again later" in fault for fault in faults)
    assert any("the pooled reference was written again later" in fault for fault in faults)


@pytest.mark.parametrize("said", short_form(SCHEMA, 2))
@pytest.mark.parametrize("place", ["collegium.db", EAST])
def test_what_guards_the_rows_is_held_to_what_the_migrations_make(
    folder: Path, said: str, place: str
) -> None:
    statement = SCHEMA[said]
    if place == EAST:
        for ours, theirs in (
            ("uq_release_run_kind", "ix_run_decision_run_id"), ("audit_entry", "ledger_entry"),
            ("accusation", "hospital"), ("ON run", "ON hospital"), ("study", "ledger_entry"),
        ):  # fmt: skip
            said, statement = said.replace(ours, theirs), statement.replace(ours, theirs)
    with closing(sqlite3.connect(folder / place)) as connection, connection:
        connection.execute(statement)
    (fault,) = told(folder)
    assert said in fault


def test_every_file_that_no_record_names_is_listed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not evidence")
    kept = next(path for path in (folder / "rounds").iterdir())
    model = next((folder / "snapshots").glob("*.json"))
    added = [
        "figures.csv",
        "silos/east/extra.txt",
        "silos/east/hospital-keys/another.key",
        "silos/nobody/hospital.txt",
        f"rounds/{kept.name}/figures.json",
        f"rounds/{'0' * 64}/transcript.json",
        f"snapshots/{model.stem}.txt",
        "snapshots/deep/er/model",
    ]
    before = verify_folder(folder, AuditInputs(), QUIET)
    assert before["unnamed_files"] == []
    for name in added:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("added")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "snapshots" / "\x1b[2J").write_text("added")
    answer = verify_folder(folder, AuditInputs(), QUIET)
    links = ["elsewhere (a link, not followed)", r"'snapshots/\x1b[2J'"]
    assert sorted(answer["unnamed_files"]) == sorted([*added, *links])
    (said,) = [each for each in answer["not_checked"] if each.startswith("files that no record")]
    assert all(name in said for name in added)


def test_all_faults_are_told_with_their_places(folder: Path) -> None:
    for name in ("run's seed", "study's name", "ledger cut", "a byte in a model"):
        (REVIEWED | OWN)[name](folder)
    answer = verify_folder(folder, AuditInputs(), QUIET)
    places = {(fault["hospital"], fault["run"]) for fault in answer["faults"]}
    assert {("east", None), (None, "run-1"), (None, None)} <= places


def test_a_folder_that_is_none_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="holds no run"):
        verify_folder(tmp_path, AuditInputs(), QUIET)


def test_a_damaged_study_is_a_broken_store_for_every_view(folder: Path) -> None:
    sql("UPDATE study SET document = '{}'")(folder)
    with closing(open_views(folder)) as views:
        for ask in (views.runs, lambda: views.utility(RUNS[0]), views.newest_finished):
            with pytest.raises(StoreBroken, match="its record is damaged"):
                ask()
