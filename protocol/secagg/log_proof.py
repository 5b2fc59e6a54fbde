"""The proofs from the coordinator's log that open a round for a hospital, and their verifier.

A round's context names a head of the log: how many entries, under which root.
The opening carries, for each hospital,

* the *note*: that head, signed by the log's key;
* the *consistency proof* between that head and one that the hospital has kept
  (of size ``known``; 0 and no proof for a hospital that has kept none);
* from the second round on, the *result*: the entry that names the model of the
  round before, and the proof that it stands in the log. After an evaluation
  that may have taken rounds back (``protocol.study.rounds.course``) it is the
  entry that names the course of the run, and the *course* comes with it;
* where the hospital asks for it, the *own* event: the entry that names the ``masked``
  message which it sent last in this run, or one that says that the coordinator was
  interrupted since.

The hospitals are thereby witnesses: a log that was rewritten, or that shows two
hospitals two histories, cannot be proven to them, and two notes signed by one
key remain. The note carries the cosignatures of as many hospitals as a round needs
(``protocol.log.cosignature``), and those of witnesses outside the consortium.

Source: RFC 6962, sections 2.1.1 and 2.1.2; C2SP tlog-checkpoint.
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.codec import base64_bytes, hex_bytes, integer, list_of, nested, optional
from protocol.errors import EventMissing, LogForked, MessageRefused, PolicyRefused
from protocol.log.entry import (
    FAILED,
    INTERRUPTED,
    MASKED,
    MAX_ENTRY_BYTES,
    RESULT,
    LogEntry,
    parse_log_entry,
)
from protocol.log.merkle import HASH_BYTES, leaf_hash, verify_consistency, verify_inclusion
from protocol.log.signed_note import log_origin, open_note, parse_checkpoint
from protocol.secagg.context import RoundContext
from protocol.study.rounds.course import (
    COURSE,
    MAX_COURSE_BYTES,
    Course,
    goes_on_from,
    parse_course,
    require_whole,
)
from protocol.study.study import Study

#: A note that 256 hospitals and some witnesses have cosigned.
MAX_NOTE_BYTES = 1 << 17
#: A path in a tree of 2**63 leaves, and what a consistency proof adds.
_MAX_PATH = 64
_SIZE = integer(0, 2**53 - 1)
_PATH = list_of(hex_bytes(HASH_BYTES), _MAX_PATH)


@dataclass(frozen=True, kw_only=True)
class LoggedResult:
    """The entry that names the model to begin with, or the course, and its place in the log."""

    index: Annotated[int, _SIZE]
    entry: Annotated[bytes, base64_bytes(MAX_ENTRY_BYTES)]
    path: Annotated[tuple[bytes, ...], _PATH]


@dataclass(frozen=True, kw_only=True)
class LogProof:
    """The proofs for one hospital; ``known`` is the size of the head that they start from.

    ``course`` is the run's, in canonical bytes; None where the round does not follow from it.
    ``own`` is about what the hospital itself sent before; None where it asks for nothing.
    """

    note: Annotated[bytes, base64_bytes(MAX_NOTE_BYTES)]
    known: Annotated[int, _SIZE]
    consistency: Annotated[tuple[bytes, ...], _PATH]
    result: Annotated[LoggedResult | None, optional(nested(LoggedResult))]
    course: Annotated[bytes | None, optional(base64_bytes(MAX_COURSE_BYTES))] = None
    own: Annotated[LoggedResult | None, optional(nested(LoggedResult))] = None


@dataclass(frozen=True, kw_only=True)
class SignedHead:
    """A head of the log: number of entries, root, and the note that says so."""

    size: int
    root: bytes
    note: bytes


def open_head(note: bytes, public: bytes) -> SignedHead:
    """Returns the head that a log's key has signed.

    Raises:
        MessageRefused: the note is not a checkpoint of this key's log.
    """
    origin = log_origin(public)
    checkpoint = parse_checkpoint(open_note(note, origin, public))
    if checkpoint.origin != origin:
        raise MessageRefused("the checkpoint is another log's")
    return SignedHead(size=checkpoint.size, root=checkpoint.root, note=note)


def verify_head(proof: LogProof, context: RoundContext, public: bytes) -> SignedHead:
    """Returns the signed head that a context names.

    Raises:
        MessageRefused: the note is not the log's, or names another head than the context.
    """
    head = open_head(proof.note, public)
    if (head.size, head.root.hex()) != (context.log_size, context.log_root):
        raise MessageRefused("the signed head of the log is not the one that the context names")
    return head


def verify_extension(kept: SignedHead, head: SignedHead, consistency: tuple[bytes, ...]) -> None:
    """Checks that two heads are of one log: the larger one extends the smaller one.

    Raises:
        LogForked: it is not shown; of one size, the two notes prove that it is not so.
    """
    smaller, larger = sorted((kept, head), key=lambda each: each.size)
    try:
        verify_consistency(smaller.size, larger.size, consistency, smaller.root, larger.root)
    except MessageRefused as error:
        raise LogForked(
            f"the log of {head.size} entries was not shown to agree with the {kept.size} entries "
            f"that this hospital knows: {error}"
        ) from error


def result_before(study: Study, round_kind: str, number: int) -> tuple[str, int] | None:
    """Returns type and round of the entry that says what a round begins with.

    That is the result of the training round before it; after an evaluation that may have taken
    rounds back, the course of the run. None of a run's first round, which begins with the study's
    own parameters.
    """
    before = study.evaluations.rounds_before(round_kind, number)
    if not before:
        return None
    evaluated = study.evaluations.number_after(before)
    if study.evaluation.roll_back is None or round_kind != "training" or evaluated is None:
        return RESULT, before - 1
    return COURSE, evaluated


def verify_result(proof: LogProof, context: RoundContext, study: Study) -> Course | None:
    """Checks that a round begins with the model that the log names for it; returns the course.

    That is the last result of its run, or where an evaluation may have taken rounds back, the
    model from which the course goes on. Nothing is asked of a run's first round.

    Raises:
        PolicyRefused: no such entry is shown, or it names another model, round or run.
        MessageRefused: the entry or the course is malformed, or does not stand in the log.
    """
    expected = result_before(study, context.round_kind, context.round)
    if expected is None:
        return None
    if proof.result is None:
        raise PolicyRefused("the round does not show the result of the one before")
    entry = parse_log_entry(proof.result.entry)
    if (entry.type, entry.run, entry.round) != (expected[0], context.run_id, expected[1]):
        raise PolicyRefused("the round shows another entry than the result of the one before")
    leaf, root = leaf_hash(proof.result.entry), bytes.fromhex(context.log_root)
    course, begins = None, entry.payload
    if entry.type == COURSE:
        course = _logged_course(proof, entry, study, context)
        begins = goes_on_from(study, course).model
    if begins != context.model_hash:
        raise PolicyRefused(
            "the round does not begin with the model that the log names as result"
            if course is None
            else "the round does not begin with the model from which the run's course goes on"
        )
    verify_inclusion(leaf, proof.result.index, context.log_size, proof.result.path, root)
    return course


@dataclass(frozen=True, kw_only=True)
class SentEvent:
    """A ``masked`` message that a hospital sent, by its digest, and the round that it was for.

    The coordinator has taken it: the hospital was told of its own among the survivors.
    """

    context: RoundContext
    message: str


def verify_own_event(proof: LogProof, context: RoundContext, sent: SentEvent) -> LoggedResult:
    """Checks that what a hospital sent stands in the log; returns the entry that says so.

    In its place may stand the entry of an attempt that was interrupted after the event's round
    had been opened: a coordinator that was killed has kept nothing of that round.

    Raises:
        EventMissing: neither is shown.
    """
    where = f"round {sent.context.round} ({sent.context.round_kind}) of run {sent.context.run_id}"
    if proof.own is None:
        raise EventMissing(f"the log is not shown to hold what this hospital sent in {where}")
    try:
        entry = parse_log_entry(proof.own.entry)
        root = bytes.fromhex(context.log_root)
        leaf = leaf_hash(proof.own.entry)
        verify_inclusion(leaf, proof.own.index, context.log_size, proof.own.path, root)
    except MessageRefused as error:
        raise EventMissing(f"what this hospital sent in {where} is not proven: {error}") from error
    interrupted = (entry.type, entry.payload, entry.run) == (FAILED, INTERRUPTED, context.run_id)
    if interrupted and entry.seq >= sent.context.log_size:
        return proof.own
    if entry.type != MASKED or entry.payload != sent.message:
        raise EventMissing(
            f"the log shows another entry in place of what this hospital sent in {where}"
        )
    return proof.own


def _logged_course(proof: LogProof, entry: LogEntry, study: Study, context: RoundContext) -> Course:
    """Returns the course that is shown, which an entry of the log names."""
    if proof.course is None:
        raise PolicyRefused("the round does not show the course of its run")
    course = parse_course(proof.course)
    if course.digest != entry.payload:
        raise PolicyRefused("the course that is shown is not the one that the log names")
    require_whole(study, course, context.round)
    return course
