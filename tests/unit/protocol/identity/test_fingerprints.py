"""What two people compare: whole fingerprints, and one safety number for each pair of hospitals."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import digest
from protocol.errors import MessageRefused
from protocol.identity.fingerprints import require_compared, safety_number, spoken
from protocol.identity.roster import CoordinatorIdentity, Member, SigningKey
from silos.operations.roster import numbers_in
from tests.support.hospital.rosters import COORDINATOR, roster_with

KEYS = {site: SigningKey.from_bytes(bytes(31) + site[:1].encode()) for site in ("east", "west")}
EAST, WEST = (Member(site=site, public_key=key.public.hex()) for site, key in KEYS.items())
WHOLE = digest(b"a roster")


@given(st.sampled_from([WHOLE, WHOLE.upper(), spoken(WHOLE), f"  {spoken(WHOLE).upper()}\n"]))
def test_whole_fingerprint_is_compared_in_any_spelling(typed: str) -> None:
    require_compared(typed, WHOLE, "roster 1")


@pytest.mark.parametrize("digits", [1, 8, 16, 32, 63])
def test_part_of_a_fingerprint_is_no_comparison(digits: int) -> None:
    with pytest.raises(MessageRefused, match=f"{digits} digits are too few to compare: give all"):
        require_compared(WHOLE[:digits], WHOLE, "roster 1")


@pytest.mark.parametrize("typed", ["", " ", "0" * 64, WHOLE + "0", WHOLE[:-1] + "x", "west"])
def test_another_fingerprint_is_refused(typed: str) -> None:
    with pytest.raises(MessageRefused, match="not the fingerprint of roster 1"):
        require_compared(typed, WHOLE, "roster 1")


def test_both_hospitals_see_one_number_in_sixteen_groups_of_five() -> None:
    roster = roster_with([EAST, WEST])
    seen = numbers_in(roster, "east")["west"]
    assert seen == numbers_in(roster, "west")["east"]
    assert re.fullmatch(r"([0-9]{5} ){15}[0-9]{5}", seen)
    assert seen == safety_number(COORDINATOR, WEST, EAST)


def test_number_says_who_speaks_to_whom_under_which_coordinator() -> None:
    seen = safety_number(COORDINATOR, EAST, WEST)
    strange = SigningKey.generate().public.hex()
    others = {
        safety_number(COORDINATOR, replace(EAST, public_key=strange), WEST),
        safety_number(COORDINATOR, EAST, replace(WEST, public_key=strange)),
        safety_number(COORDINATOR, replace(EAST, site="east-2"), WEST),
        safety_number(replace(COORDINATOR, public_key=strange), EAST, WEST),
        safety_number(replace(COORDINATOR, root=strange), EAST, WEST),
        safety_number(CoordinatorIdentity(public_key="0" * 64, root=None), EAST, WEST),
    }
    assert len(others | {seen}) == 7


def test_coordinator_that_stands_between_two_hospitals_shows_them_two_numbers() -> None:
    """Security review, finding 6: each hospital alone in a bubble of the coordinator's keys."""
    false = {site: SigningKey.generate().public.hex() for site in ("east", "west")}
    east_sees = roster_with([EAST, replace(WEST, public_key=false["west"])])
    west_sees = roster_with([replace(EAST, public_key=false["east"]), WEST])
    assert numbers_in(east_sees, "east")["west"] != numbers_in(west_sees, "west")["east"]
