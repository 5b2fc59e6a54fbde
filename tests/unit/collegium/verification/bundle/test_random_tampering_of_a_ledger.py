# ruff: noqa: S608  (the statements are this file's own)
"""No random tampering with a hospital's budget or ledger passes the check against the log.

``make test`` tries some, ``make long`` a thousand.
"""

import random
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from collegium.verification.hospital_checks import check_hospital
from coordinator.audit.faults import Faults
from coordinator.audit.verification import Verified, check_records
from coordinator.database.store import Store
from protocol.errors import FederationError
from silos.database.database import read_hospital
from tests.support.machine.databases import without_guards
from tests.unit.collegium.verification.bundle.conftest import Evidence

SITE, FILE = "east", "hospital.db"
TABLES = ("budget", "ledger_entry")


@pytest.fixture
def records(evidence: Evidence) -> Iterator[Verified]:
    with (
        closing(Store.for_reading(evidence.folder / "collegium.db")) as store,
        store.read() as session,
    ):
        yield check_records(session, evidence.key, Faults())


def tamper(database: Path, chance: random.Random) -> str:
    """Changes, removes, doubles or swaps something in a ledger; returns what."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        back = without_guards(connection)
        table = chance.choice(TABLES)
        rows = connection.execute(f"SELECT rowid, * FROM {table}").fetchall()
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        row, column = chance.choice(rows), chance.randrange(len(names))
        act = chance.choice(("change", "change", "change", "remove", "swap"))
        if act == "remove":
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row[0],))
        elif act == "swap" and len(rows) > 1:
            other = chance.choice([one for one in rows if one[0] != row[0]])
            for own, told in ((row[0], other), (other[0], row)):
                cells = ", ".join(f"{name} = ?" for name in names[1:])
                connection.execute(
                    f"UPDATE OR REPLACE {table} SET {cells} WHERE rowid = ?", (*told[2:], own)
                )
        else:
            value = changed(row[1 + column], chance)
            connection.execute(
                f"UPDATE OR REPLACE {table} SET {names[column]} = ? WHERE rowid = ?",
                (value, row[0]),
            )
        back()
        return f"{act} {table}.{names[column]} of {row[0]}"


def changed(value: object, chance: random.Random) -> object:
    """Returns another value, of the same type where there is one."""
    if isinstance(value, int):
        return value + chance.choice((-1, 1, 1 << 20))
    if isinstance(value, float):
        return value * chance.choice((0.5, 1.000001))
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice([c for c in "0a}Z" if c != value[at]]) + value[at + 1 :]
    return "7" if value is None or value == "" else None


@pytest.mark.parametrize(
    "numbers", [range(30), pytest.param(range(30, 1000), marks=pytest.mark.long)]
)
def test_every_tampering_with_a_ledger_is_found(
    evidence: Evidence, records: Verified, tmp_path: Path, numbers: Sequence[int]
) -> None:
    passed = []
    for number in numbers:
        place = tmp_path / str(number)
        shutil.copytree(evidence.folder / "silos" / SITE, place)
        before = (place / FILE).read_bytes()
        what = tamper(place / FILE, random.Random(number))
        faults = Faults()
        try:
            with closing(read_hospital(place / FILE, site=SITE)) as hospital:
                check_hospital(hospital, SITE, records, evidence.key, faults)
        except FederationError:
            continue
        if not faults.found and (place / FILE).read_bytes() != before:
            passed.append(f"{number}: {what}")
        shutil.rmtree(place)
    assert not passed
