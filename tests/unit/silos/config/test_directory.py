"""A hospital's home: its database beside the site file, or on a PostgreSQL server of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.errors import SiteFileRefused, WorkspaceRefused
from silos.config.directory import open_own, opened, read_own
from silos.config.site_file import site_file_of
from silos.config.site_template import site_template
from silos.operations.site import make_home

if TYPE_CHECKING:
    from tests.support.machine.postgres import Server


def test_home_without_an_address_keeps_its_database_beside_the_site_file(tmp_path: Path) -> None:
    make_home(tmp_path / "east", "east", None, simulated=False)
    assert (tmp_path / "east" / "hospital.db").is_file()
    with opened(tmp_path / "east") as (site, hospital):
        assert site.database is None and hospital.site == "east"


def test_home_with_an_address_keeps_keys_and_ledger_on_the_server(
    tmp_path: Path, postgres: "Server"
) -> None:
    address = postgres.new_database()
    make_home(tmp_path / "east", "east", None, simulated=True, database=address)
    assert not (tmp_path / "east" / "hospital.db").exists()
    with opened(tmp_path / "east") as (_, hospital):
        hospital.ledger.open_budget(epsilon_max=3, delta=1e-5, signed_by="east")
    looked = read_own(tmp_path / "east", site_file_of(tmp_path / "east"))
    assert looked.simulated and looked.ledger.summary().epsilon_max == 3
    looked.close()


def test_address_of_anything_but_postgresql_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteFileRefused, match="database"):
        make_home(tmp_path / "east", "east", None, simulated=False, database="mysql://x")


def test_home_that_was_never_made_says_what_makes_it(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(site_template("east"))
    with pytest.raises(WorkspaceRefused, match="holds no hospital.db: collegium silo init makes"):
        open_own(tmp_path, site_file_of(tmp_path))
