"""An act is one person's, for one consortium, once, now; the policy says in which role."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.governance.acts import (
    MAX_SKEW,
    Act,
    ActRequest,
    read_act,
    read_request,
    read_signed_act,
    require_right,
    require_time,
    sign_act,
)
from compliance.governance.people import (
    FIRST_POLICY,
    RIGHTS,
    TRUSTED,
    Person,
    Role,
    plain_name,
    read_access_policy,
    read_kept_policy,
    read_roles,
    same_name,
)
from protocol.encoding import digest_json
from protocol.errors import FederationError, MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
KEY = SigningKey.from_bytes(bytes(32))
CONSORTIUM = "c" * 64
LEAD = Person(
    name="Cleo Lead",
    public_key=KEY.public.hex(),
    roles=frozenset({Role.LEAD}),
    expires=write_time(NOW + timedelta(days=9)),
    since=write_time(NOW - timedelta(days=9)),
)
TEXT = st.text(st.characters(categories=("L", "N", "P")), max_size=50)
REQUESTS = st.builds(
    ActRequest,
    action=st.sampled_from(sorted(RIGHTS)),
    subject_kind=st.just("run"),
    subject=TEXT,
    details=st.dictionaries(
        TEXT, TEXT | st.integers(-9, 9) | st.booleans() | st.lists(TEXT, max_size=3).map(tuple)
    ),
)


def act(request: ActRequest | None = None, **other: Any) -> Act:
    asked = request or ActRequest(action="run.pause", subject_kind="run", subject="run-1")
    plain = Act(
        consortium=CONSORTIUM,
        person=LEAD.name,
        public_key=LEAD.public_key,
        time=write_time(NOW),
        policy=FIRST_POLICY.digest,
        salt="5" * 32,
        request=asked,
    )
    return replace(plain, **other)


def role_of(made: Act, person: Person | None = LEAD, *, seen: bool = False) -> Role:
    return require_right(
        sign_act(KEY, made), person, FIRST_POLICY, consortium=CONSORTIUM, now=NOW, seen=seen
    )


@given(REQUESTS)
def test_an_act_is_read_back_as_it_was_signed(request: ActRequest) -> None:
    signed = sign_act(KEY, act(request))
    again = read_signed_act(signed.to_json())
    assert again == signed and read_act(signed.act.canonical_bytes) == signed.act
    assert read_request(request.to_json()) == request
    again.require_signed()


@given(st.integers(0, 10_000))
def test_no_changed_byte_of_an_act_is_under_the_same_signature(place: int) -> None:
    signed = sign_act(KEY, act())
    data = bytearray(signed.act.canonical_bytes)
    data[place % len(data)] ^= 1
    with pytest.raises(FederationError):
        replace(signed, act=read_act(bytes(data))).require_signed()


def test_an_act_of_the_right_person_is_taken_in_their_role() -> None:
    assert role_of(act()) is Role.LEAD


@pytest.mark.parametrize(
    ("made", "person", "told"),
    [
        (act(), None, "is not registered under this key"),
        (act(person="Someone Else"), LEAD, "is not registered under this key"),
        (act(consortium="d" * 64), LEAD, "of another consortium"),
        (act(policy="e" * 64), LEAD, "another access policy than version 1"),
        (act(), replace(LEAD, until=write_time(NOW)), "acts under this key no longer"),
        (act(), replace(LEAD, expires=write_time(NOW)), "the key of Cleo Lead expired"),
        (act(), replace(LEAD, suspended=LEAD.since), "was suspended"),
        (act(), replace(LEAD, roles=frozenset({Role.AUDITOR})), "may not pause a run: that takes"),
        (
            act(ActRequest(action="people.rob", subject_kind="run", subject="x")),
            LEAD,
            "there is no act 'people.rob'",
        ),
    ],
)
def test_an_act_is_refused_by_name(made: Act, person: Person | None, told: str) -> None:
    with pytest.raises((PolicyRefused, MessageRefused), match=told):
        role_of(made, person)


def test_an_act_is_refused_under_another_key_and_a_second_time() -> None:
    forged = sign_act(SigningKey.from_bytes(bytes([1] * 32)), act())
    with pytest.raises(MessageRefused, match="is not signed by Cleo Lead"):
        require_right(forged, LEAD, FIRST_POLICY, consortium=CONSORTIUM, now=NOW, seen=False)
    with pytest.raises(MessageRefused, match="was done before: it is good once"):
        role_of(act(), seen=True)


@given(st.integers(-100_000, 100_000))
def test_a_time_is_taken_within_five_minutes_and_no_further(seconds: int) -> None:
    away = timedelta(seconds=seconds)
    if abs(away) <= MAX_SKEW:
        require_time(write_time(NOW + away), NOW)
        return
    with pytest.raises(MessageRefused, match="minutes (ahead of|behind) the service's"):
        require_time(write_time(NOW + away), NOW)


@pytest.mark.parametrize("minutes", [60, -58, 120, -7 * 60])
def test_a_clock_that_is_hours_off_is_named(minutes: int) -> None:
    hours = round(abs(minutes) / 60)
    with pytest.raises(MessageRefused, match=f"a clock is {hours} h off"):
        require_time(write_time(NOW + timedelta(minutes=minutes)), NOW)
    with pytest.raises(MessageRefused, match="5 are allowed: sign it again"):
        require_time(write_time(NOW + timedelta(minutes=30)), NOW)


@pytest.mark.parametrize("damage", [{}, {"act": "{}"}, {"act": "x", "signature": "0"}, [], None])
def test_what_is_no_act_is_refused(damage: object) -> None:
    with pytest.raises(MessageRefused):
        read_signed_act(damage)
    with pytest.raises(MessageRefused):
        read_request(damage)


@pytest.mark.parametrize(
    "wrong",
    [{"action": "Run"}, {"subject": "a\nb"}, {"details": {"x": 1.5}}, {"details": {"x": "\0"}}],
)
def test_a_wish_holds_names_numbers_and_text_only(wrong: dict[str, Any]) -> None:
    plain = {"action": "run.stop", "subject_kind": "run", "subject": "x"}
    with pytest.raises(PolicyRefused):
        ActRequest(**{**plain, **wrong})


def test_every_role_is_of_use_and_every_change_by_two_can_be_made() -> None:
    for role in Role:
        assert any(role in right.roles for right in RIGHTS.values())
    for name, right in RIGHTS.items():
        assert right.roles and (right.second is None or right.second <= TRUSTED), name
        assert right.second is None or right.second <= RIGHTS["change.confirm"].roles, name


def test_stopping_never_waits_for_a_second_person() -> None:
    for name in ("run.pause", "run.stop", "incident.open", "incident.contain", "hold.place"):
        assert RIGHTS[name].second is None


def test_a_policy_is_read_back_and_its_digest_is_of_all_of_it() -> None:
    assert read_access_policy(FIRST_POLICY.to_json()) == FIRST_POLICY
    other = read_access_policy({**FIRST_POLICY.to_json(), "confirm_hours": 12, "version": 2})
    assert other.digest != FIRST_POLICY.digest and other.confirm_hours == 12


@pytest.mark.parametrize(
    ("name", "right", "told"),
    [
        ("hospital.revoke", {"roles": ["lead"], "second": None}, "needs a second person"),
        ("run.start", {"roles": [], "second": None}, "name a role"),
        ("run.start", {"roles": ["king"], "second": None}, "the roles are"),
        ("run.stop", {"roles": ["lead"], "second": ["lead"]}, "one person's act"),
        ("run.rob", {"roles": ["lead"], "second": None}, "a policy has no run.rob"),
    ],
)
def test_no_policy_takes_away_what_the_first_protects(name: str, right: Any, told: str) -> None:
    said: Any = FIRST_POLICY.to_json()
    with pytest.raises(PolicyRefused, match=told):
        read_access_policy({**said, "rights": {**said["rights"], name: right}})


@pytest.mark.parametrize("hours", [0, 73, "72", True, None])
def test_the_clock_of_a_policy_is_72_hours_at_most(hours: object) -> None:
    with pytest.raises(PolicyRefused, match="notify_hours is a whole number from 1 to 72"):
        read_access_policy({**FIRST_POLICY.to_json(), "notify_hours": hours})


def test_a_policy_of_older_software_keeps_its_digest_and_gains_the_rights_of_new_acts() -> None:
    said: Any = FIRST_POLICY.to_json()
    older = {**said, "rights": {n: r for n, r in said["rights"].items() if n != "model.promote"}}
    older["rights"]["gone.act"] = {"roles": ["lead"], "second": None}
    kept = read_kept_policy(older)
    assert kept.digest == digest_json(older) != FIRST_POLICY.digest
    assert kept.right("model.promote") == RIGHTS["model.promote"]
    with pytest.raises(PolicyRefused, match="there is no act 'gone.act'"):
        kept.right("gone.act")
    with pytest.raises(PolicyRefused, match="another form"):
        read_kept_policy({})


@pytest.mark.parametrize("said", [{}, {"rights": []}, {"rights": {"login": 5}}])
def test_what_is_no_policy_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused, match="a policy looks like"):
        read_access_policy(said)


def test_names_are_compared_however_they_are_spelled() -> None:
    assert same_name("Dr.  ADA ") == same_name("dr. ada") != same_name("dr. eda")
    assert plain_name("  Ada   B. ") == "Ada B."
    for name in ("", " ", "a" * 101, "a\0b"):
        with pytest.raises(PolicyRefused, match="a person's name"):
            plain_name(name)
    assert read_roles(["lead", "auditor"]) == {Role.LEAD, Role.AUDITOR}
