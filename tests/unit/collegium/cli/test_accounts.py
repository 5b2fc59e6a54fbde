"""The commands about accounts: set with one's own key, listed, unlocked, removed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collegium.cli import main as cli
from coordinator.runs.sign_in import accounts_of
from tests.support.hospital.accounts import PASSWORD


def collegium(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "c"
    key = tmp_path / "ada.key"
    for words in (
        ("coordinator", "init", "--home", made, "--host", "localhost"),
        ("people", "key", "--to", key, "--no-passphrase"),
        ("people", "found", "Ada Lovelace", "--home", made, "--as", key),
    ):
        assert collegium(*words).exit_code == 0
    (tmp_path / "password").write_text(f"{PASSWORD}\nnot this\n")
    (tmp_path / "password").chmod(0o600)
    return made


def test_an_account_is_set_listed_unlocked_and_removed(home: Path) -> None:
    own = ("--home", home, "--as", home.parent / "ada.key")
    file = home.parent / "password"
    told = collegium("people", "account", "set", *own, "--password-file", file, "--json")
    assert json.loads(told.stdout)["uri"].startswith("otpauth://totp/Collegium:Ada%20Lovelace")
    assert PASSWORD not in told.output and "neither is shown again" in told.stderr
    listed = collegium("people", "account", "list", "--home", home, "--json")
    (one,) = json.loads(listed.stdout)
    assert (one["person"], one["failures"], one["wait"]) == ("Ada Lovelace", 0, 0)
    for what in ("unlock", "remove"):
        assert collegium("people", "account", what, "Ada Lovelace", *own).exit_code == 0
    assert accounts_of(home) == ()


def test_a_password_that_others_can_read_or_that_nobody_types_is_refused(home: Path) -> None:
    own = ("--home", home, "--as", home.parent / "ada.key")
    file = home.parent / "password"
    file.chmod(0o644)
    refused = collegium("people", "account", "set", *own, "--password-file", file)
    assert "can be read by others" in str(refused.exception)
    refused = collegium("people", "account", "set", *own)
    assert "type the password at a terminal" in str(refused.exception)
    refused = collegium("people", "account", "set", "--home", home)
    assert "an account seals your own key" in str(refused.exception)
    assert accounts_of(home) == ()


def test_an_identity_is_proposed_for_a_person_under_their_key(home: Path) -> None:
    own = ("--home", home, "--as", home.parent / "ada.key")
    named = ("--issuer", "https://id.example.org", "--subject", "a-1")
    told = collegium("people", "account", "link", "Ada Lovelace", *named, *own, "--json")
    assert json.loads(told.stdout)["waits"] is True
    (change,) = json.loads(collegium("people", "list", "--home", home, "--json").stdout)["changes"]
    said = change["details"]
    assert (said["issuer"], said["subject"]) == ("https://id.example.org", "a-1")
    assert len(said["key"]) == 64
    listed = collegium("people", "account", "links", "--home", home, "--json")
    assert json.loads(listed.stdout) == []
    refused = collegium("people", "account", "unlink", "Ada Lovelace", *own)
    assert "has no linked login" in str(refused.exception)
    refused = collegium("people", "account", "link", "Nobody", *named, *own)
    assert "there is no 'Nobody'" in str(refused.exception)
    mail = ("--issuer", "http://id.example.org", "--subject", "a-1")
    refused = collegium("people", "account", "link", "Ada Lovelace", *mail, *own)
    assert "is no issuer" in str(refused.exception)
    refused = collegium("dashboard", "--out", home, "--oidc", home / "none.toml")
    assert "cannot be read" in str(refused.exception)
