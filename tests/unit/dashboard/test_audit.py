"""The page's audit over a real folder: cosigners, incidents, changes, acts, entries and proofs."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from collegium.verification.proofs import folder_policy, make_proof
from compliance.governance.incidents.course import Incident, IncidentState, IncidentStep
from compliance.reports.document import Tone
from coordinator.database.log.cosignatures import keep_cosignatures
from coordinator.database.store import Store, newest_head
from coordinator.database.workspace import Workspace
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.cosigners import CosignedLog, CosignerProgress
from coordinator.views.governance import RecordedAct
from coordinator.views.views import open_views
from dashboard.rows import audit
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.log.cosignature import Ed25519Cosigner, cosigned_lines
from protocol.log.signed_note import split_note
from protocol.log.tlog_proof import parse_tlog_proof, verify_tlog_proof
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.simulated.folder_page import page_over, rows, words
from tests.support.simulated.output_folder import RUNS, change

RUN = RUNS[1]  # the newest, which the page offers first
NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit leaves its script as ``__main__``, which child processes would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@contextmanager
def people_of(folder: Path) -> Iterator[People]:
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        yield People.over(store, workspace.signing_key())


def table_with(page: AppTest, column: str) -> list[dict[str, str]]:
    found = [rows(page, place) for place in range(len(page.table))]
    return next(table for table in found if column in table[0])


def test_hospitals_stand_with_how_far_each_has_cosigned_and_the_quorum(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(genuine, monkeypatch).look("audit")
    with closing(open_views(genuine)) as views:
        log = views.cosigned_log()
    assert 0 < log.quorum_size < log.size
    assert f"A quorum has cosigned the first {log.quorum_size} of {log.size} entries" in words(page)
    cosigners = table_with(page, "Cosigner")
    assert [row["Cosigner"] for row in cosigners] == ["east", "north", "south", "west"]
    assert {row["Newest head signed"] for row in cosigners} == {
        f"{log.quorum_size} of {log.size} entries"
    }
    assert {row["Signature"] for row in cosigners} == {"verified"}


def test_a_cosigner_that_no_roster_knows_is_a_witness_whose_signature_was_not_verified(
    folder: Path,
) -> None:
    workspace = Workspace.open(folder)
    stranger = Ed25519Cosigner("stranger.example", SigningKey.generate())
    with closing(Store(workspace.database)) as store:
        with store.read() as session:
            head = newest_head(session)
        assert head is not None
        text, _ = split_note(head.note)
        line = stranger.cosign(text, 1_790_000_000)
        made = cosigned_lines(text, [line], [stranger.key])
        with store.transaction() as transaction:
            keep_cosignatures(transaction, head.size, made, workspace.signing_key())
    with closing(open_views(folder)) as views:
        log = views.cosigned_log()
    last = log.cosigners[-1]
    assert (last.kind, last.size, last.verified) == ("witness", head.size, False)
    assert log.quorum_size < head.size
    assert "not verified here" in audit.cosigner_rows(log)[-1]["Signature"]


def test_a_cosignature_that_was_changed_is_a_fault_on_the_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "UPDATE cosignatures SET lines = replace(lines, 'A', 'B')")
    page = page_over(folder, monkeypatch).look("audit")
    assert any("cosignature" in one.value for one in page.error)


def cosigned(size: int, quorum_size: int, *, hospitals: int = 4) -> CosignedLog:
    east = CosignerProgress(name="east", kind="hospital", size=None, time=None, verified=True)
    return CosignedLog(
        size=size, quorum=3, hospitals=hospitals, quorum_size=quorum_size, cosigners=(east,)
    )


def test_a_quorum_over_the_newest_head_is_told_from_one_before_it_and_from_none() -> None:
    whole, before, none, nobody = (
        audit.cosigned_statement(log)
        for log in (cosigned(9, 9), cosigned(9, 8), cosigned(9, 0), cosigned(9, 0, hospitals=0))
    )
    assert whole.text == "A quorum has cosigned the newest head: all 9 entries."
    assert whole.tone is Tone.GOOD
    assert "first 8 of 9 entries" in before.text and "1 entry further" in before.detail
    assert none.text == "No quorum has cosigned the log." and none.tone is Tone.CAUTION
    assert "no run yet" in nobody.text
    assert audit.cosigner_rows(cosigned(9, 0))[0]["Newest head signed"] == "none yet"


def test_while_nobody_is_registered_the_page_begins_with_it(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(genuine, monkeypatch).look("audit")
    assert page.warning[0].value.startswith("**Acts here are attributed to NOBODY")
    assert "No act of a person about this run is recorded." in words(page)


def test_acts_stand_with_who_in_which_role_and_what_came_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with people_of(folder) as people:
        people.found()
        people.act(BEA, "report.export", ("report", RUN), {"run": RUN, "kind": "model-card"})
    page = page_over(folder, monkeypatch).look("audit")
    assert "NOBODY" not in words(page)
    [act] = table_with(page, "Act")
    assert (act["Who"], act["Role"], act["Act"]) == (BEA, "auditor", "report.export")
    assert (act["About"], act["Outcome"]) == (f"report {RUN}", "done")


def an_incident(number: int, hours_ago: float, *, drill: bool = False) -> NumberedIncident:
    known = NOW - timedelta(hours=hours_ago)
    opened = IncidentStep(step="open", at=write_time(known), person=CLEO, role="lead", note="")
    held = replace(opened, step="contain", confirm_by=write_time(NOW))
    return NumberedIncident(
        number=number,
        incident=Incident(
            kind="other", title="x", severity="high", drill=drill, known_at=write_time(known),
            due_at=write_time(known + timedelta(hours=72)), state=IncidentState.CONTAINED,
            steps=(opened, held),
        ),
    )  # fmt: skip


def test_the_notification_that_is_due_first_stands_first_and_a_late_one_is_late() -> None:
    found = (an_incident(1, 10), an_incident(2, 80), an_incident(3, 5, drill=True))
    shown = audit.incident_rows(found, NOW)
    assert [row["Number"] for row in shown] == ["2", "1", "3"]
    assert "LATE by 8 h" in shown[0]["Clock"] and "62 h left" in shown[1]["Clock"]
    assert shown[0]["Waits for a second person"] == f"containment by {CLEO}"
    assert audit.is_late(found, NOW)
    assert not audit.is_late((an_incident(4, 80, drill=True), an_incident(5, 71)), NOW)


def test_an_act_that_was_refused_stands_with_its_reason_and_one_of_nobody_with_that() -> None:
    act = RecordedAct(
        number=1, at=write_time(NOW), person="", role=None, action="run.stop", subject_kind="run",
        subject=RUN, run=RUN, details={}, policy="", outcome="refused", effects="",
        reason="no such role", digest="", signature="", record="",
    )  # fmt: skip
    newer = replace(act, number=2, person=ADA, role="administrator", outcome="done", reason=None)
    first, second = audit.act_rows((act, newer))
    assert (first["Who"], first["Outcome"]) == (ADA, "done")
    assert (second["Who"], second["Outcome"]) == ("NOBODY", "refused: no such role")


def test_the_trail_of_a_run_can_be_searched(genuine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = page_over(genuine, monkeypatch)
    page = shown.look("audit")
    page.text_input[0].set_value("ROSTER")
    shown.again(page)
    assert list(page.dataframe[0].value["Type"]) == ["roster"]
    assert "1 of " in words(page)


def test_a_proof_of_the_page_is_that_of_the_command_and_holds_without_the_folder(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(genuine, monkeypatch)
    page = shown.look("audit")
    [(name, data)] = shown.offered.items()
    assert data == make_proof(genuine, RUN).proof.to_bytes
    assert name == f"entry-{page.number_input[0].value}.tlog-proof"
    assert f"The run finished (entry {page.number_input[0].value}, run-finished, of run {RUN})" in (
        words(page)
    )
    page.number_input[0].set_value(3)
    shown.again(page)
    proof = parse_tlog_proof(shown.offered["entry-3.tlog-proof"])
    assert proof.extra is not None
    found = verify_tlog_proof(proof, proof.extra, folder_policy(genuine))
    assert found.index == 3 and len(found.cosignatures) == 4
    assert "cosigned by east, north, south, west: a quorum." in words(page)
