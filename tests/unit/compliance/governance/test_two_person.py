"""A change takes two names and two keys, in time, and neither is whom it is about."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.governance.acts import ActRequest
from compliance.governance.people import FIRST_POLICY, TRUSTED, Person, Role, same_name
from compliance.governance.two_person import ChangeState, propose, require_second, require_waiting
from protocol.errors import PolicyRefused

NOW, LATER, LAPSED = (
    "2026-01-05T08:00:00.000Z",
    "2026-01-06T08:00:00.000Z",
    "2026-01-09T08:00:00.000Z",
)
NAMES = ("Ada", "ada", "ADA ", "Bea", "Cleo")


def person(name: str, key: str = "", *roles: Role) -> Person:
    return Person(
        name=name,
        public_key=key or (name * 64)[:64],
        roles=frozenset(roles or TRUSTED),
        expires="2030-01-01T00:00:00.000Z",
        since=NOW,
    )


def request(action: str = "hospital.invite", subject: str = "lyon") -> ActRequest:
    kind = "person" if action.startswith("person.") else "hospital"
    details = {"roles": ("lead",), "key": "a" * 64} if kind == "person" else {}
    return ActRequest(action=action, subject_kind=kind, subject=subject, details=details)


@given(
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.booleans(),
    st.sampled_from(["hospital.revoke", "person.add", "person.roles", "person.retire"]),
)
def test_what_is_confirmed_took_two_people_and_none_changed_their_own_rights(
    first: str, second: str, subject: str, same_key: bool, action: str
) -> None:
    one, other = person(first, "1" * 64), person(second, "1" * 64 if same_key else "2" * 64)
    try:
        change = propose(request(action, subject), one, FIRST_POLICY, NOW)
        require_second(change, other, FIRST_POLICY, LATER)
    except PolicyRefused:
        about_people = action.startswith("person.")
        assert (
            same_key
            or same_name(first) == same_name(second)
            or (about_people and same_name(subject) in (same_name(first), same_name(second)))
        )
        return
    assert same_name(first) != same_name(second) and not same_key
    assert action == "hospital.revoke" or same_name(second) != same_name(subject)


def test_a_second_key_of_the_same_person_is_not_a_second_person() -> None:
    change = propose(request(), person("Dr. Ada", "1" * 64), FIRST_POLICY, NOW)
    with pytest.raises(PolicyRefused, match="proposed it: another person confirms"):
        require_second(change, person("dr.  ada", "2" * 64), FIRST_POLICY, LATER)


def test_a_change_lapses_and_is_decided_once() -> None:
    change = propose(request(), person("Ada"), FIRST_POLICY, NOW)
    assert change.state_at(LATER) is ChangeState.PROPOSED
    with pytest.raises(PolicyRefused, match="lapsed at 2026-01-08T08:00:00.000Z: propose it again"):
        require_second(change, person("Bea"), FIRST_POLICY, LAPSED)
    with pytest.raises(PolicyRefused, match="the change is done already"):
        require_waiting(replace(change, state=ChangeState.DONE), NOW)


def test_a_second_person_needs_a_role_that_confirms() -> None:
    change = propose(request(), person("Ada"), FIRST_POLICY, NOW)
    with pytest.raises(PolicyRefused, match="Bea may not confirm hospital.invite: that takes"):
        require_second(change, person("Bea", "", Role.AUDITOR), FIRST_POLICY, NOW)
    assert require_second(change, person("Bea"), FIRST_POLICY, NOW) in TRUSTED


def test_what_needs_one_person_is_not_proposed() -> None:
    with pytest.raises(PolicyRefused, match="run.stop needs no second person"):
        propose(
            ActRequest(action="run.stop", subject_kind="run", subject="r"),
            person("Ada"),
            FIRST_POLICY,
            NOW,
        )


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (
            {"roles": ("leader",), "key": "a" * 64},
            "'leader' is not a valid Role: the roles are",
        ),
        ({"roles": (), "key": "a" * 64}, "name a role: lead"),
        ({"roles": ("lead",), "key": "A" * 64}, "a person's public key is 64 hexadecimal digits"),
    ],
)
def test_what_could_never_be_confirmed_of_a_person_is_not_proposed(
    details: dict[str, str | tuple[str, ...]], reason: str
) -> None:
    asked = replace(request("person.add", "Cleo"), details=details)
    with pytest.raises(PolicyRefused, match=reason):
        propose(asked, person("Ada"), FIRST_POLICY, NOW)
