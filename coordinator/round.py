"""One aggregation over a link: ask every site, step by step, until only the sum is known.

All rules are in ``protocol.sum_round``; this file only carries messages. A
site that refuses, answers wrongly or stays silent is dropped from the step;
the round goes on while the threshold allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coordinator.evidence import RoundShelf
from coordinator.links import SiloLink
from protocol.accusation import Accusation
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused
from protocol.exchange import Reply, Request
from protocol.sum_round import Step, SumRound
from protocol.transcript import Transcript


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What a round yields: the sum, who is in it, and from what it can be recomputed."""

    total: NDArray[np.unsignedinteger]
    survivors: tuple[str, ...]
    dropped: tuple[str, ...]
    blob_hashes: Mapping[str, str]
    ledger_heads: Mapping[str, str]
    tables: Mapping[str, tuple[int, ...]]
    transcript: Transcript
    accusations: tuple[Accusation, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the sum's bytes."""
        return blob_digest(self.total.view(np.uint8).data)


def aggregate(
    sum_round: SumRound,
    link: SiloLink,
    *,
    run_id: str,
    model: bytes,
    timeout: float,
    shelf: RoundShelf | None = None,
) -> Sum:
    """Returns the sum of what the sites contributed.

    Args:
        sum_round: a new state machine for this context.
        link: how to reach the sites.
        run_id: the run that the sites have joined.
        model: the global model's safetensors bytes, sent with the opening.
        timeout: seconds that one step may take.
        shelf: where masked vectors are kept as they arrive.

    Raises:
        QuorumLost: fewer sites than the threshold are left; the message names
            the class of each refusal, never its reason.
        SumRefused: the sum is none that honest sites can give.
    """
    counted: dict[Step, dict[str, tuple[bytes, bytes | None]]] = {step: {} for step in Step}
    for step in Step:
        requests = {
            site: Request(
                run_id=run_id,
                step=step.value,
                message=sum_round.request(step, site),
                blob=model if step is Step.ADVERTISE else sum_round.attachment(step, site),
            )
            for site in sum_round.asked(step)
        }
        for site, reply in link.exchange(requests, timeout):
            if not _take(sum_round, step, site, reply):
                continue
            counted[step][site] = reply.message, reply.blob if step is Step.SHARE else None
            if step is Step.MASKED and shelf is not None:
                shelf.keep_vector(sum_round.context, sum_round.blob_hashes[site], reply.blob or b"")
        sum_round.close(step)
    return Sum(
        total=sum_round.total(),
        survivors=sum_round.survivors,
        dropped=sum_round.dropped,
        blob_hashes=sum_round.blob_hashes,
        ledger_heads=sum_round.ledger_heads,
        tables=sum_round.tables,
        transcript=Transcript.of(sum_round.context, counted),
        accusations=sum_round.accusations,
    )


def _take(sum_round: SumRound, step: Step, site: str, reply: Reply) -> bool:
    """Hands a reply to the round; whether it counts."""
    refusal = reply.refusal
    if refusal is None:
        try:
            sum_round.receive(step, site, reply.message, reply.blob)
            return True
        except MessageRefused as error:
            refusal = type(error).__name__
    sum_round.refuse(step, site, refusal)
    return False
