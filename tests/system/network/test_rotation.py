"""Other keys and other coordinators, over real TLS with supervisors at work."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordinator.membership.directory import open_members
from protocol.identity.roster import Roster, sign_roster
from protocol.study.study_file import read_study
from silos.config.credentials import Credentials
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.network.client import CoordinatorClient
from silos.network.enrolment import enrol
from silos.operations.keys import leave_chain, rotate_over
from silos.operations.roster import sign_over
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, Site, rosters_now, until
from tests.support.simulated.studies import changed, small_study


@contextmanager
def at(site: Site) -> Iterator[tuple[SiteDatabase, CoordinatorClient]]:
    """A hospital's database and its line, as a command beside the supervisor opens them."""
    hospital = site.open()
    keys, tls = IdentityKeys(hospital), Credentials(site.home / "tls", site.name)
    wire = CoordinatorClient(
        site.name,
        site.url,
        keys.own,
        tls.context(),
        coordinator=tls.coordinator.key,
        next_key=keys.next,
    )
    yield hospital, wire
    wire.close()
    hospital.close()


def own_key(site: Site) -> str:
    hospital = site.open()
    key = IdentityKeys(hospital).own.public.hex()
    hospital.close()
    return key


def spent(site: Site) -> float:
    hospital = site.open()
    found = hospital.ledger.summary().of("training").spent
    hospital.close()
    return found


def propose(network: Network) -> Roster:
    with open_members(network.home) as members:
        return members.rosters.propose()


def others_sign(network: Network, roster: Roster) -> None:
    with open_members(network.home) as members:
        for name, site in network.sites.items():
            if name != "east" and members.rosters.proposed() is not None:
                hospital = site.open()
                members.rosters.sign(name, sign_roster(roster, IdentityKeys(hospital).own))
                hospital.close()


def rotate(network: Network) -> str:
    """East announces another key and signs the roster that names it, then the others do."""
    with at(network.sites["east"]) as (hospital, wire):
        coming = rotate_over(hospital, wire).next
    roster = propose(network)
    with at(network.sites["east"]) as (hospital, wire):
        sign_over(hospital, wire, roster.digest, network.coordinator)
    others_sign(network, roster)
    return str(coming)


@pytest.mark.long
def test_supervisor_takes_the_next_key_without_a_restart(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    east = network.sites["east"]
    with network.serving():
        network.start_sites()
        coming = rotate(network)
        until(lambda: east.roster_version == 2)
        row = network.row(network.run())
        assert east.is_alive
    assert row.state == "finished", row.failure
    assert "east" in row.sites_json
    assert own_key(east) == coming


@pytest.mark.long
def test_run_under_way_ends_with_the_key_that_it_began_with(tmp_path: Path) -> None:
    network = Network(tmp_path, read_study(changed("rounds: 2", "rounds: 6")))
    east = network.sites["east"]
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(network.study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run_id) >= 1)
        network.service.steer(run_id, "pause")
        before = own_key(east)
        rotate(network)
        until(lambda: east.roster_version == 2)
        east.stop()
        east.start()  # from its database alone it knows which key the run needs
        network.service.steer(run_id, "resume")
        network.service.wait(run_id, PATIENCE)
        row = network.row(run_id)
    assert row.state == "finished", row.failure
    assert own_key(east) != before
    assert before in row.roster_json
    assert spent(east) == spent(network.sites["north"])  # it was in every round


def test_last_signer_has_its_new_key_when_the_command_ends(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    with network.serving():
        with at(network.sites["east"]) as (hospital, wire):
            coming = rotate_over(hospital, wire).next
        roster = propose(network)
        with open_members(network.home) as members:
            for name in ("north", "south"):
                with at(network.sites[name]) as (hospital, _):
                    key = IdentityKeys(hospital).own
                members.rosters.sign(name, sign_roster(roster, key))
        with at(network.sites["east"]) as (hospital, wire):
            assert sign_over(hospital, wire, roster.digest, network.coordinator) == (roster, True)
            assert IdentityKeys(hospital).own.public.hex() == coming


def test_hospital_that_was_away_while_its_next_key_was_voted_in_enrols_with_it(
    tmp_path: Path,
) -> None:
    network = Network(tmp_path, small_study())
    east = network.sites["east"]
    with network.serving():
        coming = rotate(network)
        with open_members(network.home) as members:
            invitation = members.invite("east", east.url)
        hospital = east.open()
        enrol(east.home, hospital, invitation, root=network.root)
        hospital.close()
        east.start()
        until(lambda: east.roster_version == 2)
    assert own_key(east) == coming


@pytest.mark.long
def test_hospitals_follow_a_new_coordinator_and_pay_on_from_what_they_have_paid(
    tmp_path: Path,
) -> None:
    study = small_study()
    old = Network(tmp_path, study)
    with old.serving():
        old.start_sites()
        assert old.row(old.run()).state == "finished"
    paid = {name: spent(site) for name, site in old.sites.items()}
    (tmp_path / "anew").mkdir()
    new = Network(tmp_path / "anew", study)
    for name, site in new.sites.items():
        site.home = old.sites[name].home
        hospital = site.open()
        leave_chain(hospital, "the coordinator was lost without a backup")
        hospital.close()
        shutil.rmtree(site.home / "tls")
    with new.serving():
        new.start_sites()
        assert new.row(new.run()).state == "finished"
    assert rosters_now(new.home).roster.version == 1
    assert {name: spent(site) for name, site in new.sites.items()} == {
        name: pytest.approx(2 * share) for name, share in paid.items()
    }
