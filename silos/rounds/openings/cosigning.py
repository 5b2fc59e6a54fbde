"""Cosigns heads of the coordinator's log: this hospital as a witness, by pull.

Rules:

1. The head extends the newest one that this hospital keeps, by the proof that came
   with it: as a standard witness decides (``protocol.log.witness``).
2. It is kept durably before the cosignature leaves, in one write that also sees that
   the newest head is still the one that was compared.
3. What was not shown to agree is refused, and both notes are kept; from then on
   nothing is cosigned, and no round taken part in, under that log.

What differs from a standard witness: the request comes as a delivery that the hospital
fetched, and the head *cosigned last* is the newest that it keeps: it may have taken part
under a head that others cosigned while it was away.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from compliance.storage.clock import utc_now
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Ed25519Cosigner
from protocol.log.signed_note import Checkpoint, log_origin
from protocol.log.witness import (
    CONFLICT,
    WitnessRefusal,
    decide,
    parse_witness_request,
    require_cosigned,
)
from protocol.secagg.log_proof import SignedHead, open_head
from silos.rounds.openings.log_heads import LogHeads

log = logging.getLogger("collegium.silo")


def cosign_head(
    message: bytes,
    heads: LogHeads,
    *,
    site: str,
    key: SigningKey,
    run: str,
    clock: Callable[[], datetime] = utc_now,
) -> bytes:
    """Returns a signature line over the head that is shown; or the size that is held instead.

    Args:
        message: the request, as the standard writes it.
        heads: those that this hospital keeps.
        site: the hospital's name.
        key: its identity key in the run.
        run: the run in which it is asked, for the evidence.
        clock: says what time it is.

    Raises:
        LogForked: the head was not shown to extend the newest kept one.
        MessageRefused: the request is malformed, or the head not the log's.
        StoreBroken: the head cannot be kept; nothing was signed.
    """
    heads.require_unforked()
    request = parse_witness_request(message)
    origin, newest = log_origin(heads.public), heads.newest()
    found = decide(request, {origin: [(origin, heads.public)]}, _checkpoint(origin, newest))
    if isinstance(found, WitnessRefusal):
        if found.status == CONFLICT and found.contradicts is None and found.size is not None:
            return f"{found.size}\n".encode()
        if found.contradicts is not None and newest is not None:
            heads.keep_fork(newest, open_head(request.note, heads.public), run)
            log.error(
                "run %s: THE COORDINATOR'S LOG DOES NOT AGREE with the one that this hospital "
                "knows; both notes are kept: collegium silo log shows them",
                run,
            )
    accepted = require_cosigned(found)
    heads.keep_instead(open_head(accepted.note, heads.public), newest)
    line = Ed25519Cosigner.of_site(site, key).cosign(accepted.text, int(clock().timestamp()))
    return line.text.encode()


def _checkpoint(origin: str, head: SignedHead | None) -> Checkpoint | None:
    return None if head is None else Checkpoint(origin=origin, size=head.size, root=head.root)
