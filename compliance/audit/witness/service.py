"""The answer of a witness to ``add-checkpoint``, with its status: decided, kept, then signed."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from compliance.audit.witness.state import WitnessState
from compliance.storage.clock import utc_now
from protocol.errors import MessageRefused
from protocol.log.cosignature import Cosigner
from protocol.log.signed_note import key_id, split_note
from protocol.log.witness import (
    BAD_REQUEST,
    CONFLICT,
    HeadToCosign,
    WitnessRefusal,
    WitnessRequest,
    decide,
    origin_of,
    parse_witness_request,
)

log = logging.getLogger("collegium.witness")

#: The type of the body that answers 409: the size of the head cosigned last.
SIZE_TYPE = "text/x.tlog.size"
_TEXT = "text/plain; charset=utf-8"
#: How often a decision is made anew that another request has overtaken.
_OVERTAKEN = 5


@dataclass(frozen=True, kw_only=True)
class WitnessReply:
    """The status, type and body of an answer."""

    status: int
    body: bytes
    content_type: str = _TEXT


class WitnessService:
    """Answers requests; safe from several threads and processes over one state.

    Args:
        cosigners: the witness's keys; each signs.
        logs: of each log by its origin, the names and Ed25519 keys that sign it.
        state: the heads.
        clock: says what time it is.
    """

    def __init__(
        self,
        cosigners: Sequence[Cosigner],
        logs: Mapping[str, Sequence[tuple[str, bytes]]],
        state: WitnessState,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._cosigners, self._logs, self._state, self._clock = cosigners, logs, state, clock

    def add_checkpoint(self, body: bytes) -> WitnessReply:
        """Returns the answer to a request's body.

        Raises:
            StoreBroken: the head cannot be kept; nothing was signed.
        """
        try:
            request = parse_witness_request(body)
            return self._answer(request, origin_of(request.note))
        except MessageRefused as error:
            return WitnessReply(status=BAD_REQUEST, body=f"{error}\n".encode())

    def _answer(self, request: WitnessRequest, origin: str) -> WitnessReply:
        for _ in range(_OVERTAKEN):
            found = decide(request, self._logs, self._state.newest(origin))
            if isinstance(found, WitnessRefusal):
                return self._refused(found, request, origin)
            if self._state.advance(found):
                return self._signed(found)
        raise MessageRefused("too many requests about this log at once: try again")

    def _signed(self, head: HeadToCosign) -> WitnessReply:
        time = int(self._clock().timestamp())
        lines = [cosigner.cosign(head.text, time).text for cosigner in self._cosigners]
        return WitnessReply(status=200, body="".join(lines).encode())

    def _refused(self, found: WitnessRefusal, request: WitnessRequest, origin: str) -> WitnessReply:
        if found.contradicts is not None:
            self._state.contradict(origin, self._own_lines(request.note, origin), found.reason)
            if found.status == CONFLICT:
                log.error("%s: THE LOG CONTRADICTS ITSELF: %s", origin, found.reason)
            else:
                log.warning("%s: not shown to agree: %s; both are kept", origin, found.reason)
        if found.status == CONFLICT and found.size is not None:
            return WitnessReply(
                status=CONFLICT, body=f"{found.size}\n".encode(), content_type=SIZE_TYPE
            )
        return WitnessReply(status=found.status, body=f"{found.reason}\n".encode())

    def _own_lines(self, note: bytes, origin: str) -> bytes:
        """Returns a note with the log's own signatures alone: others' would make many of one."""
        text, lines = split_note(note)
        own = {(name, key_id(name, public)) for name, public in self._logs[origin]}
        kept = {line.text: None for line in lines if (line.name, line.key_id) in own}
        return f"{text}\n{''.join(kept)}".encode()
