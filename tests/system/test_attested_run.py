"""A run whose hospitals ask each other for evidence, over real TLS."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.runs.resources import RunTimeouts
from protocol.errors import WorkspaceRefused
from protocol.identity.machine_evidence import MachineEvidence
from protocol.study.study_file import read_study
from tests.support.hospital.tee import Snp
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, until
from tests.support.simulated.studies import small_study
from tests.unit.silos.config.attestation.test_members import POLICY


def network_of(folder: Path, machines: dict[str, Snp | None], asking: tuple[str, ...]) -> Network:
    """A consortium: ``machines`` by site, and the sites whose policy asks for evidence."""
    network = Network(folder, small_study(), pace=RunTimeouts(joining=30, step=10, patience=0))
    for name, site in network.sites.items():
        site.evidence = showing(machines.get(name, Snp()))
        site.attestation = POLICY if name in asking else None
    return network


def showing(machine: Snp | None) -> Callable[[bytes], MachineEvidence]:
    def evidence(data: bytes) -> MachineEvidence:
        if machine is None:
            raise WorkspaceRefused("this machine shows no TEE")
        return machine.over(data)

    return evidence


def test_hospitals_that_all_show_good_evidence_run_a_study(tmp_path: Path) -> None:
    network = network_of(tmp_path, {}, asking=("east", "north", "south", "west"))
    with network.serving():
        network.start_sites()
        row = network.row(network.run())
    assert row.state == "finished", row.failure
    assert not [site.failures for site in network.sites.values() if site.failures]


@pytest.mark.long
def test_a_hospital_that_asks_shares_nothing_with_one_that_shows_nothing(tmp_path: Path) -> None:
    network = network_of(tmp_path, {"west": None}, asking=("east",))
    with network.serving():
        network.start_sites()
        run_id = network.run()
        row = network.row(run_id)
        supervisor = network.sites["east"].supervisor
        assert supervisor is not None
        reason = supervisor._silo.reason(run_id)
    assert row.state == "finished", row.failure  # the other three went on without east
    assert reason is not None
    assert reason.startswith("west has shown no evidence about its machine in this run")


@pytest.mark.long
def test_a_run_without_a_quorum_of_members_that_trust_each_other_fails(tmp_path: Path) -> None:
    network = network_of(
        tmp_path, {"west": Snp(policy=0x30000 | 1 << 19)}, asking=("east", "north", "south")
    )
    with network.serving():
        network.start_sites()
        run_id = network.run()
        row = network.row(run_id)
        reasons = {
            name: site.supervisor._silo.reason(run_id)
            for name, site in network.sites.items()
            if site.supervisor is not None
        }
    assert row.state == "failed"
    for name in ("east", "north", "south"):
        assert "the evidence of west" in str(reasons[name])
        assert "the guest may be debugged" in str(reasons[name])


@pytest.mark.long
def test_a_coordinator_that_withholds_or_exchanges_evidence_gains_nothing(tmp_path: Path) -> None:
    network = network_of(tmp_path, {}, asking=("east", "north", "south"))
    real = network.service._backend._evidence

    def exchanged(run_id: str) -> dict[str, MachineEvidence] | None:
        shown = dict(real(run_id) or {})
        return {"east": shown["south"], "south": shown["east"]} if len(shown) > 3 else None

    network.service._backend._evidence = exchanged
    with network.serving():
        network.start_sites()
        run_id = network.run()
        row = network.row(run_id)
        supervisor = network.sites["north"].supervisor
        assert supervisor is not None
        reason = supervisor._silo.reason(run_id)
    assert row.state == "failed"
    assert "policy.attestation asks for it" in str(reason) or "is refused" in str(reason)


@pytest.mark.long
def test_a_restarted_hospital_checks_again_and_goes_on(tmp_path: Path) -> None:
    study = read_study(small_study().canonical_bytes.decode().replace('"rounds":2', '"rounds":6'))
    network = Network(tmp_path, study, pace=RunTimeouts(joining=30, step=10, patience=60))
    for site in network.sites.values():
        site.evidence, site.attestation = showing(Snp()), POLICY
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run_id) >= 1)
        network.sites["east"].stop()
        network.sites["east"].start()
        network.service.wait(run_id, PATIENCE)
        row = network.row(run_id)
    assert row.state == "finished", row.failure
