"""Kept rounds: anybody computes the sum again, and every swap is found."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.audit.faults import Faults
from coordinator.audit.folder_checks import check_files
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import LogEntryRow, RoundRow, logged_entries
from coordinator.rounds.means import RoundMean
from protocol.encoding import blob_digest
from protocol.errors import FederationError, MessageRefused, StoreBroken, WorkspaceRefused
from protocol.log.entry import LogEntry
from protocol.secagg.server import Step
from protocol.secagg.transcript import Transcript, parse_transcript, replay
from protocol.study.study_file import read_study
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study
from tests.support.simulated.sum_federation import Federation as SumFederation


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    federation = Federation(tmp_path_factory.mktemp("run"), small_study())
    federation.run()
    return federation


def context_of_round(federation: Federation, number: int, round_kind: str = "training") -> str:
    with federation.store.read() as session:
        rows = session.query(RoundRow).filter_by(
            number=number, round_kind=round_kind, state="finished"
        )
        return str(rows.one().context)


def test_the_sum_and_the_model_of_a_kept_round_are_the_logged_ones(done: Federation) -> None:
    found = done.recomputed(1)
    assert found.sums[0].survivors == ("east", "north", "south", "west")
    with done.store.read() as session:
        row = session.query(RoundRow).filter_by(number=1, round_kind="training").one()
    assert found.model == row.model_digest
    evaluation = done.recomputed(2, "evaluation")
    assert (evaluation.model, evaluation.round) == (None, 3)


def test_rounds_beyond_the_last_two_are_forgotten(done: Federation) -> None:
    gone = "training round 1 is no longer kept.*there are: 2, evaluation"
    with pytest.raises(WorkspaceRefused, match=gone):
        done.recomputed(0)
    kept = {path.name for path in done.workspace.rounds.iterdir()}
    assert kept == {context_of_round(done, 1), context_of_round(done, 2, "evaluation")}


def test_a_round_that_was_never_finished_is_refused(done: Federation) -> None:
    with pytest.raises(WorkspaceRefused, match="no finished training round 8"):
        done.recomputed(7)


def test_nothing_is_kept_where_the_study_says_so(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path, read_study(changed("colluders: 1", "colluders: 1, keep_rounds: 0"))
    )
    federation.run()
    assert not federation.workspace.rounds.exists()


def swap_vector(folder: Path, transcript: Transcript) -> None:
    first = sorted(folder.glob("*.vector"))[0]
    first.write_bytes(bytes(len(first.read_bytes())))


def lose_vector(folder: Path, transcript: Transcript) -> None:
    sorted(folder.glob("*.vector"))[0].unlink()


def swap_model(folder: Path, transcript: Transcript) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")


def swap_transcript(folder: Path, transcript: Transcript) -> None:
    path = folder / "transcript.json"
    path.write_bytes(path.read_bytes().replace(b'"bound":"16.0"', b'"bound":"15.0"'))


def damage_transcript(folder: Path, transcript: Transcript) -> None:
    path = folder / "transcript.json"
    path.write_bytes(path.read_bytes()[:-1])


SWAPS = {
    "vector": (swap_vector, "masked vector .* was changed"),
    "lost vector": (lose_vector, "masked vector .* is missing"),
    "model": (swap_model, "model of the round is not the one"),
    "transcript": (swap_transcript, "transcript is not the one in the log"),
    "damage": (damage_transcript, "transcript of a kept round is damaged"),
}


@pytest.mark.parametrize("name", short_form(SWAPS, 2))
def test_changed_evidence_is_found(tmp_path: Path, name: str) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    federation.run()
    context = context_of_round(federation, 0)
    transcript = RoundArchive(federation.workspace.rounds).transcript(context)
    assert transcript is not None
    change, message = SWAPS[name]
    change(federation.workspace.rounds / context, transcript)
    with pytest.raises(StoreBroken, match=message):
        federation.recomputed(0)


def test_another_aggregate_than_the_sum_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that adds something of its own to the sum before it goes on."""
    from coordinator.rounds import training as runner
    from coordinator.rounds.attempts.aggregation import Sum, aggregate

    def dishonest(*arguments: object, **named: object) -> list[Sum]:
        found: list[Sum] = aggregate(*arguments, **named)  # type: ignore[arg-type, assignment]
        found[0].total[0] += np.uint32(1)
        return found

    monkeypatch.setattr(runner, "aggregate", dishonest)
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    federation.run()
    with pytest.raises(StoreBroken, match="another aggregate was used"):
        federation.recomputed(0)


def test_another_model_than_the_sum_gives_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coordinator.rounds import training as runner

    honest = runner.round_mean

    def dishonest(*given: Any) -> RoundMean:
        found = honest(*given)
        return replace(found, mean=replace(found.mean, update=found.mean.update + 0.5))

    monkeypatch.setattr(runner, "round_mean", dishonest)
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    federation.run()
    monkeypatch.undo()
    with pytest.raises(StoreBroken, match="it was swapped"):
        federation.recomputed(0)


def test_a_log_that_was_changed_proves_nothing(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    federation.run()
    with federation.store.transaction() as transaction:
        session = transaction._session
        session.connection().exec_driver_sql("DROP TRIGGER audit_entry_no_update")
        row = session.query(LogEntryRow).order_by(LogEntryRow.idx.desc()).first()
        assert row is not None
        row.entry = row.entry.replace(b"0", b"1")
    with pytest.raises(StoreBroken, match="entry"):
        federation.recomputed(0)


# --- transcripts themselves ------------------------------------------------------------------


def recorded(count: int, lost: dict[str, Step] | None = None) -> tuple[SumFederation, Transcript]:
    federation = SumFederation(count)
    answers: dict[Step, dict[str, tuple[bytes, bytes | None]]] = {step: {} for step in Step}

    def keep(step: Step, site: str, wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        answers[step][site] = wire, blob
        return wire, blob

    federation.run(federation.vectors(), lost=lost, tamper=keep)
    return federation, Transcript.of(federation.context, answers)


@pytest.mark.parametrize("lost", [{}, {"site-04": Step.MASKED}, {"site-00": Step.UNMASK}])
def test_replaying_a_transcript_gives_the_same_sum(lost: dict[str, Step]) -> None:
    federation, transcript = recorded(5, lost)
    assert parse_transcript(transcript.canonical_bytes) == transcript
    vectors = {blob_digest(blob): blob for blob in federation.blobs.values()}
    machine = replay(transcript, federation.roster, vectors.__getitem__, threads=2)
    assert machine.total().tolist() == federation.coordinator.total().tolist()


Change = Callable[[Transcript], dict[str, object]]
WRONG: dict[str, tuple[Change, str]] = {
    "a forged signature": (
        lambda t: {"masked": {**t.masked, "site-01": bytes(64) + t.masked["site-01"][64:]}},
        "not valid for this key",
    ),
    "an answer of nobody": (
        lambda t: {"signatures": {**t.signatures, "sybil": t.signatures["site-01"]}},
        "sybil had no part in step consistency",
    ),
    "too few reveals": (
        lambda t: {"reveals": {"site-01": t.reveals["site-01"]}},
        "1 of 5 sites are left, 4 are needed",
    ),
    "a missing vector": (
        lambda t: {"masked": {s: w for s, w in t.masked.items() if s != "site-01"}},
        "signed another U1, U2 or U3",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_transcript_that_is_not_what_the_sites_said_gives_nothing(name: str) -> None:
    federation, transcript = recorded(5)
    change, message = WRONG[name]
    vectors = {blob_digest(blob): blob for blob in federation.blobs.values()}
    wrong = Transcript(**(vars(transcript) | change(transcript)))  # type: ignore[arg-type]
    with pytest.raises(FederationError, match=message):
        replay(wrong, federation.roster, vectors.__getitem__)


def test_transcript_of_another_form_is_refused() -> None:
    _, transcript = recorded(3)
    for data in (b"", b"{}", transcript.canonical_bytes[:-1], transcript.canonical_bytes + b" "):
        with pytest.raises(MessageRefused):
            parse_transcript(data)
    with pytest.raises(MessageRefused, match="too long"):
        parse_transcript(bytes(2**25 + 1))


def entries_of(session: Session) -> list[LogEntry]:
    return [entry.content for entry in logged_entries(session)]


def test_rounds_that_a_run_at_work_has_dropped_meanwhile_are_no_faults(tmp_path: Path) -> None:
    """Before, audit verify of a folder with a run at work took each dropped round for a loss."""
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 8")))
    workspace, looks = federation.workspace, ExitStack()
    sessions: list[Session] = []

    def look(_site: str, _request: object) -> bool:
        if not sessions and len(list(workspace.rounds.glob("*/transcript.json"))) == 2:
            sessions.append(looks.enter_context(federation.store.read()))
            sessions[0].scalars(select(RoundRow)).all()  # an auditor's look begins ...
        return False

    federation.link.lost = look
    federation.run()
    faults = Faults()
    with looks:
        key, entries = workspace.public_key(), entries_of(sessions[0])
        check_files(sessions[0], workspace, key, entries, faults)  # ... and goes on
    assert faults.found == []
    shutil.rmtree(workspace.rounds / context_of_round(federation, 7))
    with federation.store.read() as session:
        check_files(session, workspace, key, entries_of(session), faults)
    (fault,) = faults.found
    assert (fault.round, fault.what) == (
        "training 8", "what it can be recomputed from is missing"
    )  # fmt: skip
