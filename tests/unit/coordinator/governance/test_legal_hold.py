"""A legal hold keeps every finished round of a run or of a study's runs, from when it is placed."""

from contextlib import closing
from pathlib import Path

import pytest

from compliance.audit.log import NewEntry
from compliance.governance.retention import Hold, is_held
from coordinator.audit.faults import Faults
from coordinator.audit.folder_checks import check_files
from coordinator.audit.verification import check_records, verify_records
from coordinator.database.store import logged_entries
from coordinator.governance.incident_register import holds_in
from coordinator.governance.tables import HoldRow
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study


@pytest.mark.parametrize(("held", "more"), [(False, False), (True, True)])
def test_a_held_run_keeps_all_its_rounds(tmp_path: Path, held: bool, more: bool) -> None:
    with closing(Federation(tmp_path, small_study())) as federation:
        federation.is_held = held
        federation.run()
        kept = len([*federation.workspace.rounds.iterdir()])
        wanted = small_study().aggregation.keep_rounds
        assert (kept > wanted) is more and kept >= wanted
        faults = Faults()
        with federation.store.read() as session:
            found = check_files(
                session,
                federation.workspace,
                federation.workspace.public_key(),
                [entry.content for entry in logged_entries(session)],
                faults,
            )
        assert not faults.found and found.kept_rounds == kept


def test_a_hold_is_of_a_run_or_of_all_runs_of_a_study() -> None:
    hold = Hold(kind="run", subject="r", reason="x", placed_by="a", placed_at="t")
    of_study = Hold(kind="study", subject="s", reason="x", placed_by="a", placed_at="t")
    lifted = Hold(kind="run", subject="r", reason="x", placed_by="a", placed_at="t", lifted_at="u")
    assert is_held([hold], "r", "s") and is_held([of_study], "q", "s")
    assert not is_held([], "r", "s") and not is_held([lifted, hold], "q", "t")
    assert not is_held([lifted], "r", "s")


def test_a_hold_is_placed_by_one_and_lifted_by_two(tmp_path: Path) -> None:
    with closing(Federation(tmp_path, small_study())) as federation:
        federation.run()
        people = People.over(federation.store, federation.workspace.signing_key())
        people.found()
        about = ("run", federation.run_id)
        people.act(BEA, "hold.place", about, {"reason": "a complaint"})
        with federation.store.read() as session:
            assert is_held(holds_in(session), federation.run_id, federation.study.digest)
        assert people.act(BEA, "hold.lift", about)["waits"]
        people.confirm(CLEO, 2)
        with federation.store.read() as session:
            assert not is_held(holds_in(session), federation.run_id, federation.study.digest)
            assert verify_records(session, federation.workspace.public_key()).acts == 7


@pytest.mark.parametrize("changed", [{"lifted_by": CLEO}, {"reason": "none"}, {"placed_by": CLEO}])
def test_a_hold_that_was_lifted_or_changed_past_the_service_is_found(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    with closing(Federation(tmp_path, small_study())) as federation:
        federation.run()
        key = federation.workspace.signing_key()
        people = People.over(federation.store, key)
        people.found()
        people.act(BEA, "hold.place", ("run", federation.run_id), {"reason": "a complaint"})
        with federation.store.transaction() as transaction:
            row = transaction.session.get_one(HoldRow, 1)
            row.lifted_at = row.placed_at if "lifted_by" in changed else None
            for name, value in changed.items():
                setattr(row, name, value)
            record = transaction.write(row)
            entry = NewEntry(type="hold-placed", run_id=None, payload=record, record=record)
            transaction.log([entry], key)
        faults = Faults()
        with federation.store.read() as session:
            check_records(session, key.public, faults)
        assert any("is not what people signed" in fault.what for fault in faults.found)
