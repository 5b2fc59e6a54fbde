"""A connection outlives its file: nothing may be written where nobody will find it again."""

from pathlib import Path

import pytest

from protocol.errors import LedgerBroken, StoreBroken, WorkspaceRefused
from silos.database.database import open_hospital


def test_database_that_was_removed_while_open_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "hospital.db"
    hospital = open_hospital(path, site="east", simulated=True)
    path.rename(tmp_path / "away.db")
    with pytest.raises(LedgerBroken, match="hospital.db was removed or replaced while it was open"):
        hospital.ledger.open_budget(epsilon_max=1.0, delta=1e-6, signed_by="east")
    hospital.close()


def test_database_that_lies_in_the_place_of_another_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hospital.db"
    hospital = open_hospital(path, site="east", simulated=True)
    away = tmp_path / "away"
    away.mkdir()
    for each in set(tmp_path.iterdir()) - {away}:
        each.rename(away / each.name)
    open_hospital(path, site="east", simulated=True).close()
    with pytest.raises(StoreBroken, match="removed or replaced"):
        hospital.signing_record().record(("context", "slot", "digest"))
    hospital.close()


def test_database_that_was_brought_back_is_used_again(tmp_path: Path) -> None:
    path, away = tmp_path / "hospital.db", tmp_path / "away.db"
    hospital = open_hospital(path, site="east", simulated=True)
    path.rename(away)
    away.rename(path)
    hospital.ledger.open_budget(epsilon_max=1.0, delta=1e-6, signed_by="east")
    assert hospital.ledger.summary().epsilon_max == 1.0
    hospital.close()


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_log_of_an_earlier_database_is_not_read_into_a_new_one(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "hospital.db"
    left = path.with_name(path.name + ending)
    left.write_bytes(b"pages of another database")
    with pytest.raises(StoreBroken, match=f"hospital.db{ending}, which belongs to it, is there"):
        open_hospital(path, site="east", simulated=True)
    assert left.read_bytes() == b"pages of another database" and not path.exists()


def test_a_link_to_nothing_is_no_place_for_a_database(tmp_path: Path) -> None:
    path = tmp_path / "hospital.db"
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(WorkspaceRefused, match="is a link to a file that is missing"):
        open_hospital(path, site="east", simulated=True)
    assert not (tmp_path / "elsewhere.db").exists()
