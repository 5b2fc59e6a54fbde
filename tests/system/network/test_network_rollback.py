"""A hospital whose database is restored in mid-run, over a real service: found out by itself."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from compliance.ledger.entries import State
from coordinator.http.documents import MembersBackend
from protocol.errors import LedgerBroken
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import own_statements
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, RunTimeouts, Site, until
from tests.support.simulated.studies import changed

ROUNDS = 12


def back_up(site: Site, to: Path) -> None:
    """As docs/operations.md says, while the service works."""
    with closing(sqlite3.connect(site.home / "hospital.db")) as own:
        with closing(sqlite3.connect(to)) as backup:
            own.backup(backup)


def restore(site: Site, backup: Path) -> None:
    for file in site.home.glob("hospital.db*"):
        file.unlink()
    shutil.copy(backup, site.home / "hospital.db")


def sent(site: Site) -> int:
    """How many training rounds a hospital's ledger has booked as sent."""
    with closing(site.open()) as hospital, hospital.transaction() as guard:
        rows = guard.entries()
    return sum(row.state is State.SENT and row.round_kind == "training" for row in rows)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    study = read_study(changed("rounds: 2", f"rounds: {ROUNDS}"))
    return Network(tmp_path, study, pace=RunTimeouts(joining=PATIENCE, step=10, patience=PATIENCE))


def back_up_in_mid_run(network: Network, east: Site, backup: Path) -> tuple[str, int]:
    """Runs until a backup of east's is two rounds old, and stops east.

    Returns the run, and how many rounds east has booked.
    """
    run = network.service.start_run(network.study.digest, test_noise=True)
    until(lambda: network.rounds_finished(run) >= 1)
    network.service.steer(run, "pause")
    back_up(east, backup)
    network.service.steer(run, "resume")
    until(lambda: network.rounds_finished(run) >= 3)
    network.service.steer(run, "pause")
    east.stop()
    return run, sent(east)


def another_round(network: Network, run: str) -> None:
    network.service.steer(run, "resume")
    rounds = network.rounds_finished(run)
    until(lambda: network.rounds_finished(run) > rounds)
    stop(network, run)


def stop(network: Network, run: str) -> None:
    network.service.steer(run, "stop")
    network.service.wait(run, PATIENCE)


def start_and_be_heard(network: Network, site: Site) -> None:
    """Starts a hospital again; the coordinator has heard from it when this returns, and asks it."""
    before = network.service.status()["last_seen"].get(site.name, 0.0)
    site.start()
    until(lambda: network.service.status()["last_seen"][site.name] > before)


@pytest.mark.long
def test_a_ledger_restored_in_mid_run_is_refused_though_the_coordinator_is_silent(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MembersBackend, "_own_statements", lambda *_: own_statements({}, []))
    east = network.sites["east"]
    with network.serving():
        network.start_sites()
        run, booked = back_up_in_mid_run(network, east, tmp_path / "backup.db")
        restore(east, tmp_path / "backup.db")
        assert sent(east) < booked
        with pytest.raises(LedgerBroken, match="the ledger went back in time"):
            east.start()
        another_round(network, run)
        assert sent(east) < booked  # nothing was booked, so nothing was sent
        assert sent(network.sites["west"]) > booked


@pytest.mark.long
def test_a_whole_folder_restored_in_mid_run_is_found_by_what_the_coordinator_has_kept(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    east = network.sites["east"]
    with network.serving():
        network.start_sites()
        listed = east.home / "hospital-heads" / "east.ledger"
        run, booked = back_up_in_mid_run(network, east, tmp_path / "backup.db")
        restore(east, tmp_path / "backup.db")
        lines = listed.read_bytes().splitlines(keepends=True)
        listed.write_bytes(b"".join(lines[: 3 + sent(east)]))  # its beginning and two plans first
        with closing(east.open()) as hospital:
            hospital.ledger.require_newest()  # by its own list it is the newest
        start_and_be_heard(network, east)
        network.service.steer(run, "resume")
        until(lambda: f"run {run}, advertise refused: the ledger went back in time" in caplog.text)
        stop(network, run)
        assert sent(east) < booked
