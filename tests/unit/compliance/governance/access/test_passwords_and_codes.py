"""Passwords that are tried first are refused; codes are those of RFC 6238; waits grow."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.governance.access.lock_out import (
    FREE_FAILURES,
    MAX_FAILURES,
    FailedLogins,
    wait_after,
)
from compliance.governance.access.looking import (
    ASKS_FOR_CODE,
    LOOKS,
    Subject,
    may_look,
    require_look,
)
from compliance.governance.access.one_time_codes import (
    STEP_SECONDS,
    code_at,
    provisioning_uri,
    step_of,
    typed_secret,
)
from compliance.governance.access.passwords import require_password
from compliance.governance.people import FIRST_POLICY, RIGHTS, Person, Role
from protocol.errors import PolicyRefused

#: RFC 6238, appendix B, SHA-1: seconds since 1970, and the last six of the eight digits.
RFC_6238 = [
    (59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
    (2000000000, "279037"),
]  # fmt: skip
SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 15 letters"),
        ("x" * 257, "at most 256"),
        ("aaaaaaaabbbbbbbb", "repeats a few letters"),
        ("abcdefghijklmnopqrst", "follows the keyboard"),
        ("qwertyuiopasdfghjkl", "follows the keyboard"),
        ("98765432109876543210", "follows the keyboard"),
        ("passwordpassword1", "tried first"),
        ("P4ssw0rd-Welcome-1", "tried first"),
        ("Ada Admin Collegium 2026", "tried first"),
    ],
)
def test_passwords_that_are_tried_first_are_refused(password: str, why: str) -> None:
    with pytest.raises(PolicyRefused, match=why):
        require_password(password, "Dr. Ada Admin")


@pytest.mark.parametrize(
    "password",
    [
        "a horse that nobody rides",
        "vier kleine Enten im Regen",
        "Zx!9 quartz mountain",
        "東京タワーは三百三十三メートル",
    ],
)
def test_no_rule_of_composition_is_asked(password: str) -> None:
    require_password(password, "Dr. Ada Admin")


@pytest.mark.parametrize(("seconds", "code"), RFC_6238)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    assert code_at(SECRET, now) == code
    assert step_of(SECRET, f"{code[:3]} {code[3:]}", now) == seconds // STEP_SECONDS


def test_a_code_of_the_step_before_or_after_is_taken_and_no_other() -> None:
    now = datetime(2026, 1, 5, 8, 0, 10, tzinfo=UTC)
    step = int(now.timestamp()) // STEP_SECONDS
    for away in range(-4, 5):
        code = code_at(SECRET, now + timedelta(seconds=away * STEP_SECONDS))
        assert step_of(SECRET, code, now) == (step + away if abs(away) <= 1 else None)


@given(typed=st.text(max_size=8))
def test_whatever_else_is_typed_is_no_code(typed: str) -> None:
    now = datetime(2026, 1, 5, 8, 0, 10, tzinfo=UTC)
    near = [code_at(SECRET, now + timedelta(seconds=s)) for s in (-30, 0, 30)]
    assert (step_of(SECRET, typed, now) is not None) == ("".join(typed.split()) in near)


def test_an_application_is_told_the_secret_in_its_own_form() -> None:
    assert typed_secret(SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
    uri = provisioning_uri(SECRET, "Dr. Ada", "Collegium")
    assert uri.startswith("otpauth://totp/Collegium:Dr.%20Ada?") and "issuer=Collegium" in uri


def test_waits_grow_and_end_in_a_lock() -> None:
    waits = [wait_after(n) for n in range(MAX_FAILURES + 2)]
    assert waits == sorted(waits)
    assert not any(waits[:FREE_FAILURES]) and waits[MAX_FAILURES] == float("inf")


@given(failures=st.integers(0, 99), set_back=st.floats(0, 1e9))
def test_a_clock_that_was_set_back_lengthens_no_wait(failures: int, set_back: float) -> None:
    tried = FailedLogins(failures=failures, last=1e9)
    assert tried.seconds_left(1e9 - set_back) <= wait_after(failures)
    assert tried.seconds_left(1e9 + wait_after(failures)) == 0


def person(*roles: Role, **other: str) -> Person:
    said = {"name": "Ada", "public_key": "0" * 64, "expires": "2027", "since": "2026"}
    return Person(roles=frozenset(roles), **said | other)


def test_a_data_scientist_looks_at_everything_but_people_and_their_acts() -> None:
    seen = {subject for subject in Subject if may_look(frozenset({Role.DATA_SCIENTIST}), subject)}
    assert set(Subject) - seen == {Subject.AUDIT, Subject.APPROVALS}
    for role in set(Role) - {Role.DATA_SCIENTIST}:
        assert all(may_look(frozenset({role}), subject) for subject in Subject)
    assert set(LOOKS) == set(Subject)


def test_what_may_be_seen_follows_the_record_now() -> None:
    require_look(person(Role.AUDITOR), FIRST_POLICY, Subject.AUDIT, "2026-06")
    with pytest.raises(PolicyRefused, match="may not look at audit: that takes administrator or"):
        require_look(person(Role.DATA_SCIENTIST), FIRST_POLICY, Subject.AUDIT, "2026-06")
    with pytest.raises(PolicyRefused, match="nobody is registered under this key any more"):
        require_look(None, FIRST_POLICY, Subject.RUNS, "2026-06")
    for ended in (person(Role.LEAD, until="2026-05"), person(Role.LEAD, suspended="2026-05"),
                  person(Role.LEAD, expires="2026-05")):  # fmt: skip
        with pytest.raises(PolicyRefused):
            require_look(ended, FIRST_POLICY, Subject.RUNS, "2026-06")


def test_the_acts_that_ask_for_a_code_exist() -> None:
    assert set(RIGHTS) >= ASKS_FOR_CODE
    assert "run.stop" not in ASKS_FOR_CODE and "run.pause" not in ASKS_FOR_CODE
