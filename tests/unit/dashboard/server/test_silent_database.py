"""The server while nobody can be looked up: what it refuses, what it says, whom it keeps."""

from pathlib import Path

import pytest

from dashboard.server.http.address_limits import AddressLimits
from dashboard.server.sessions import Ended
from protocol.errors import StoreBroken, StoreSilent
from tests.support.dashboard.asked import AskedServer, Seconds
from tests.support.dashboard.served import letter
from tests.support.hospital.accounts import Accounts
from tests.support.hospital.people import ADA


@pytest.fixture
def asked(tmp_path: Path) -> AskedServer:
    accounts = Accounts(tmp_path / "c")
    accounts.set(ADA)
    return AskedServer(accounts, downloads=letter)


def silence(asked: AskedServer, monkeypatch: pytest.MonkeyPatch, error: StoreBroken) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asked.server.people, "_store", type("Silent", (), {"read": refuse})())


def test_a_session_outlives_a_silent_database_and_gets_no_file_meanwhile(
    asked: AskedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = asked.log_in(ADA).token
    sessions = asked.server.sessions
    assert sessions is not None
    session = sessions.find(token)
    assert session is not None
    session.media.add("a.png")
    with monkeypatch.context() as meanwhile:
        silence(asked, meanwhile, StoreSilent("the database does not answer (a.host): start it"))
        for path in ("/media/a.png", "/download/letter.txt"):
            answer = asked.ask(path, token=token)
            assert answer.status == 503 and b"does not answer: try again" in answer.body
            assert b"a.host" not in answer.body
        asked.server._look()
        assert b'"does not answer"' in asked.ask("/healthz").body
        assert session.ended is None
    asked.server._look()
    assert b'"answers"' in asked.ask("/healthz").body
    assert asked.ask("/media/a.png", token=token).status == 200
    sessions.end(session, Ended.LOGGED_OUT)


def test_a_damaged_database_answers_and_stops_no_look(
    asked: AskedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked.log_in(ADA)
    silence(asked, monkeypatch, StoreBroken("a record was changed"))
    assert asked.server._look() == set()
    assert "who looks cannot be checked: a record was changed" in caplog.text
    assert b'"answers"' in asked.ask("/healthz").body


def test_an_attempt_with_which_nothing_was_compared_is_no_failure_of_its_address() -> None:
    limits = AddressLimits(Seconds())
    for _ in range(20):
        assert limits.take("10.0.0.1")
        limits.give_back("10.0.0.1")
    assert all(limits.take("10.0.0.1") for _ in range(5))
    assert not limits.take("10.0.0.1")
    limits.give_back("10.0.0.2")
