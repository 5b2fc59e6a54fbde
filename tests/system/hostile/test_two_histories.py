"""A coordinator that shows hospitals two histories, over real HTTP: found at the next round."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compliance.audit.log import LogHead
from coordinator.database.workspace import Workspace
from coordinator.membership.log_proofs import LogProofs
from protocol.errors import LogForked
from protocol.identity.roster import SigningKey
from protocol.log.merkle import leaf_hash
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import checkpoint_text, log_origin, sign_note
from protocol.log.witness import WitnessRequest
from protocol.secagg.log_proof import open_head
from protocol.study.study_file import read_study
from silos.rounds.openings.log_heads import Fork, LogHeads
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, RunTimeouts, until
from tests.support.simulated.studies import changed


@dataclass
class Equivocating:
    """Shows some hospitals another log, from the head on that they hold, signed by the same key."""

    key: SigningKey
    deceived: frozenset[str]
    shown: dict[str, int] = field(default_factory=dict)

    def request(self, honest: WitnessRequest, tree: Tree, head: LogHead) -> WitnessRequest:
        """Returns what a deceived hospital is shown in place of a head."""
        leaves = [bytes(tree._levels[0][32 * n : 32 * n + 32]) for n in range(honest.old)]
        other = Tree(leaves)
        while other.size < head.size:
            other.append(leaf_hash(b"another history %d" % other.size))
        origin = log_origin(self.key.public)
        text = checkpoint_text(origin, head.size, other.root(head.size))
        proof = other.consistency(honest.old, head.size) if honest.old else ()
        return WitnessRequest(old=honest.old, proof=proof, note=sign_note(text, origin, self.key))


def key_of(network: Network) -> SigningKey:
    return Workspace.open(network.home).signing_key()


@pytest.fixture
def network(tmp_path: Path) -> Network:
    study = read_study(changed("rounds: 2", "rounds: 4"))
    pace = RunTimeouts(joining=PATIENCE, step=20, patience=4.0, first_rest=0.2, longest_rest=0.4)
    return Network(tmp_path, study, pace=pace)


@pytest.fixture
def deceive(network: Network, monkeypatch: pytest.MonkeyPatch) -> Equivocating:
    equivocating = Equivocating(key_of(network), frozenset())
    honest = LogProofs.request

    def request(self: LogProofs, site: str, head: LogHead) -> WitnessRequest:
        asked = honest(self, site, head)
        if site not in equivocating.deceived or asked.old == head.size:
            return asked
        equivocating.shown.setdefault(site, head.size)
        return equivocating.request(asked, self._tree, head)

    monkeypatch.setattr(LogProofs, "request", request)
    return equivocating


def forks(network: Network, site: str) -> tuple[Fork, ...]:
    with closing(network.sites[site].open()) as hospital:
        return LogHeads(hospital, key_of(network).public).forks()


def require_evidence(network: Network, site: str) -> None:
    """Requires the two notes that a hospital kept to be signed by the log, of other histories."""
    found = forks(network, site)
    assert found, site
    public = key_of(network).public
    pairs = [[open_head(note, public) for note in (f.kept_note, f.other_note)] for f in found]
    assert any(kept.root != other.root for kept, other in pairs)


def test_one_hospital_that_is_shown_another_log_finds_it_in_that_round_and_stops(
    network: Network, deceive: Equivocating
) -> None:
    with network.serving():
        network.start_sites()
        run = network.service.start_run(network.study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run) >= 1)
        deceive.deceived = frozenset({"east"})
        network.service.wait(run, PATIENCE)
        row = network.row(run)
        for site in network.sites.values():
            site.stop()
    assert row.state == "finished", row.failure  # a quorum of others is under one history
    assert "east" in deceive.shown
    require_evidence(network, "east")
    for other in ("north", "south", "west"):
        assert forks(network, other) == ()
    with closing(network.sites["east"].open()) as hospital:
        with pytest.raises(LogForked, match="takes part in nothing under that log any more"):
            LogHeads(hospital, key_of(network).public).require_unforked()


def test_under_two_histories_of_two_hospitals_each_no_round_is_opened(
    network: Network, deceive: Equivocating
) -> None:
    with network.serving():
        network.start_sites()
        run = network.service.start_run(network.study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run) >= 1)
        network.service.steer(run, "pause")
        finished = network.rounds_finished(run)
        deceive.deceived = frozenset({"east", "north"})
        network.service.steer(run, "resume")
        until(lambda: set(deceive.shown) == {"east", "north"})
        until(lambda: network.row(run).state == "failed")
        failure = network.row(run).failure or ""
        for site in network.sites.values():
            site.stop()
    assert network.rounds_finished(run) <= finished + 1
    assert "of 4 hospitals have cosigned" in failure
    for site in ("east", "north"):
        require_evidence(network, site)
        with closing(network.sites[site].open()) as hospital:
            with pytest.raises(LogForked, match="takes part in nothing"):
                LogHeads(hospital, key_of(network).public).require_unforked()
