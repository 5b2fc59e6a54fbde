"""The coordinator's state machine: the order of its steps, what it repeats, and what it learns."""

import pytest

from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, OutOfOrder, QuorumLost
from protocol.secagg.server import SecAggServer, Step
from tests.support.simulated.contexts import context_of, site_names
from tests.support.simulated.sum_federation import FIRST, LEDGER_HEAD, Federation, reached


def test_coordinator_keeps_the_order_of_steps() -> None:
    federation = reached(Step.SHARE, 4)
    coordinator = federation.coordinator
    for act in (
        lambda: coordinator.asked(Step.MASKED),
        lambda: coordinator.request(Step.ADVERTISE, FIRST),
        lambda: coordinator.receive(Step.UNMASK, FIRST, b""),
        lambda: coordinator.close(Step.CONSISTENCY),
    ):
        with pytest.raises(OutOfOrder, match="is not due: the round is at share"):
            act()
    with pytest.raises(OutOfOrder, match="the sum is still masked"):
        coordinator.total()
    with pytest.raises(OutOfOrder, match="site sybil has no part in step share"):
        coordinator.request(Step.SHARE, "sybil")


def test_lost_round_stays_over() -> None:
    federation = Federation(3)
    with pytest.raises(QuorumLost, match="step advertise: 0 of 3 sites are left, 3 are needed"):
        federation.coordinator.close(Step.ADVERTISE)
    with pytest.raises(OutOfOrder, match="the round is at over"):
        federation.coordinator.asked(Step.ADVERTISE)


def test_coordinator_needs_the_roster_of_the_context() -> None:
    federation = Federation(3)
    with pytest.raises(MessageRefused, match="the context names another roster"):
        SecAggServer(
            context=context_of(3), roster=federation.roster, key=federation.coordinator_key
        )


def test_coordinator_learns_hashes_and_ledger_heads_of_the_survivors() -> None:
    federation = Federation(4)
    federation.run(federation.vectors(), lost={FIRST: Step.MASKED})
    coordinator = federation.coordinator
    assert coordinator.survivors == site_names(4)[1:]
    assert coordinator.blob_hashes == {s: blob_digest(b) for s, b in federation.blobs.items()}
    assert coordinator.ledger_heads == dict.fromkeys(coordinator.survivors, LEDGER_HEAD)
