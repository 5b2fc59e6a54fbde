"""Sessions end when they must, for good, and their keys with them."""

import gc
from dataclasses import replace

import pytest

from compliance.governance.access.sealed_key import AccountSecrets
from coordinator.runs.sign_in import SignedInPerson
from dashboard.server.sessions import (
    DashboardSession,
    Ended,
    SessionLimits,
    SessionTable,
    new_handle,
)
from protocol.identity.roster import SigningKey
from tests.support.dashboard.asked import Seconds

KEY = SigningKey.generate()
ADA = SignedInPerson(
    person="Ada",
    public_key=KEY.public.hex(),
    secrets=AccountSecrets(seed=KEY.to_bytes(), one_time_secret=b"o" * 20),
)
LIMITS = SessionLimits()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def test_a_session_ends_without_activity_and_with_it_after_twelve_hours(seconds: Seconds) -> None:
    ended: list[Ended | None] = []
    table = SessionTable(seconds, on_end=lambda session: ended.append(session.ended))
    for active in (False, True):
        token = table.begin(ADA, new_handle())
        session = table.find(token)
        assert session is not None
        for _ in range(100):
            seconds.now += LIMITS.idle - 1 if active else LIMITS.idle
            if active:
                table.touch(session)
            if table.find(token) is None:
                break
            assert active
        assert session.ended is (Ended.TOO_OLD if active else Ended.IDLE)
        assert not active or seconds.now - session.began <= LIMITS.longest + LIMITS.idle
    assert ended == [Ended.IDLE, Ended.TOO_OLD]


def test_activity_after_the_end_revives_nothing(seconds: Seconds) -> None:
    table = SessionTable(seconds)
    token = table.begin(ADA, new_handle())
    session = table.find(token)
    assert session is not None
    seconds.now += LIMITS.idle
    table.touch(session)
    assert session.ended is Ended.IDLE and table.find(token) is None


def test_the_key_is_overwritten_at_the_end_after_whoever_is_told(seconds: Seconds) -> None:
    told: list[bool] = []
    table = SessionTable(seconds, on_end=lambda session: told.append(session.key() is not None))
    session = table.find(table.begin(ADA, "h"))
    assert session is not None and session.key() is not None
    assert session.key().public == KEY.public  # type: ignore[union-attr]
    held = [one for one in gc.get_referents(session.__dict__) if isinstance(one, bytearray)]
    assert len(held) == 2 and all(any(one) for one in held)
    table.end(session, Ended.LOGGED_OUT)
    table.end(session, Ended.IDLE)
    assert told == [True] and session.ended is Ended.LOGGED_OUT
    assert session.key() is None and not any(map(any, held))
    assert KEY.to_bytes().hex() not in repr(session)


def test_tokens_are_long_never_alike_and_kept_as_digests(seconds: Seconds) -> None:
    table = SessionTable(seconds, replace(LIMITS, per_person=100))
    tokens = {table.begin(ADA, new_handle()) for _ in range(50)}
    assert len(tokens) == 50 and all(len(token) >= 43 for token in tokens)
    assert not any(token in repr(vars(table)) for token in tokens)


def test_one_session_too_many_ends_the_persons_oldest(seconds: Seconds) -> None:
    table = SessionTable(seconds, replace(LIMITS, per_person=3))
    bea = table.begin(replace(ADA, person="Bea", public_key="b" * 64), new_handle())
    tokens = []
    for _ in range(5):
        seconds.now += 1
        tokens.append(table.begin(ADA, new_handle()))
    alive = [table.find(token) is not None for token in tokens]
    assert alive == [False, False, True, True, True] and table.find(bea) is not None


def test_the_table_does_not_grow_without_bound(seconds: Seconds) -> None:
    table = SessionTable(seconds, replace(LIMITS, altogether=10))
    for number in range(30):
        seconds.now += 1
        table.begin(replace(ADA, public_key=f"{number:064x}"), new_handle())
    assert len(table.alive()) == 10


def test_what_fails_at_the_end_leaves_no_key(seconds: Seconds) -> None:
    def fails(_session: DashboardSession) -> None:
        raise OSError("of a test")

    table = SessionTable(seconds, on_end=fails)
    session = table.find(table.begin(ADA, "h"))
    assert session is not None
    with pytest.raises(OSError, match="of a test"):
        table.end(session, Ended.LOGGED_OUT)
    assert session.key() is None and table.named("h") is None
