"""The page's audit over a real folder: cosigners, incidents, changes, acts, entries and proofs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from collegium.verification.proofs import folder_policy, make_proof
from compliance.facts.dossier import LogVerification
from compliance.governance.incidents.course import Incident, IncidentState, IncidentStep
from compliance.reports.document import Tone
from coordinator.database.log.cosignatures import keep_cosignatures
from coordinator.database.store import Store, logged_entries, newest_head
from coordinator.database.workspace import Workspace
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import RecordedAct
from coordinator.views.log.cosigners import CosignedLog, CosignerProgress
from coordinator.views.opened.version import KeptVerification
from coordinator.views.views import open_views
from dashboard.reading.verifying import VerificationState
from dashboard.rows import audit
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.log.cosignature import Ed25519Cosigner, cosigned_lines
from protocol.log.signed_note import split_note
from protocol.log.tlog_proof import parse_tlog_proof, verify_tlog_proof
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.folder_page import page_over, rows, words
from tests.support.simulated.output_folder import RUNS, change

RUN = RUNS[1]  # the newest, which the page offers first
NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)


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
    assert "No such act of a person is recorded." in words(page)


def test_acts_stand_with_who_in_which_role_and_what_came_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with people_of(folder) as people:
        people.found()
        people.act(BEA, "report.export", ("report", RUN), {"run": RUN, "kind": "model-card"})
    page = page_over(folder, monkeypatch).look("audit")
    assert "NOBODY" not in words(page)
    act = table_with(page, "Act")[0]
    assert (act["Who"], act["Role"], act["Act"]) == (
        BEA, "auditor", "export a report or evidence",
    )  # fmt: skip
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


def found(page: AppTest) -> list[str]:
    """Returns the types of the entries that the search shows."""
    return list(page.dataframe[0].value["Type"])


def entries_of(folder: Path) -> list[str]:
    """Returns the types of all entries, the newest first."""
    with closing(Store.for_reading(Workspace.open(folder).database)) as store:
        with store.read() as session:
            return [one.content.type for one in reversed(logged_entries(session))]


def test_the_whole_log_is_searched_in_words_and_by_run(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(genuine, monkeypatch)
    page = shown.look("audit")
    page.text_input(key="log words").set_value("ROSTER")
    shown.again(page)
    assert found(page) == ["roster", "roster"] and "2 entries here" in words(page)
    page.selectbox(key="log run").set_value(RUN)
    shown.again(page)
    assert found(page) == ["roster"]
    page.text_input(key="log words").set_value("nothing of this kind")
    shown.again(page)
    assert "No entry here is what you search." in words(page) and not page.dataframe


def test_pages_of_the_log_go_back_to_its_beginning_and_forth_again(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = entries_of(genuine)
    assert 50 < len(every) <= 100
    shown = page_over(genuine, monkeypatch)
    page = shown.look("audit")
    assert found(page) == every[:50]
    shown.press(page, "Older")
    assert found(page) == every[50:] and "to the beginning of what was asked" in words(page)
    shown.press(page, "Newer")
    assert found(page) == every[:50]


def test_entries_of_a_person_stand_with_what_each_act_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with people_of(folder) as people:
        people.found()
        people.act(BEA, "report.export", ("report", RUN), {"run": RUN, "kind": "model-card"})
    shown = page_over(folder, monkeypatch)
    page = shown.look("audit")
    page.selectbox(key="log person").set_value(BEA)
    shown.again(page)
    told = page.dataframe[0].value["By whom"]
    assert set(told) == {
        f"{BEA}: export a report or evidence (report {RUN})",
        f"{BEA}: confirm a change of another (change 1)",
    }


def test_refused_acts_can_be_listed_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with people_of(folder) as people:
        people.found()
        with pytest.raises(PolicyRefused):
            people.act(ADA, "access.review", ("policy", "version 1"), {"digest": "x"})
    shown = page_over(folder, monkeypatch)
    page = shown.look("audit")
    page.selectbox(key="acts outcome").set_value("refused")
    shown.again(page)
    [act] = table_with(page, "Act")
    assert act["Act"] == "review who may do what" and act["Outcome"].startswith(
        "refused: Dr. Ada Admin"
    )
    page.selectbox(key="acts outcome").set_value("failed")
    shown.again(page)
    assert "No such act of a person is recorded." in words(page)


def test_a_short_log_is_verified_whenever_it_has_grown_and_key_and_size_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(folder, monkeypatch)
    page = shown.look("audit")
    size = len(entries_of(folder))
    assert f"Verified: all {size} entries, and every record against them." in words(page)
    assert Workspace.open(folder).public_key().hex() in words(page)
    with people_of(folder) as people:
        people.found()
    shown.again(page)
    assert len(entries_of(folder)) > size
    assert f"Verified: all {len(entries_of(folder))} entries" in words(page)


class LongLog:
    """The views of a log that is verified beside the page; ``state`` is how far that is."""

    def __init__(self, state: VerificationState) -> None:
        self.state, self.begun = state, 0

    def verification_state(self) -> VerificationState:
        return self.state

    def verified(self) -> KeptVerification | None:
        return self.state.kept

    def verify(self) -> None:
        self.begun += 1
        self.state = VerificationState(running=True, part="runs", done=3, total=12)


def verification_of(views: LongLog, size: int) -> AppTest:
    def script(views, size) -> None:  # type: ignore[no-untyped-def]
        from dashboard.app_pages.audit.verification import show_verification
        from dashboard.viewer import DemoViewer

        show_verification(views, size, DemoViewer())

    page = AppTest.from_function(script, args=(views, size), default_timeout=PATIENCE).run()
    assert not page.exception
    return page


def test_a_long_log_is_verified_when_it_is_asked_for_with_progress() -> None:
    views = LongLog(VerificationState())
    page = verification_of(views, 1_000_000)
    assert "the log has 1,000,000 entries" in words(page) and views.begun == 0
    page.button[0].click().run()
    assert views.begun == 1 and page.button[0].disabled
    [progress] = page.get("progress")
    assert progress.proto.value == 25 and "Checking runs" in progress.proto.text  # type: ignore[attr-defined]


def test_what_came_since_a_verification_is_counted_and_its_time_and_length_are_told() -> None:
    found = KeptVerification(size=1_000_000, result=LogVerification(key="ab" * 32))
    state = VerificationState(kept=found, at="2026-11-29T10:00:00.000Z", seconds=312.0)
    page = verification_of(LongLog(state), 1_000_005)
    text = words(page)
    assert "Verified: all 1,000,000 entries" in text and "5 new entries since" in text
    assert "2026-11-29 10:00:00 UTC; it took" in text


def test_a_verification_that_came_to_nothing_says_why() -> None:
    page = verification_of(LongLog(VerificationState(refused="its process was ended")), 9_000)
    assert page.error[0].value == "its process was ended"


def test_a_record_that_was_changed_is_found_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "UPDATE run SET seed = 9 WHERE id = 'run-2'")
    shown = page_over(folder, monkeypatch)
    page = shown.look("audit")
    assert "**NOT VERIFIED" in page.error[0].value and "run run-2" in words(page)


def test_a_proof_of_the_page_is_that_of_the_command_and_holds_without_the_folder(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(genuine, monkeypatch)
    page = shown.look("audit")
    made = make_proof(genuine, RUN).proof
    page.number_input[0].set_value(made.index)
    shown.again(page)
    [(name, data)] = shown.offered.items()
    assert data == made.to_bytes and name == f"entry-{made.index}.tlog-proof"
    assert f"The run finished (entry {made.index}, run-finished, of run {RUN})" in words(page)
    page.number_input[0].set_value(3)
    shown.again(page)
    proof = parse_tlog_proof(shown.offered["entry-3.tlog-proof"])
    assert proof.extra is not None
    proven = verify_tlog_proof(proof, proof.extra, folder_policy(genuine))
    assert proven.index == 3 and len(proven.cosignatures) == 4
    assert "cosigned by east, north, south, west: a quorum." in words(page)


def test_an_empty_log_has_nothing_to_search_or_to_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.create(tmp_path / "home")
    Store(workspace.database).close()
    page = page_over(workspace.root, monkeypatch).look("audit")
    assert "No entry here is what you search." in words(page)
    assert page.button[0].disabled and not page.number_input


def test_entries_show_what_a_page_holds_and_the_proof_tells_the_rest(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(genuine, monkeypatch).look("audit")
    order = list(page.dataframe[0].proto.column_order)
    assert order == ["Index", "What was done", "Run", "Time"]  # nobody is registered
    newest = page.dataframe[0].value.iloc[0]
    assert newest["Digest of the details"] in words(page) and newest["Leaf"] in words(page)
