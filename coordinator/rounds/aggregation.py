"""One aggregation over a link: ask every site, step by step, until only the sum is known.

All rules are in ``protocol.secagg.server``; this file only carries messages. A
site that refuses, answers wrongly or stays silent is dropped from the step;
the round goes on while the threshold allows.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coordinator.database.round_archive import RoundArchive
from coordinator.delivery.link import SiloLink
from coordinator.membership.log_proofs import LogProofs
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, ModelMissing
from protocol.secagg.evidence.accusation import Accusation
from protocol.secagg.server import SecAggServer, Step
from protocol.secagg.transcript import Transcript
from protocol.transport.steps import Reply, Request, Traffic

#: How often a round is opened again to a site that holds another head of the log each time, or
#: that lacks the model to which a sum is added.
_REOPENED = 3


@dataclass(frozen=True, kw_only=True)
class Sum:
    """The result of a round: the sum, the sites in it, and what it can be recomputed from."""

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
    sum_round: SecAggServer,
    link: SiloLink,
    *,
    run_id: str,
    model: bytes,
    timeout: float,
    log: LogProofs,
    archive: RoundArchive | None = None,
    instead: bytes | None = None,
    traffic: Mapping[str, Traffic] | None = None,
) -> Sum:
    """Returns the sum of what the sites contributed.

    Args:
        sum_round: a new state machine for this context.
        link: how to reach the sites.
        run_id: the run that the sites have joined.
        model: the global model's safetensors bytes, sent with the opening.
        timeout: seconds that one step may take.
        log: what the sites are shown of the log.
        archive: where masked vectors are kept as they arrive.
        instead: what is sent in place of the model, which follows from it: the sum of the round
            before, or nothing (empty). A site that lacks what it is added to is sent the model.
        traffic: where what crosses is counted, by site.

    Raises:
        QuorumLost: fewer sites than the threshold are left; the message names
            the class of each refusal, never its reason.
        SumRefused: the sum is none that honest sites can give.
    """
    lacking: set[str] = set()
    crossed = defaultdict(Traffic) if traffic is None else traffic
    counted: dict[Step, dict[str, tuple[bytes, bytes | None]]] = {step: {} for step in Step}

    def asks(step: Step, site: str) -> Request:
        blob = sum_round.attachment(step, site)
        if step is Step.ADVERTISE:
            blob = model if instead is None or site in lacking else instead or None
        message = sum_round.request(step, site)
        return Request(run_id=run_id, step=step.value, message=message, blob=blob)

    def exchange(step: Step, sites: Sequence[str]) -> Iterator[tuple[str, Reply]]:
        requests = {site: asks(step, site) for site in sites}
        for site, request in requests.items():
            crossed[site].came(request)
        for site, reply in link.exchange(requests, timeout):
            crossed[site].went(reply)
            yield site, reply

    def lacks(site: str, reply: Reply) -> bool:
        if instead is None or site in lacking or reply.refusal != ModelMissing.__name__:
            return False
        lacking.add(site)
        return True

    for step in Step:
        replies = (
            _opened(sum_round, log, exchange, lacks)
            if step is Step.ADVERTISE
            else exchange(step, sum_round.asked(step))
        )
        for site, reply in replies:
            if not _take(sum_round, step, site, reply):
                continue
            if step is Step.ADVERTISE:
                log.opened(site, sum_round.context)
            counted[step][site] = reply.message, reply.blob if step is Step.SHARE else None
            if step is Step.MASKED and archive is not None:
                archive.keep_vector(
                    sum_round.context, sum_round.blob_hashes[site], reply.blob or b""
                )
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


def _opened(
    sum_round: SecAggServer,
    log: LogProofs,
    exchange: Callable[[Step, Sequence[str]], Iterator[tuple[str, Reply]]],
    lacks: Callable[[str, Reply], bool],
) -> Iterator[tuple[str, Reply]]:
    """Opens the round to all sites; again to one that holds another head, or lacks the model."""
    sites: Sequence[str] = sum_round.asked(Step.ADVERTISE)
    for last in (False,) * _REOPENED + (True,):
        again = []
        for site, reply in exchange(Step.ADVERTISE, sites):
            if not last and (
                lacks(site, reply) or _holds_another_head(sum_round, log, site, reply)
            ):
                again.append(site)
            else:
                yield site, reply
        sites = again
        if not sites:
            return


def _holds_another_head(sum_round: SecAggServer, log: LogProofs, site: str, reply: Reply) -> bool:
    try:
        held = None if reply.refusal else sum_round.held_head(site, reply.message)
    except MessageRefused:
        return False  # it is refused as an advert, too
    return held is not None and log.is_known(site, held)


def _take(sum_round: SecAggServer, step: Step, site: str, reply: Reply) -> bool:
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
