"""``collegium coordinator``: from an empty folder to a revoked hospital, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collegium.cli import main as cli
from coordinator.runs.admin_socket.answering import controlling
from coordinator.runs.service import Service
from protocol.transport.enrolment import EnrolmentInvitation, parse
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.machine.commands import ask
from tests.unit.collegium.cli.test_cli import refused, run


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ConsortiumHome]:
    made = ConsortiumHome(tmp_path / "home")
    yield made
    made.store.close()


def as_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_commands_from_an_empty_folder_to_a_revoked_hospital(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, to = ("--home", tmp_path / "home"), tmp_path / "lyon.invitation"
    host = ("--host", "coordinator.example.org,10.0.0.5")
    assert run(monkeypatch, "coordinator", "init", *home, *host, "--json") == 0
    made = as_json(capsys)
    assert made["hosts"] == ["coordinator.example.org", "10.0.0.5"]
    invite = ("coordinator", "invite", "lyon", *home, "--to", to, "--json")
    assert run(monkeypatch, *invite) == 0
    captured = capsys.readouterr()
    assert made["root_fingerprint"][:4] in captured.err
    assert "token" not in captured.out + captured.err
    assert to.stat().st_mode & 0o077 == 0
    assert run(monkeypatch, "coordinator", "revoke", "lyon", *home, "--reason", "x", "--json") == 0
    assert as_json(capsys)["revoked"]
    assert run(monkeypatch, "coordinator", "members", *home, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["state"] == "revoked"
    assert "root.key is still here" in captured.err
    assert run(monkeypatch, "coordinator", "hosts", *home, "--host", "a.example", "--json") == 0
    assert as_json(capsys)["hosts"] == ["a.example"]
    assert run(monkeypatch, "coordinator", "rotate", *home, "--json") == 0
    assert as_json(capsys)["rotated"]
    assert run(monkeypatch, "audit", "verify", "--out", tmp_path / "home", "--json") == 0
    assert as_json(capsys)["verified"]


def test_commands_show_who_has_signed_a_roster(
    home: ConsortiumHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.found("lyon", "oslo")
    home.enrol("turin")
    where = ("--home", home.root, "--json")
    assert run(monkeypatch, "coordinator", "roster", "propose", *where) == 0
    capsys.readouterr()
    home.sign("lyon")
    assert run(monkeypatch, "coordinator", "roster", "show", *where) == 0
    captured = capsys.readouterr()
    assert "signed by 1, 2 must: lyon yes, oslo -" in captured.err
    assert '"needed": 2' in captured.out


def test_roster_of_the_same_hospitals_is_proposed_again_to_renew_it(
    home: ConsortiumHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = home.found("lyon", "oslo")
    where = ("--home", home.root)
    propose = ("coordinator", "roster", "propose", *where)
    message = refused(monkeypatch, capsys, *propose)
    assert f"valid until {before.valid_until}: --renew proposes it for another year" in message
    assert run(monkeypatch, *propose, "--renew", "--json") == 0
    captured = capsys.readouterr()
    proposed = json.loads(captured.out)["proposed"]
    assert (proposed["version"], proposed["members"]) == (
        2,
        {member.site: member.public_key for member in before.members},
    )
    assert f"proposed   roster 2, valid until {proposed['valid_until']}" in captured.err
    assert proposed["coordinator"]["public_key"] == home.key.public.hex()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("members",), "holds no coordinator: collegium coordinator init makes one"),
        (("invite", "lyon"), "holds no coordinator"),
        (("roster", "show"), "holds no coordinator"),
        (("init", "--host", "a b"), "is no host"),
    ],
)
def test_commands_say_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    where = ("--home", tmp_path / "none")
    assert said in refused(monkeypatch, capsys, "coordinator", *words, *where)


def test_invitation_is_not_written_over_a_file_or_for_a_wrong_name(
    home: ConsortiumHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    to = home.root.parent / "file"
    to.write_text("mine")
    where = ("--home", home.root, "--to")
    message = refused(monkeypatch, capsys, "coordinator", "invite", "lyon", *where, to)
    assert "is there already" in message
    assert to.read_text() == "mine"
    new = home.root.parent / "new"
    message = refused(monkeypatch, capsys, "coordinator", "invite", "Lyon", *where, new)
    assert "no invitation can be made for 'Lyon'" in message
    assert not new.exists()


def test_invitation_names_the_ports_of_the_service_that_runs(tmp_path: Path) -> None:
    home, to = tmp_path / "c", tmp_path / "lyon"
    assert ask("coordinator", "init", "--home", home, "--host", "127.0.0.1").returncode == 0
    service = Service(home)
    with service.serving("127.0.0.1", 0) as port, controlling(service, home):
        done = ask("coordinator", "invite", "lyon", "--home", home, "--to", to)
    assert done.returncode == 0, done.stderr
    invitation = parse(EnrolmentInvitation, to.read_bytes())
    assert invitation.url == f"https://127.0.0.1:{port}"
    assert invitation.enrol_url == f"https://127.0.0.1:{service.status()['ports'][1]}"


def test_the_coordinators_commands_are_part_of_collegium() -> None:
    assert {group.name for group in cli.app.registered_groups} >= {"coordinator", "silo"}
