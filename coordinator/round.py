"""One aggregation over a link: ask every site, step by step, until only the sum is known.

All rules are in ``protocol.sum_round``; this file only carries messages. A
site that refuses, answers wrongly or stays silent is dropped from the step;
the round goes on while the threshold allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coordinator.links import SiloLink
from protocol.errors import MessageRefused, QuorumLost
from protocol.exchange import Reply, Request
from protocol.sum_round import Step, SumRound


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What a round yields: the sum, and who is in it."""

    total: NDArray[np.unsignedinteger]
    survivors: tuple[str, ...]
    dropped: tuple[str, ...]
    blob_hashes: Mapping[str, str]
    ledger_heads: Mapping[str, str]
    refusals: Mapping[str, str] = field(default_factory=dict)


def aggregate(
    sum_round: SumRound, link: SiloLink, *, run_id: str, model: bytes, timeout: float
) -> Sum:
    """Returns the sum of what the sites contributed.

    Args:
        sum_round: a new state machine for this context.
        link: how to reach the sites.
        run_id: the run that the sites have joined.
        model: the global model's safetensors bytes, sent with the opening.
        timeout: seconds that one step may take.

    Raises:
        QuorumLost: fewer sites than the threshold are left; the message names
            the class of each refusal, never its reason.
    """
    refusals: dict[str, str] = {}
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
            refusal = _take(sum_round, step, site, reply)
            if refusal is not None:
                refusals[site] = refusal
        try:
            sum_round.close(step)
        except QuorumLost as error:
            named = "; ".join(f"{site}: {kind}" for site, kind in sorted(refusals.items()))
            raise QuorumLost(f"{error}{f' ({named})' if named else ''}") from error
    return Sum(
        total=sum_round.total(),
        survivors=tuple(sum_round.survivors),
        dropped=tuple(sorted(set(sum_round.context.cohort) - set(sum_round.survivors))),
        blob_hashes=sum_round.blob_hashes,
        ledger_heads=sum_round.ledger_heads,
        refusals=refusals,
    )


def _take(sum_round: SumRound, step: Step, site: str, reply: Reply) -> str | None:
    if reply.refusal is not None:
        return reply.refusal
    try:
        sum_round.receive(step, site, reply.message, reply.blob)
    except MessageRefused as error:
        return type(error).__name__
    return None
