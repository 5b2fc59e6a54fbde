"""A roster is compared by people, then signed; what does not follow is not signed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.fingerprints import spoken
from protocol.identity.roster import Member, Roster, SignedRoster, SigningKey, sign_roster
from silos.database.database import SiteDatabase, open_hospital
from silos.database.trusted_rosters import TrustedRosters
from silos.operations.roster import refresh, sign_over
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.rosters import roster_with
from tests.support.networked.memory_line import MemoryLine


@pytest.fixture
def east(tmp_path: Path) -> Iterator[SiteDatabase]:
    hospital = open_hospital(tmp_path / "hospital.db", site="east")
    yield hospital
    hospital.close()


@pytest.fixture
def consortium(tmp_path: Path, east: SiteDatabase) -> Iterator[ConsortiumHome]:
    """East and north are enrolled, and a founding roster of both is proposed."""
    opened = ConsortiumHome(tmp_path / "coordinator")
    opened.keys["east"] = SigningKey.from_bytes(east.identity_key)
    opened.accept(opened.invite("east"), opened.keys["east"])
    opened.enrol("north")
    opened.members.rosters.propose()
    yield opened
    opened.store.close()


def proposed(consortium: ConsortiumHome) -> Roster:
    signed = consortium.members.rosters.proposed()
    assert signed is not None
    return signed.roster


def let_north_sign(consortium: ConsortiumHome) -> None:
    signature = sign_roster(proposed(consortium), consortium.keys["north"])
    consortium.members.rosters.sign("north", signature)


def test_a_founding_roster_is_trusted_once_everybody_signed(
    consortium: ConsortiumHome, east: SiteDatabase
) -> None:
    roster, line = proposed(consortium), MemoryLine(consortium, east)
    assert sign_over(east, line, roster.digest, consortium.authority.identity) == (roster, False)
    assert refresh(east, line).trusted is None
    let_north_sign(consortium)
    assert refresh(east, line).trusted == roster


def test_the_last_signature_makes_the_roster_trusted_at_once(
    consortium: ConsortiumHome, east: SiteDatabase
) -> None:
    roster = proposed(consortium)
    let_north_sign(consortium)
    assert sign_over(
        east, MemoryLine(consortium, east), roster.digest, consortium.authority.identity
    ) == (roster, True)
    assert TrustedRosters(east).newest() == roster


@pytest.mark.parametrize("digits", [0, 8, 32, 63, "00000000", "0" * 64])
def test_another_digest_or_a_part_of_it_signs_nothing(
    consortium: ConsortiumHome, east: SiteDatabase, digits: int | str
) -> None:
    """Security review, finding 6: eight digits of three rosters collide within minutes."""
    typed = digits if isinstance(digits, str) else proposed(consortium).digest[:digits]
    with pytest.raises(MessageRefused, match="are too few to compare|is not the fingerprint of"):
        sign_over(east, MemoryLine(consortium, east), typed, consortium.authority.identity)
    signed = consortium.members.rosters.proposed()
    assert signed is not None
    assert signed.signatures == {}


def test_digits_may_be_typed_in_the_groups_that_are_read_out(
    consortium: ConsortiumHome, east: SiteDatabase
) -> None:
    digest = proposed(consortium).digest.upper()
    sign_over(east, MemoryLine(consortium, east), spoken(digest), consortium.authority.identity)
    assert refresh(east, MemoryLine(consortium, east)).proposed is not None


def test_nothing_proposed_means_nothing_to_sign(tmp_path: Path, east: SiteDatabase) -> None:
    empty = ConsortiumHome(tmp_path / "empty")
    with pytest.raises(PolicyRefused, match="no roster waits for signatures"):
        sign_over(east, MemoryLine(empty, east), "0" * 64, empty.authority.identity)
    empty.store.close()


def test_a_roster_that_leaves_out_a_trusted_one_is_not_signed(
    consortium: ConsortiumHome, east: SiteDatabase
) -> None:
    own = SigningKey.from_bytes(east.identity_key)
    alone = roster_with((Member(site="east", public_key=own.public.hex()),))
    signed = SignedRoster(roster=alone, signatures={"east": sign_roster(alone, own)})
    TrustedRosters(east).keep(signed)
    with pytest.raises(PolicyRefused, match="does not follow the one that this hospital trusts"):
        sign_over(
            east,
            MemoryLine(consortium, east),
            proposed(consortium).digest,
            consortium.authority.identity,
        )


def test_a_later_hospital_compares_its_first_roster(
    consortium: ConsortiumHome, tmp_path: Path
) -> None:
    for site in ("east", "north"):
        roster = proposed(consortium)
        signature = sign_roster(roster, consortium.keys[site])
        consortium.members.rosters.sign(site, signature)
    later = open_hospital(tmp_path / "south.db", site="south")
    consortium.keys["south"] = SigningKey.from_bytes(later.identity_key)
    consortium.accept(consortium.invite("south"), consortium.keys["south"])
    second = consortium.sign("east", "north")
    view = refresh(later, MemoryLine(consortium, later))
    assert view.trusted is None
    assert view.first is not None
    assert view.first.roster == second
    assert TrustedRosters(later).keep(view.first, compared=second.digest) == second
    later.close()
