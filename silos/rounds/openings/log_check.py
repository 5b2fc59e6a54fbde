"""Holds the opening of a round against what this hospital knows of the coordinator's log.

Rules:

1. The head that the context names is signed by the log's key, and is shown to
   extend the newest head that this hospital keeps, or to be part of it (runs
   side by side may be opened in another order than their heads were signed).
2. A training round that is not the first, and every evaluation, begin with the
   model that the log names as the result of the round before. After an
   evaluation that may have taken rounds back they begin with the model that
   follows from the run's course, which the log names too; and that course says
   of each evaluation the model by which this hospital counted then.
3. As many hospitals of the whole study as its threshold asks for have cosigned the head,
   with their keys in the run's roster.
   The log holds what this hospital sent last in the run (``check_own_event``).
   Where the hospital's site file names a policy of witnesses, the head meets that, too.
4. A log that is not shown to agree with what is kept is refused, and both notes
   are kept (``silos.rounds.openings.log_heads``); from then on every round is refused.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from protocol.errors import EventMissing, LogForked, MessageRefused, PolicyRefused
from protocol.log.cosignature import VerifierKey, cosignatures
from protocol.log.tlog_proof import TlogProof
from protocol.log.witness_policy import WitnessPolicy
from protocol.secagg.log_proof import (
    SentEvent,
    SignedHead,
    verify_extension,
    verify_head,
    verify_own_event,
    verify_result,
)
from protocol.secagg.messages import HeldHead, RoundOpen
from protocol.study.study import Study
from silos.rounds.openings.log_heads import LogHeads, OwnEvent

log = logging.getLogger("collegium.silo")


@dataclass(frozen=True, kw_only=True)
class HeadRule:
    """The keys under which the study's hospitals cosign, and this hospital's own policy, if any."""

    cosigners: Collection[VerifierKey]
    witnesses: WitnessPolicy | None = None


def check_log(
    opening: RoundOpen,
    heads: LogHeads,
    study: Study,
    evaluated: Callable[[int], str | None],
    rule: HeadRule,
) -> SignedHead | HeldHead:
    """Returns the head to keep; or, where the proof starts from another head, what is held.

    Args:
        opening: of the round.
        heads: those that this hospital keeps.
        study: the study.
        evaluated: returns the model of an evaluation, by its number, that this hospital had a part
            in; None where it had none.
        rule: who must have cosigned the head.

    Raises:
        LogForked: the head was not shown to be of the log that this hospital knows, now or before.
        PolicyRefused: no proof came, too few hospitals have cosigned the head, or the model is not
            the log's last result, or not that from which the run's course goes on.
        MessageRefused: the note or a proof is malformed or not the log's.
    """
    proof, context = opening.log, opening.context
    if proof is None:
        raise PolicyRefused("the round shows nothing of the coordinator's log")
    heads.require_unforked()
    head = verify_head(proof, context, heads.public)
    require_cosigners(proof.note, study, rule.cosigners)
    if rule.witnesses is not None:
        _require_witnesses(proof.note, rule.witnesses)
    newest = heads.newest()
    if newest is None:
        if proof.known:
            return HeldHead(size=0, root="0" * 64)
    elif newest.size == head.size:
        _require_extension(newest, head, (), heads, context.run_id)
    else:
        start = heads.at(proof.known)
        # Whatever is part of an older kept head is part of the newest one too.
        if start is None or start.size < min(newest.size, head.size):
            return HeldHead(size=newest.size, root=newest.root.hex())
        _require_extension(start, head, proof.consistency, heads, context.run_id)
    course = verify_result(proof, context, study)
    counted = course.evaluations if course else ()
    for number, one in zip(study.evaluations.numbers, counted, strict=False):
        if evaluated(number) not in (None, one.model):
            raise PolicyRefused(
                f"the run's course says that another model was evaluated after round {one.rounds} "
                "than this hospital evaluated"
            )
    return head


def check_own_event(opening: RoundOpen, sent: SentEvent | None) -> OwnEvent | None:
    """Returns the proof to keep that the log holds what this hospital sent last, if anything.

    Raises:
        EventMissing: the log is not shown to hold it.
    """
    if sent is None or opening.log is None:
        return None
    try:
        logged = verify_own_event(opening.log, opening.context, sent)
    except EventMissing as error:
        log.error(
            "run %s: THE COORDINATOR'S LOG LACKS WHAT THIS HOSPITAL SENT: %s",
            sent.context.run_id,
            error,
        )
        raise
    proof = TlogProof(
        index=logged.index, path=logged.path, note=opening.log.note, extra=logged.entry
    )
    return OwnEvent(context=sent.context, index=logged.index, proof=proof.to_bytes)


def require_cosigners(note: bytes, study: Study, cosigners: Collection[VerifierKey]) -> None:
    """Checks that a quorum of the study's hospitals has cosigned a head.

    Raises:
        PolicyRefused: too few have.
        MessageRefused: a cosignature of one of them is wrong.
    """
    found = len(cosignatures(note, cosigners))
    if found < study.threshold:
        raise PolicyRefused(
            f"{found} of {len(cosigners)} hospitals have cosigned the head of the log under which "
            f"the round is opened, {study.threshold} must"
        )


def _require_witnesses(note: bytes, policy: WitnessPolicy) -> None:
    try:
        policy.require_met(note)
    except MessageRefused as error:
        raise PolicyRefused(
            f"{error}; this hospital's site file asks for it (policy.witnesses)"
        ) from error


def _require_extension(
    kept: SignedHead, head: SignedHead, consistency: tuple[bytes, ...], heads: LogHeads, run: str
) -> None:
    try:
        verify_extension(kept, head, consistency)
    except LogForked:
        heads.keep_fork(kept, head, run)
        log.error(
            "run %s: THE COORDINATOR'S LOG DOES NOT AGREE with the one that this hospital knows; "
            "both notes are kept: collegium silo log shows them",
            run,
        )
        raise
