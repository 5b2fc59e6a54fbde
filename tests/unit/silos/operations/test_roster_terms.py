"""A roster has its time: it expires, and who has signed the next one waits a week for it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordinator.membership.rosters import Rosters
from coordinator.runs.resources import RunTimeouts
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.roster import (
    MAX_ROSTER_LIFE,
    ROSTER_LIFE,
    CoordinatorIdentity,
    Roster,
    SigningKey,
    sign_roster,
)
from protocol.identity.timestamps import read_time, write_time
from protocol.transport.enrolment import RosterNews, to_bytes
from silos.config.coordinator_identity import require_coordinator
from silos.database.database import SiteDatabase, open_hospital
from silos.database.identity_keys import IdentityKeys
from silos.database.trusted_rosters import SUCCESSOR_GRACE, TrustedRosters
from silos.operations.roster import refresh, sign_over
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.machine.patience import PATIENCE
from tests.support.networked.memory_line import MemoryLine
from tests.support.networked.network import Network, until
from tests.support.simulated.studies import small_study

OTHERS = ("north", "south", "west")


class Time:
    """What a hospital's clock says; moved by the test."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> str:
        return write_time(self.now)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def east(tmp_path: Path, time: Time) -> Iterator[SiteDatabase]:
    hospital = open_hospital(tmp_path / "east.db", site="east", clock=time)
    yield hospital
    hospital.close()


@pytest.fixture
def home(tmp_path: Path, east: SiteDatabase) -> Iterator[ConsortiumHome]:
    """A consortium that east has founded with three others."""
    made = ConsortiumHome(tmp_path / "coordinator")
    made.enrol(*OTHERS)
    made.keys["east"] = IdentityKeys(east).own
    made.accept(made.invite("east"), made.keys["east"])
    roster = made.sign(*OTHERS)
    sign_over(east, MemoryLine(made, east), roster.digest, made.authority.identity)
    yield made
    made.store.close()


class Keeps:
    """A coordinator that takes signatures and shows nobody the roster that they complete."""

    def __init__(self, rosters: Rosters) -> None:
        self._rosters = rosters

    def document(self, name: str) -> bytes:
        return to_bytes(RosterNews(signed=(), proposed=self._rosters.proposed()))

    def hand_in(self, name: str, body: bytes) -> bytes:
        self._rosters.sign("east", body)
        return b"kept"


def trusted(east: SiteDatabase) -> Roster:
    roster = TrustedRosters(east).newest()
    assert roster is not None
    return roster


def test_member_that_was_signed_out_is_not_kept_in_by_keeping_the_roster_back(
    home: ConsortiumHome, east: SiteDatabase, time: Time, tmp_path: Path
) -> None:
    """Security review, finding 11: a frozen roster kept a removed member in for ever."""
    home.members.revoke("west", "key stolen")
    two, line = home.members.rosters.propose(), Keeps(home.members.rosters)
    sign_over(east, line, two.digest, home.authority.identity)
    home.sign("north", "south")
    refresh(east, line)
    rosters, one = TrustedRosters(east), trusted(east)
    assert (one.version, "west" in one.sites) == (1, True)
    assert rosters.require_current(one.digest) == one
    time.now += SUCCESSOR_GRACE - timedelta(minutes=1)
    assert rosters.require_current(one.digest) == one
    time.now += timedelta(minutes=1)
    with pytest.raises(PolicyRefused, match="nothing begins under roster 1 .* signed roster 2"):
        rosters.require_current(one.digest)
    again = open_hospital(tmp_path / "east.db", site="east", clock=time)
    with pytest.raises(PolicyRefused, match="nothing begins under roster 1"):
        TrustedRosters(again).require_current(one.digest)
    again.close()
    refresh(east, MemoryLine(home, east))
    assert rosters.require_current(two.digest) == two == trusted(east)


def test_signature_is_remembered_before_it_leaves(
    home: ConsortiumHome, east: SiteDatabase, time: Time
) -> None:
    """Whatever becomes of the line: the coordinator may have it."""
    home.members.revoke("west", "key stolen")
    line = MemoryLine(home, east)
    line.fails = "roster-signature"
    two = home.members.rosters.propose()
    with pytest.raises(Exception, match="the line was cut"):
        sign_over(east, line, two.digest, home.authority.identity)
    first = TrustedRosters(east).term(trusted(east).digest).ends
    time.now += timedelta(days=3)
    line.fails = ""
    sign_over(east, line, two.digest, home.authority.identity)
    assert TrustedRosters(east).term(trusted(east).digest).ends == first


def test_nothing_begins_under_a_roster_that_has_expired(
    home: ConsortiumHome, east: SiteDatabase, time: Time
) -> None:
    rosters, one = TrustedRosters(east), trusted(east)
    assert timedelta(days=364) < read_time(one.valid_until) - time.now <= ROSTER_LIFE
    time.now = read_time(one.valid_until) - timedelta(seconds=1)
    assert rosters.require_current(one.digest) == one
    time.now += timedelta(seconds=1)
    with pytest.raises(PolicyRefused, match="nothing begins under roster 1 .*: it expires"):
        rosters.require_current(one.digest)


def test_renewed_roster_follows_one_that_has_expired(
    home: ConsortiumHome, east: SiteDatabase, time: Time
) -> None:
    one = trusted(east)
    home.clock.now = time.now = read_time(one.valid_until) + timedelta(days=20)
    with pytest.raises(MessageRefused, match="names exactly the enrolled hospitals already.*renew"):
        home.members.rosters.propose()
    two = home.members.rosters.propose(renew=True)
    assert two == home.members.rosters.propose(renew=True)
    assert (two.members, two.version, two.previous) == (one.members, 2, one.digest)
    for site in ("north", "south"):
        home.members.rosters.sign(site, sign_roster(two, home.keys[site]))
    sign_over(east, MemoryLine(home, east), two.digest, home.authority.identity)
    assert TrustedRosters(east).require_current(two.digest) == two


@pytest.mark.parametrize("days", [-800, -400, -2, 2, 400])
def test_roster_that_is_past_or_too_long_ahead_is_not_signed(
    home: ConsortiumHome, east: SiteDatabase, time: Time, days: int
) -> None:
    """What a wrong clock does: here the hospital's is days off."""
    home.members.revoke("west", "key stolen")
    two, line = home.members.rosters.propose(), MemoryLine(home, east)
    time.now += timedelta(days=days)
    left = read_time(two.valid_until) - time.now
    if timedelta(0) < left <= MAX_ROSTER_LIFE:
        sign_over(east, line, two.digest, home.authority.identity)
        return
    assert abs(days) >= 2
    with pytest.raises(
        PolicyRefused, match="past or more than 366 days ahead by this machine's cl"
    ):
        sign_over(east, line, two.digest, home.authority.identity)


# --- whose rounds ---


def another(home: ConsortiumHome, field: str) -> CoordinatorIdentity:
    value = SigningKey.generate().public.hex()
    return replace(home.authority.identity, **{field: value})


@pytest.mark.parametrize("field", ["public_key", "root"])
def test_roster_of_another_coordinator_is_not_signed(
    home: ConsortiumHome, east: SiteDatabase, field: str
) -> None:
    """Security review, finding 13: each hospital could be given another signing key."""
    home.members.revoke("west", "key stolen")
    two = home.members.rosters.propose()
    enrolled_with = another(home, field)
    with pytest.raises(PolicyRefused, match="roster 2 names another coordinator's key or TLS root"):
        sign_over(east, MemoryLine(home, east), two.digest, enrolled_with)
    assert TrustedRosters(east).term(trusted(east).digest).reason == "it expires"
    with pytest.raises(PolicyRefused, match="roster 1 names another coordinator's key or TLS root"):
        require_coordinator(enrolled_with, east)
    assert require_coordinator(home.authority.identity, east) == home.authority.identity


# --- over the network ---


@pytest.mark.long
def test_hospital_begins_no_run_and_no_round_when_the_week_is_over(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study(), pace=RunTimeouts(joining=PATIENCE, step=60.0))
    east, clock = network.sites["east"], Time()
    east.clock = clock
    with network.serving():
        network.start_sites()
        run = network.service.start_run(network.study.digest, test_noise=True)
        network.service.steer(run, "pause")
        until(lambda: "east" in network.service.status()["runs"][0]["joined"])
        hospital = east.open()
        rosters = TrustedRosters(hospital)
        one = rosters.newest()
        assert one is not None
        two = replace(one, version=2, previous=one.digest, members=one.members[:3])
        rosters.sign(two, IdentityKeys(hospital).own)
        clock.now += SUCCESSOR_GRACE
        network.service.steer(run, "resume")
        network.service.wait(run, PATIENCE)
        assert network.row(run).state == "finished"  # without east
        assert not hospital.ledger.summary().of("training").spent
        later = network.run()
        assert "east" not in network.row(later).sites_json
        assert not hospital.ledger.summary().of("training").spent
        hospital.close()


def test_coordinator_begins_no_run_under_a_roster_that_has_expired(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    with network.serving():
        authority = network.service._authority
        standing = network.service.status()["roster"]
        assert (standing["version"], standing["is_due"]) == (1, False)
        authority.clock = lambda: read_time(standing["valid_until"]) - timedelta(days=30)
        assert network.service.status()["roster"]["is_due"]
        authority.clock = lambda: read_time(standing["valid_until"])
        with pytest.raises(PolicyRefused, match="roster 1 expired at .* propose --renew"):
            network.service.start_run(network.study.digest, test_noise=True)
