"""Enrolment: the root is compared before anything is written; no later invitation changes it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Timer
from urllib.parse import urlsplit

import pytest

from coordinator.membership.directory import make_home, open_members
from coordinator.runs.service import Service
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.fingerprints import spoken
from protocol.identity.roster import SigningKey
from protocol.transport.enrolment import EnrolmentInvitation, request_enrolment, to_bytes
from silos.config.coordinator_identity import require_coordinator
from silos.config.credentials import Credentials
from silos.config.directory import opened
from silos.database.database import open_hospital
from silos.database.identity_keys import IdentityKeys
from silos.network.enrolment import enrol
from silos.operations.roster import line_of, numbers_in, sign
from tests.support.hospital.consortium_home import csr
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.sites import SITE
from tests.support.networked.proxy import Proxy
from tests.unit.collegium.cli.test_silo_commands import Person, person

__all__ = ["person"]


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A coordinator's folder, served; and the port."""
    yield from served(tmp_path / "coordinator")


def served(home: Path) -> Iterator[tuple[Path, int]]:
    make_home(home, ["127.0.0.1"])
    service = Service(home)
    with service.serving("127.0.0.1", 0) as port:
        yield home, port


def invite(coordinator: tuple[Path, int], site: str = "east") -> EnrolmentInvitation:
    home, port = coordinator
    with open_members(home) as members:
        return members.invite(site, f"https://127.0.0.1:{port}")


def root_of(coordinator: tuple[Path, int]) -> str:
    with open_members(coordinator[0]) as members:
        return str(members._authority.identity.root)


def state_of(coordinator: tuple[Path, int]) -> str:
    with open_members(coordinator[0]) as members:
        (status,) = members.listing()
    return status.state


@pytest.fixture
def east(tmp_path: Path, coordinator: tuple[Path, int]) -> Path:
    """A hospital's home whose site file names the coordinator."""
    url = f"https://127.0.0.1:{coordinator[1]}"
    lines = [line for line in SITE.splitlines() if not line.startswith("coordinator:")]
    return make_east(tmp_path, site="\n".join([*lines, f"coordinator: {url}", ""]))


@pytest.mark.parametrize("digits", [0, 8, 32, "0" * 64])
def test_nothing_is_written_sent_or_trusted_before_the_root_is_compared(
    coordinator: tuple[Path, int], east: Path, digits: int | str
) -> None:
    """Security review, finding 13: the root was trusted first and shown afterwards."""
    invitation, root = invite(coordinator), root_of(coordinator)
    hospital = open_hospital(east / "hospital.db", site="east")
    typed = digits if isinstance(digits, str) else root[:digits]
    with pytest.raises(MessageRefused, match="the consortium's root in the invitation"):
        enrol(east, hospital, invitation, root=typed)
    assert not (east / "tls").exists()
    assert state_of(coordinator) == "invited"
    enrol(east, hospital, invitation, root=spoken(root))
    assert Credentials(east / "tls", "east").coordinator.root == root
    assert state_of(coordinator) == "enrolled"
    hospital.close()


@pytest.mark.parametrize("break_line", ["reset", "in the handshake", "in the answer"])
def test_a_line_that_breaks_before_the_answer_is_tried_again(
    coordinator: tuple[Path, int], east: Path, break_line: str
) -> None:
    """The port closes when no invitation is open, and may just do so when the next one is made."""
    invitation = invite(coordinator)
    hospital = open_hospital(east / "hospital.db", site="east")
    with Proxy(urlsplit(invitation.enrol_url).port or 0) as line:
        if break_line == "reset":
            line.close_door()
            Timer(0.5, line.open_door).start()
        elif break_line == "in the handshake":
            line.cut_after(sent=1)
        else:
            line.cut_after(received=1)
        through = replace(invitation, enrol_url=f"https://127.0.0.1:{line.port}")
        enrol(east, hospital, through, root=root_of(coordinator))
        assert line.log.cuts + line.log.refused
    assert state_of(coordinator) == "enrolled"
    hospital.close()


def test_command_shows_the_root_and_asks_for_it(
    coordinator: tuple[Path, int], east: Path, tmp_path: Path, person: Person
) -> None:
    file = tmp_path / "east.invitation"
    file.write_bytes(to_bytes(invite(coordinator)))
    root = root_of(coordinator)
    words = ("silo", "enrol", file, "--home", east)
    for typed in ("\n", "yes\n", f"{root[:32]}\n", ""):
        assert person.runs(*words, types=typed) == 2
        assert f"root       {spoken(root)}" in person.err
        assert not (east / "tls").exists()
    assert person.runs(*words, "--root", "f" * 64) == 2
    assert person.runs(*words, "--json", types=f"{spoken(root)}\n") == 0
    said = json.loads(person.out)
    with open_members(coordinator[0]) as members:
        assert (said["root"], said["coordinator"]) == (root, members._key.public.hex())


def founded(coordinator: tuple[Path, int], east: Path) -> None:
    """East enrols and founds a consortium of its own."""
    hospital = open_hospital(east / "hospital.db", site="east")
    enrol(east, hospital, invite(coordinator), root=root_of(coordinator))
    hospital.close()
    with open_members(coordinator[0]) as members:
        digest = members.rosters.propose().digest
    _, complete = sign(east, digest)
    assert complete


def test_another_coordinators_invitation_changes_nothing(
    coordinator: tuple[Path, int], east: Path, tmp_path: Path
) -> None:
    """Not even one whose root its people read out: another coordinator is another consortium."""
    founded(coordinator, east)
    before = {path.name: path.read_bytes() for path in (east / "tls").iterdir()}
    for other in served(tmp_path / "other"):
        hospital = open_hospital(east / "hospital.db", site="east")
        with pytest.raises(PolicyRefused, match="another coordinator's key or TLS root than this"):
            enrol(east, hospital, invite(other), root=root_of(other))
        assert state_of(other) == "invited"
        hospital.close()
    assert {path.name: path.read_bytes() for path in (east / "tls").iterdir()} == before
    hospital = open_hospital(east / "hospital.db", site="east")
    enrol(east, hospital, invite(coordinator), root=root_of(coordinator))
    hospital.close()


def test_root_that_was_replaced_on_disk_is_not_used(
    coordinator: tuple[Path, int], east: Path, tmp_path: Path
) -> None:
    founded(coordinator, east)
    for other, _ in served(tmp_path / "other"):
        (east / "tls" / "root.pem").write_bytes((other / "tls" / "root.pem").read_bytes())
    with opened(east) as (site, hospital):
        found = Credentials(east / "tls", "east").coordinator
        with pytest.raises(PolicyRefused, match="roster 1 names another coordinator's key"):
            require_coordinator(found, hospital)
        with (
            pytest.raises(PolicyRefused, match="roster 1 names another coordinator's key"),
            line_of(east, site, hospital),
        ):
            pass


def test_commands_show_what_two_hospitals_read_to_each_other(
    coordinator: tuple[Path, int], east: Path, person: Person
) -> None:
    hospital = open_hospital(east / "hospital.db", site="east")
    enrol(east, hospital, invite(coordinator), root=root_of(coordinator))
    own = IdentityKeys(hospital).own.public.hex()
    hospital.close()
    with open_members(coordinator[0]) as members:
        west = request_enrolment(
            members.invite("west", "https://a"), csr("west"), SigningKey.generate()
        )
        members.enrol(to_bytes(west))
        roster = members.rosters.propose()
    assert person.runs("silo", "roster", "compare", "--home", east, "--json") == 0
    said = json.loads(person.out)
    assert said == {
        "roster": roster.digest,
        "numbers": {"west": numbers_in(roster, "west")["east"]},
    }
    for row in range(0, 16, 4):
        assert " ".join(said["numbers"]["west"].split()[row : row + 4]) in person.err
    assert person.runs("silo", "roster", "show", "--home", east) == 0
    for fingerprint in (own, roster.digest, roster.coordinator.public_key, root_of(coordinator)):
        assert spoken(fingerprint) in person.out
    assert f"valid until {roster.valid_until}" in person.out
    part = ("silo", "roster", "sign", "--home", east, "--digest")
    assert person.runs(*part, roster.digest[:8]) == 2
    assert "8 digits are too few to compare: give all 64 digits of roster 1" in person.err
    assert person.runs(*part, spoken(roster.digest)) == 0
    assert person.runs("silo", "status", "--home", east) == 0
    assert "none is trusted: collegium silo roster sign, or trust" in person.out
