"""The dashboard's command: which folders open how, and what must be said to open it to others."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from collegium.output.http.dashboard_server import open_dashboard
from compliance.facts.comparison.baselines import BASELINES_FILE
from coordinator.runs.sign_in import needs_login
from dashboard.server import Listening
from protocol.errors import PolicyRefused, WorkspaceRefused
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.people import People


def test_a_coordinators_folder_in_the_working_folder_is_not_taken_for_the_package(
    tmp_path: Path,
) -> None:
    (tmp_path / "coordinator" / "rounds").mkdir(parents=True)
    words = [sys.executable, "-P", "-m", "collegium", "dashboard", "--out", "none"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "holds no run" in done.stderr, done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    (tmp_path / BASELINES_FILE).touch()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(WorkspaceRefused, match=f"--port {port} is taken at 127.0.0.1"):
            open_dashboard([tmp_path], Listening(port=port), Console(quiet=True))


def test_a_folder_with_people_asks_for_a_login_and_one_without_says_what_to_do(
    tmp_path: Path,
) -> None:
    home = ConsortiumHome(tmp_path / "c")
    with pytest.raises(PolicyRefused, match="collegium people found"):
        needs_login(home.root, demo=False)
    assert needs_login(home.root, demo=True) is False
    People.over(home.store, home.key, home.clock).found_first()
    home.store.close()
    assert needs_login(home.root, demo=False) is True
    with pytest.raises(PolicyRefused, match="they log in. --demo is for folders without"):
        needs_login(home.root, demo=True)
    (home.root / "coordinator.key").unlink()
    with pytest.raises(PolicyRefused, match="is a copy of a consortium with people"):
        needs_login(home.root, demo=False)
    assert needs_login(home.root, demo=True) is False


def test_a_coordinators_folder_beside_simulations_opens_no_easier_than_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / BASELINES_FILE).touch()
    home = ConsortiumHome(tmp_path / "c")
    with pytest.raises(PolicyRefused, match="collegium people found"):
        open_dashboard([tmp_path, home.root], Listening(), Console(quiet=True))
    People.over(home.store, home.key, home.clock).found_first()
    home.store.close()
    with pytest.raises(PolicyRefused, match="open that folder alone"):
        open_dashboard([tmp_path, home.root], Listening(), Console(quiet=True))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"address": "0.0.0.0"}, "passwords need TLS"),  # noqa: S104
        ({"address": "dashboard.example.org"}, "passwords need TLS"),
        ({"certificate": "c.pem"}, "go together"),
        ({"certificate": "c.pem", "key": "k.pem"}, "--url says under which address"),
        ({"behind_proxy": True}, "--url says under which address"),
        ({"behind_proxy": True, "url": "http://d.example.org"}, "is no https://NAME"),
        ({"behind_proxy": True, "url": "https://d.example.org/path"}, "is no https://NAME"),
    ],
)
def test_others_reach_it_through_tls_under_a_name_only(said: dict[str, str], why: str) -> None:
    with pytest.raises(WorkspaceRefused, match=why):
        Listening(**said)  # type: ignore[arg-type]


def test_with_tls_the_cookie_is_bound_to_it() -> None:
    outside = Listening(address="::", behind_proxy=True, url="https://d.example.org:443")
    assert outside.cookie.startswith("__Host-") and outside.is_outside
    assert outside.hosts == {"d.example.org:443", "d.example.org"}
    assert Listening().hosts == {"127.0.0.1:8501", "localhost:8501", "[::1]:8501"}
