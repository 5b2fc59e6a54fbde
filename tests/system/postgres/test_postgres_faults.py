"""A database that is gone in the middle: no booking is lost, none is made twice."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from compliance.ledger.entries import State
from compliance.storage import transactions
from coordinator.audit.verification import verify_records
from coordinator.database.store import Store, newest_head
from protocol.errors import LedgerBroken, StoreBroken, StoreSilent, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from silos.database.database import SiteDatabase
from tests.support.machine.postgres import Server
from tests.support.machine.short_form import short_form
from tests.support.networked.lossy_wire import Loss, LossyWire
from tests.support.simulated.bookings import north, require_spent, reserve, send
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study


@pytest.fixture
def hospital(postgres: Server, tmp_path: Path) -> Iterator[SiteDatabase]:
    opened = north(postgres.new_schema(), tmp_path / "blobs")
    yield opened
    opened.close()


@pytest.fixture
def wire(postgres: Server) -> Iterator[LossyWire]:
    folder = Path(tempfile.mkdtemp(prefix="wire-"))  # a socket's name must be short
    opened = LossyWire(folder, postgres.folder)
    yield opened
    opened.close()
    shutil.rmtree(folder)


@pytest.fixture
def distant(postgres: Server, wire: LossyWire, tmp_path: Path) -> Iterator[SiteDatabase]:
    """A hospital whose wire to its database may lose something."""
    address = postgres.new_schema().replace(str(postgres.folder), str(wire.folder))
    opened = north(address, tmp_path / "blobs")
    yield opened
    opened.close()


# --- a COMMIT that is not answered ----------------------------------------------------------------


def test_booking_whose_answer_was_lost_is_found_and_not_made_twice(
    distant: SiteDatabase, wire: LossyWire
) -> None:
    plan = reserve(distant)
    wire.lose = "answer"
    token = send(distant, plan)
    assert wire.lose is None
    assert send(distant, plan) == token
    require_spent(distant, 1)


@pytest.mark.parametrize("loss", ["question", "question, noticed late"])
def test_booking_that_never_arrived_is_refused_and_can_be_made_again(
    distant: SiteDatabase, wire: LossyWire, loss: Loss
) -> None:
    plan = reserve(distant)
    wire.lose = loss
    with pytest.raises(LedgerBroken, match=r"does not answer .*: nothing was changed"):
        send(distant, plan)
    require_spent(distant, 0)
    send(distant, plan)
    require_spent(distant, 1)


@pytest.mark.parametrize("loss", ["question", "answer"])
def test_booking_that_nobody_can_ask_about_is_said_to_be_unknown_and_found_later(
    distant: SiteDatabase, wire: LossyWire, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PATIENCE_SECONDS", 0.1)
    plan = reserve(distant)
    wire.lose, wire.cut_after_loss = loss, True
    with pytest.raises(LedgerBroken, match="whether the last change was kept is not known"):
        send(distant, plan)
    wire.is_cut = False
    send(distant, plan)
    require_spent(distant, 1)


def test_reservation_whose_answer_was_lost_is_the_one_that_is_returned(
    distant: SiteDatabase, wire: LossyWire
) -> None:
    distant.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    wire.lose = "answer"
    plan = reserve(distant)
    assert (plan, distant.ledger.summary().num_entries) == (reserve(distant), 1)


# --- a connection or a server that is gone --------------------------------------------------------


def end_connections(postgres: Server) -> None:
    with postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def test_connection_lost_between_two_bookings_is_made_anew(
    hospital: SiteDatabase, postgres: Server
) -> None:
    plan = reserve(hospital)
    end_connections(postgres)
    send(hospital, plan)
    require_spent(hospital, 1)


def test_connection_lost_within_a_booking_changes_nothing(
    hospital: SiteDatabase, postgres: Server
) -> None:
    reserve(hospital)
    head = hospital.ledger.head
    with pytest.raises(LedgerBroken, match=r"does not answer .*: nothing was changed. Start it"):
        with hospital.transaction() as guard:
            end_connections(postgres)
            guard.last()
    assert hospital.ledger.head == head


def test_booking_survives_a_server_that_crashed_after_it(
    hospital: SiteDatabase, postgres: Server
) -> None:
    token = send(hospital, reserve(hospital))
    postgres.crash()
    postgres.start()
    assert hospital.ledger.verify(remembered=[token.head]) == token.head


def test_server_that_stays_away_is_reported_with_what_to_do(
    hospital: SiteDatabase, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PATIENCE_SECONDS", 0.1)
    plan = reserve(hospital)
    postgres.stop()
    try:
        with pytest.raises(LedgerBroken, match=r"does not answer .*Start it, or mend the way"):
            send(hospital, plan)
    finally:
        postgres.start()
    require_spent(hospital, 0)


def test_server_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match=r"database rows does not answer .*No such file"):
        Store(f"postgresql://somebody@/rows?host={tmp_path}")


def test_no_dead_connection_is_kept_of_a_server_that_went_away(postgres: Server) -> None:
    address = postgres.new_schema()
    Store(address).close()
    with closing(Store.for_reading(address, patient=False)) as store:
        with store.read() as one, store.read() as other:
            assert newest_head(one) is None and newest_head(other) is None
        pool = store._engine.pool
        assert pool.checkedin() == 2  # type: ignore[attr-defined]
        postgres.stop()
        try:
            with pytest.raises(StoreSilent, match="does not answer"), store.read():
                pass
            assert pool.checkedin() == 0  # type: ignore[attr-defined]
            with pytest.raises(StoreSilent, match="does not answer"):
                Store.for_reading(address)
        finally:
            postgres.start()
        with store.read() as session:
            assert newest_head(session) is None


# --- a whole federation ---------------------------------------------------------------------------


def one_round() -> Study:
    return read_study(changed("rounds: 2", "rounds: 1"))


@pytest.fixture
def addresses(postgres: Server) -> Callable[[str], str]:
    return lambda _name: postgres.new_schema()


def test_federation_in_postgresql_gives_the_same_model_and_a_log_that_verifies(
    tmp_path: Path, addresses: Callable[[str], str]
) -> None:
    digests = []
    for kind in ("sqlite", "postgresql"):
        (tmp_path / kind).mkdir()
        federation = Federation(
            tmp_path / kind, small_study(), fixed_noise=3,
            addresses=addresses if kind == "postgresql" else lambda _name: None,
        )  # fmt: skip
        digests.append(federation.run().model_digest)
        with federation.store.read() as session:
            found = verify_records(session, federation.workspace.public_key())
        assert (found.runs, found.studies) == (("run-1",), 1)
        federation.close()
    assert digests[0] == digests[1]


def stops_at(postgres: Server, step: str, and_then: Callable[[], object]) -> Callable[..., bool]:
    """A link's fault that loses nothing, but stops the database at the first such step."""
    done = []

    def fault(_site: str, request: Request) -> bool:
        if request.step == step and not done:
            done.append(step)
            postgres.stop()
            and_then()
        return False

    return fault


def require_every_blob_that_left_was_booked(federation: Federation) -> None:
    for site, silo in federation.silos.items():
        left = sum(1 for who, step, reply in federation.link.seen
                   if who == site and step == "masked" and reply.blob is not None)  # fmt: skip
        silo._ledger.verify()
        with silo._database.transaction() as guard:
            sent = sum(entry.state is State.SENT for entry in guard.entries())
        assert left <= sent, site


@pytest.mark.parametrize("step", short_form(["masked", "unmask"], 2))
def test_run_goes_on_when_the_database_is_started_again(
    tmp_path: Path, postgres: Server, addresses: Callable[[str], str], step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(transactions, "PATIENCE_SECONDS", 60.0)
    federation = Federation(tmp_path, one_round(), addresses=addresses)
    later = threading.Timer(0.3, postgres.start)
    federation.link.lost = stops_at(postgres, step, later.start)
    federation.run()
    later.join()
    require_every_blob_that_left_was_booked(federation)
    federation.close()


def test_run_without_its_database_is_refused_with_a_reason_and_counts_what_left(
    tmp_path: Path, postgres: Server, addresses: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(transactions, "PATIENCE_SECONDS", 0.1)
    federation = Federation(tmp_path, one_round(), addresses=addresses)
    federation.link.lost = stops_at(postgres, "consistency", lambda: None)
    try:
        with pytest.raises(StoreBroken, match=r"the database does not answer .*Start it"):
            federation.run()
    finally:
        postgres.start()
    require_every_blob_that_left_was_booked(federation)
    federation.close()
