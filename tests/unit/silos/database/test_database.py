"""The hospital's database: durable, private, append-only, and refused when damaged."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from compliance.ledger.entries import UNOPENED, Reservation
from compliance.ledger.ledger import Ledger
from compliance.privacy.events import SampledGaussian
from protocol.encoding import blob_digest
from protocol.errors import (
    BudgetSpent,
    LedgerBroken,
    MessageRefused,
    StoreBroken,
    WorkspaceRefused,
)
from silos.database.database import SiteDatabase, SiteTable, open_hospital
from tests import ROOT
from tests.support.machine.databases import REFUSED, allow_updates, run_sql
from tests.support.simulated.bookings import HELD

PLAN = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=150)
SHARE = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=10)


@pytest.fixture
def place(place_of: Callable[[str], Path | str]) -> Path | str:
    return place_of("north")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """For what only a file can suffer."""
    return tmp_path / "north.db"


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "north-blobs"


@pytest.fixture
def open_north(place: Path | str, blobs: Path) -> Callable[..., SiteDatabase]:
    return partial(open_hospital, place, site="north", blobs=blobs)


@pytest.fixture
def hospital(open_north: Callable[..., SiteDatabase]) -> Iterator[SiteDatabase]:
    opened = open_north()
    yield opened
    opened.close()


def reserve(ledger: Ledger, run: str = "run-1") -> Reservation:
    """Books 3.0 of the 4.912 that epsilon 8 holds: two of these do not fit."""
    ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    return ledger.reserve(
        study="s" * 64, run=run, partition="training", round_kind="training", event=PLAN
    )


def test_new_database_has_the_tables_of_the_models(hospital: SiteDatabase) -> None:
    with hospital.session() as session:
        found = compare_metadata(
            MigrationContext.configure(session.connection()), SiteTable.metadata
        )
    assert found == []


def test_new_file_is_private_and_durable(path: Path) -> None:
    hospital = open_hospital(path, site="north")
    assert path.stat().st_mode & 0o777 == 0o600
    with hospital.connection() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        }
    hospital.close()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
    }


def test_identity_is_kept_for_life(
    hospital: SiteDatabase, open_north: Callable[..., SiteDatabase]
) -> None:
    again = open_north()
    keys = again.split_key, again.identity_key
    again.close()
    assert keys == (hospital.split_key, hospital.identity_key)
    assert [len(key) for key in keys] == [32, 32] and keys[0] != keys[1]
    assert hospital.site == "north"


def test_first_opening_by_several_at_once_makes_one_hospital(
    tmp_path: Path, open_north: Callable[..., SiteDatabase]
) -> None:
    keys: list[bytes] = []

    def work() -> None:
        opened = open_north()
        keys.append(opened.identity_key)
        opened.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 4 and len(set(keys)) == 1
    assert [file.name for file in tmp_path.glob("*.partial")] == []


def test_two_hospitals_never_share_a_key(
    hospital: SiteDatabase, place_of: Callable[[str], Path | str], blobs: Path
) -> None:
    elsewhere = blobs.with_name("south-blobs")
    other = open_hospital(place_of("south"), site="south", blobs=elsewhere)
    assert other.split_key != hospital.split_key
    assert other.identity_key != hospital.identity_key
    other.close()


def test_given_split_key_is_adopted_once(open_north: Callable[..., SiteDatabase]) -> None:
    open_north(split_key=bytes(range(32))).close()
    kept = open_north()
    assert kept.split_key == bytes(range(32))
    kept.close()
    with pytest.raises(WorkspaceRefused, match="north has another split key, for life"):
        open_north(split_key=bytes(32))
    with pytest.raises(ValueError, match="a split key has 32 bytes, got 3"):
        open_north(split_key=b"abc")


def test_database_of_another_hospital_is_refused(
    hospital: SiteDatabase, open_north: Callable[..., SiteDatabase]
) -> None:
    with pytest.raises(WorkspaceRefused, match="belongs to hospital north, not south"):
        open_north(site="south")


def test_ledger_survives_reopening(
    hospital: SiteDatabase, open_north: Callable[..., SiteDatabase]
) -> None:
    plan = reserve(hospital.ledger)
    token = hospital.ledger.mark_sent(plan, context="c", event=SHARE, blob="b", content="c")
    hospital.close()
    again = open_north()
    assert again.ledger.verify(remembered=[token.head]) == token.head
    assert reserve(again.ledger) == plan
    again.close()


@pytest.mark.parametrize("table", ["budget", "ledger_entry", "signing_record"])
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "REPLACE"])
def test_rows_cannot_be_changed_or_removed(
    hospital: SiteDatabase, table: str, verb: str, place: Path | str
) -> None:
    reserve(hospital.ledger)
    hospital.signing_record().record(("c", "sign", "d"))
    column = {"budget": "upper_capacity", "ledger_entry": "rho_upper", "signing_record": "digest"}[
        table
    ]
    statement = {
        "UPDATE": f"UPDATE {table} SET {column} = NULL",  # noqa: S608 - names of this test
        "DELETE": f"DELETE FROM {table}",  # noqa: S608
        "REPLACE": {
            "sqlite": f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",  # noqa: S608
            "postgresql": f"INSERT INTO {table} SELECT * FROM {table} "  # noqa: S608
            f"ON CONFLICT ON CONSTRAINT pk_{table} DO UPDATE SET {column} = NULL",
        },
    }[verb]
    with pytest.raises(REFUSED, match=f"{table} is append-only"):
        run_sql(place, statement)
    hospital.ledger.verify()


def test_row_changed_behind_the_triggers_is_found(
    hospital: SiteDatabase, place: Path | str
) -> None:
    reserve(hospital.ledger)
    allow_updates(place, "ledger_entry")
    run_sql(place, "UPDATE ledger_entry SET rho_upper = 0")
    with pytest.raises(LedgerBroken, match="entry 1 was changed"):
        hospital.ledger.verify()


def test_refused_write_is_a_broken_ledger_and_changes_nothing(
    hospital: SiteDatabase, place: Path | str
) -> None:
    plan = reserve(hospital.ledger)
    head = hospital.ledger.head
    run_sql(
        place,
        {
            "sqlite": "CREATE TRIGGER full_disk BEFORE INSERT ON ledger_entry "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
            "postgresql": "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE disk_full USING MESSAGE = 'disk is full'; END $$; "
            "CREATE TRIGGER full_disk BEFORE INSERT ON ledger_entry "
            "FOR EACH ROW EXECUTE FUNCTION full_disk()",
        },
    )
    with pytest.raises(LedgerBroken, match=r"disk is full.*nothing was changed. Check disk space"):
        hospital.ledger.mark_sent(plan, context="c", event=SHARE, blob="b", content="c")
    assert hospital.ledger.head == head


def test_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a ledger. " * 200)
    with pytest.raises(LedgerBroken, match=r"site north: north.db is not a readable .* backup"):
        open_hospital(path, site="north")


def test_emptied_file_is_refused_and_not_made_anew(path: Path) -> None:
    path.touch()
    with pytest.raises(LedgerBroken, match="north.db is empty: restore it from a backup"):
        open_hospital(path, site="north")
    assert path.stat().st_size == 0


def test_damaged_pages_are_refused(path: Path) -> None:
    hospital = open_hospital(path, site="north")
    reserve(hospital.ledger)
    hospital.close()
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(LedgerBroken, match="restore it from a backup"):
        open_hospital(path, site="north")


def test_database_of_newer_or_other_software_is_refused(
    hospital: SiteDatabase, open_north: Callable[..., SiteDatabase], place: Path | str
) -> None:
    hospital.close()
    run_sql(place, "UPDATE alembic_version SET version_num = 'hospital_9999'")
    with pytest.raises(LedgerBroken, match="newer software: upgrade"):
        open_north()


def test_two_runs_cannot_jointly_overrun(open_north: Callable[..., SiteDatabase]) -> None:
    hospitals = [open_north() for _ in range(4)]
    hospitals[0].ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    start, admitted, refused = threading.Barrier(len(hospitals)), [], []

    def work(number: int) -> None:
        start.wait()
        try:
            admitted.append(reserve(hospitals[number].ledger, f"run-{number}"))
        except BudgetSpent:
            refused.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(hospitals))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), len(refused)) == (1, 3)
    assert hospitals[0].ledger.verify()
    for hospital in hospitals:
        hospital.close()


def test_many_writers_leave_one_chain(open_north: Callable[..., SiteDatabase]) -> None:
    hospitals = [open_north() for _ in range(3)]
    plan = reserve(hospitals[0].ledger)

    def work(number: int) -> None:
        for place in range(5):
            hospitals[number].ledger.mark_sent(
                plan, context=(name := f"c{number}.{place}"), event=SHARE, blob="b", content=name
            )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hospitals[0].ledger.verify()
    assert hospitals[0].ledger.summary().of("training").reserved == 0.0
    for hospital in hospitals:
        hospital.close()


KILLED_IN_A_TRANSACTION = """
import os, signal, sys
from pathlib import Path
from compliance.privacy.events import SampledGaussian
from silos.database.database import open_hospital
hospital = open_hospital(sys.argv[1], site="north", blobs=Path(sys.argv[2]))
event = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=150)
hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
plan = hospital.ledger.reserve(
    study="s" * 64, run="run-1", partition="training", round_kind="training", event=event)
token = hospital.ledger.mark_sent(plan, context="c1", event=event, blob="b", content="c1")
print(token.head, flush=True)
with hospital.transaction() as book:
    row = book.last()
    from dataclasses import replace
    book.append(replace(row, number=3, context="c2", prev_hash=row.hash, hash="f" * 64))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_keeps_what_was_booked_and_nothing_half_done(
    place: Path | str, blobs: Path, open_north: Callable[..., SiteDatabase]
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_A_TRANSACTION, str(place), str(blobs)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    hospital = open_north()
    assert hospital.ledger.verify() == killed.stdout.strip()
    assert hospital.ledger.summary().of("training").spent == pytest.approx(3.0 / HELD)
    hospital.close()


def test_signing_record_accepts_the_same_digest_again(
    hospital: SiteDatabase, open_north: Callable[..., SiteDatabase]
) -> None:
    hospital.signing_record().record(("context", "masked", "a" * 64))
    again = open_north()
    again.signing_record().record(("context", "masked", "a" * 64))
    again.signing_record().record(("other context", "masked", "b" * 64))
    again.signing_record().record(("context", "sign", "b" * 64))
    again.close()


def test_signing_record_refuses_a_second_digest(hospital: SiteDatabase) -> None:
    guard = hospital.signing_record()
    guard.record(("context", "masked", "a" * 64))
    with pytest.raises(MessageRefused, match="bound itself to another masked in this context"):
        guard.record(("context", "masked", "b" * 64))
    guard.record(("context", "masked", "a" * 64))


def test_signing_record_binds_one_of_two_racing_digests(
    open_north: Callable[..., SiteDatabase],
) -> None:
    hospitals = [open_north() for _ in range(2)]
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def work(number: int) -> None:
        start.wait()
        try:
            hospitals[number].signing_record().record(("context", "sign", str(number)))
            outcomes.append("bound")
        except MessageRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["bound", "refused"]
    for hospital in hospitals:
        hospital.close()


def test_masked_blob_comes_back_byte_for_byte(
    hospital: SiteDatabase, open_north: Callable[..., SiteDatabase], blobs: Path
) -> None:
    blob = os.urandom(4000)
    for _ in range(2):
        hospital.keep_blob("c", blob, blob_digest(blob))
    again = open_north()
    assert (again.blob("c"), again.blob("unknown")) == (blob, None)
    again.close()
    kept = list(blobs.iterdir())
    assert [file.stat().st_mode & 0o777 for file in kept] == [0o600]


def test_second_masked_blob_of_a_context_is_refused(hospital: SiteDatabase) -> None:
    hospital.keep_blob("c", b"first", blob_digest(b"first"))
    with pytest.raises(MessageRefused, match="another masked vector was made"):
        hospital.keep_blob("c", b"second", blob_digest(b"second"))
    assert hospital.blob("c") == b"first"


def test_changed_or_lost_blob_is_not_sent(hospital: SiteDatabase, blobs: Path) -> None:
    hospital.keep_blob("c", b"masked", blob_digest(b"masked"))
    file = blobs / blob_digest(b"masked")
    file.write_bytes(b"changed")
    with pytest.raises(StoreBroken, match="was changed: do not send it"):
        hospital.blob("c")
    file.unlink()
    with pytest.raises(StoreBroken, match="is lost"):
        hospital.blob("c")


def test_dropped_blob_is_gone_but_not_another_contexts(hospital: SiteDatabase, blobs: Path) -> None:
    hospital.keep_blob("c1", b"shared", blob_digest(b"shared"))
    hospital.keep_blob("c2", b"shared", blob_digest(b"shared"))
    hospital.drop_blob("c1")
    assert (hospital.blob("c1"), hospital.blob("c2")) == (None, b"shared")
    hospital.drop_blob("c2")
    assert list(blobs.iterdir()) == []


def test_unopened_budget_has_no_head_of_its_own(hospital: SiteDatabase) -> None:
    assert hospital.ledger.head == hospital.ledger.verify() == UNOPENED


def test_messages_hold_neither_keys_nor_folders(
    hospital: SiteDatabase, tmp_path: Path, open_north: Callable[..., SiteDatabase]
) -> None:
    with pytest.raises(WorkspaceRefused) as refused:
        open_north(site="south")
    assert str(tmp_path) not in str(refused.value)
    assert hospital.identity_key.hex() not in str(refused.value)
