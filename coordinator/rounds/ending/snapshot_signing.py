"""Asks the hospitals of a run to sign the snapshot of its final model, and keeps what they sign.

The coordinator signs first. A hospital that does not answer, or refuses, does not hold up the end
of the run: the snapshot stays without its signature, and may be short of a quorum, in which case
the register takes it for no candidate.
"""

import logging

from coordinator.database.store import Store
from coordinator.delivery.link import SiloLink
from coordinator.governance.models.snapshots import keep_signed, signed_snapshot_of
from protocol.errors import MessageRefused
from protocol.identity.roster import Roster, SigningKey
from protocol.transport.snapshot import SignedSnapshot, Snapshot, sign_snapshot
from protocol.transport.steps import SNAPSHOT, Request

log = logging.getLogger("collegium.coordinator")


def collect_signatures(
    snapshot: Snapshot,
    *,
    roster: Roster,
    key: SigningKey,
    store: Store,
    link: SiloLink,
    timeout: float,
    among: frozenset[str],
) -> SignedSnapshot:
    """Returns a run's snapshot with the signatures that came in time; it is kept and logged.

    A run whose snapshot was signed before keeps that one: hospitals sign one of each run. Only
    those are asked who have not signed it.

    Args:
        snapshot: what is to be signed.
        roster: the hospitals' keys in the run.
        key: the coordinator's.
        store: where it is kept.
        link: the line to the hospitals.
        timeout: the seconds that a hospital has to answer.
        among: the hospitals that are asked.

    Raises:
        StoreBroken: it cannot be kept.
    """
    with store.read() as session:
        signed = signed_snapshot_of(session, snapshot.run) or sign_snapshot(snapshot, key)
    snapshot = signed.snapshot
    message = sign_snapshot(snapshot, key).to_bytes()
    requests = {
        site: Request(run_id=snapshot.run, step=SNAPSHOT, message=message)
        for site in snapshot.sites
        if site in among and site not in signed.signatures
    }
    for site, reply in link.exchange(requests, timeout) if requests else ():
        if reply.refusal is not None:
            log.warning(
                "run %s: %s does not sign the snapshot: %s", snapshot.run, site, reply.refusal
            )
            continue
        try:
            signed = signed.with_signature(site, reply.message, roster)
        except MessageRefused as error:
            log.warning("run %s: %s signed something else: %s", snapshot.run, site, error)
    if len(signed.signatures) < snapshot.quorum:
        log.warning(
            "run %s: %d hospitals have signed the snapshot, %d must before it can be a candidate",
            snapshot.run, len(signed.signatures), snapshot.quorum,
        )  # fmt: skip
    with store.transaction() as transaction:
        keep_signed(transaction, signed, key)
    return signed
