"""The secure sums of a round over a link: ask every site, step by step, until only sums are known.

All rules are in ``protocol.secagg.server``; this file only carries messages. A
site that refuses, answers wrongly or stays silent is dropped from the step;
its sum goes on while the threshold allows. The sums of a round are of different
sites and go through their steps together: each step asks all of their sites at
once, and one that fails holds up no other.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordinator.database.round_archive import RoundArchive
from coordinator.delivery.link import SiloLink
from coordinator.membership.log_proofs import LogProofs
from coordinator.rounds.attempts.attempt_times import AttemptTimes
from protocol.counted import counted
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, ModelMissing, QuorumLost, SumRefused
from protocol.secagg.evidence.accusation import Accusation
from protocol.secagg.server import SecAggServer, Step
from protocol.secagg.transcript import Transcript
from protocol.transport.steps import Reply, Request, Traffic
from protocol.transport.tracing import NOT_TRACED, Tracing

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


#: Why a sum failed.
SumFailure: TypeAlias = QuorumLost | SumRefused


def aggregate(
    machines: Sequence[SecAggServer],
    link: SiloLink,
    *,
    least: int = 1,
    run_id: str,
    model: bytes,
    timeout: float,
    log: LogProofs,
    archive: RoundArchive | None = None,
    instead: bytes | None = None,
    traffic: Mapping[str, Traffic] | None = None,
    times: AttemptTimes | None = None,
    tracing: Tracing = NOT_TRACED,
) -> list[Sum | SumFailure]:
    """Returns the sums of what the sites contributed, or why one failed, in their order.

    One fails where fewer sites than the threshold are left (the message names the class of each
    refusal, never its reason), or where the sum is none that honest sites can give. Where fewer
    sums are left than the round needs, the others end too, before anything is revealed: so their
    noised vectors can be masked again.

    Args:
        machines: a new state machine for each sum's context; no site is in two.
        link: how to reach the sites.
        least: how many of these sums the round needs.
        run_id: the run that the sites have joined.
        model: the global model's safetensors bytes, sent with the opening.
        timeout: seconds that one step may take.
        log: what the sites are shown of the log.
        archive: where masked vectors are kept as they arrive.
        instead: what is sent in place of the model, which follows from it: the sum of the round
            before, or nothing (empty). A site that lacks what it is added to is sent the model.
        traffic: where what crosses is counted, by site.
        times: where the steps and the arrival of updates are timed.
        tracing: records a span for each step.
    """
    times = times or AttemptTimes()
    crossed, lacking = defaultdict(Traffic) if traffic is None else traffic, set[str]()
    sums = [_SumUnderWay(machine, log, archive) for machine in machines]
    of_site = {site: one for one in sums for site in one.machine.context.participants}

    def exchange(step: Step, sites: Iterable[str]) -> Iterator[tuple[str, Reply]]:
        requests = {}
        for site in sites:
            given = model if instead is None or site in lacking else instead or None
            requests[site] = of_site[site].request(run_id, step, site, given)
            crossed[site].came(requests[site])
        for site, reply in link.exchange(requests, timeout):
            crossed[site].went(reply)
            yield site, reply

    def lacks(site: str, reply: Reply) -> bool:
        if instead is None or site in lacking or reply.refusal != ModelMissing.__name__:
            return False
        lacking.add(site)
        return True

    for step in Step:
        going = [one for one in sums if one.failure is None]
        if not going:
            break
        asked = [site for one in going for site in one.machine.asked(step)]
        times.step_begins()
        number = machines[0].context.round + 1
        with tracing.span(f"round.{step.value}", run=run_id, round=number, phase=step.value):
            replies = (
                _opened(of_site, asked, log, exchange, lacks)
                if step is Step.ADVERTISE
                else exchange(step, asked)
            )
            for site, reply in replies:
                if of_site[site].take(step, site, reply) and step is Step.MASKED:
                    times.update_came(site)
            for one in going:
                one.close(step)
        times.step_ends(step.value)
        if step is not Step.UNMASK:
            _end_all_if_too_few(going, least)
    return [one.result() for one in sums]


class _SumUnderWay:
    """One of the sums, with what counted in it so far."""

    def __init__(self, machine: SecAggServer, log: LogProofs, archive: RoundArchive | None) -> None:
        self.machine, self._log, self._archive = machine, log, archive
        self.failure: SumFailure | None = None
        self._counted: dict[Step, dict[str, tuple[bytes, bytes | None]]] = {
            step: {} for step in Step
        }

    def request(self, run_id: str, step: Step, site: str, model: bytes | None) -> Request:
        """Returns what a site is asked in a step."""
        blob = model if step is Step.ADVERTISE else self.machine.attachment(step, site)
        message = self.machine.request(step, site)
        return Request(run_id=run_id, step=step.value, message=message, blob=blob)

    def take(self, step: Step, site: str, reply: Reply) -> bool:
        """Hands a reply to the machine; keeps it where it counts, and returns whether it does."""
        machine = self.machine
        if not _take(machine, step, site, reply):
            return False
        if step is Step.ADVERTISE:
            self._log.opened(site, machine.context)
        self._counted[step][site] = reply.message, reply.blob if step is Step.SHARE else None
        if step is Step.MASKED and self._archive is not None:
            blob = reply.blob or b""
            self._archive.keep_vector(machine.context, machine.blob_hashes[site], blob)
        return True

    def close(self, step: Step) -> None:
        """Ends a step, and with it the sum where too few are left."""
        try:
            self.machine.close(step)
        except (QuorumLost, SumRefused) as error:
            self.failure = error

    def result(self) -> Sum | SumFailure:
        """Returns the sum, or why there is none."""
        machine = self.machine
        try:
            total = machine.total() if self.failure is None else None
        except SumRefused as error:
            self.failure, total = error, None
        if total is None:
            return self.failure or QuorumLost("no sum was begun")
        return Sum(
            total=total,
            survivors=machine.survivors,
            dropped=machine.dropped,
            blob_hashes=machine.blob_hashes,
            ledger_heads=machine.ledger_heads,
            tables=machine.tables,
            transcript=Transcript.of(machine.context, self._counted),
            accusations=machine.accusations,
        )


def _end_all_if_too_few(going: Sequence[_SumUnderWay], least: int) -> None:
    """Ends the sums that are left where they are fewer than the round needs."""
    left = [one for one in going if one.failure is None]
    if len(left) < least:
        for one in left:
            one.machine.end()
            one.failure = QuorumLost(
                f"{counted(len(left), 'sum')} of this round could go on, and it needs {least}"
            )


def _opened(
    of_site: Mapping[str, _SumUnderWay],
    asked: Sequence[str],
    log: LogProofs,
    exchange: Callable[[Step, Iterable[str]], Iterator[tuple[str, Reply]]],
    lacks: Callable[[str, Reply], bool],
) -> Iterator[tuple[str, Reply]]:
    """Opens the round to all sites; again to one that holds another head, or lacks the model."""
    sites = asked
    for last in (False,) * _REOPENED + (True,):
        again = []
        for site, reply in exchange(Step.ADVERTISE, sites):
            if not last and (
                lacks(site, reply) or _holds_another_head(of_site[site].machine, log, site, reply)
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
