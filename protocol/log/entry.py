"""One entry of the coordinator's log, as both institutions read it.

An entry is one canonical JSON object; its leaf in the log's tree is the RFC
6962 hash of exactly those bytes::

    {"attempt":0,"payload":"<digest>","record":null,"round":3,"run":"<id>","seq":41,
     "time":"2026-01-05T08:00:00.000Z","type":"result","v":1}

It holds digests only: ``payload`` of what happened, ``record`` of the row of
the coordinator's database that was written with it.
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.codec import (
    DIGEST,
    Digest,
    from_json,
    integer,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused

#: An entry is a few hundred bytes.
MAX_ENTRY_BYTES = 1024
#: What a training round yields: ``payload`` is the digest of the model.
RESULT = "result"
#: What a hospital sent in a round: ``payload`` is the digest of its ``masked`` message.
MASKED = "masked"
#: An attempt of a round that failed: ``payload`` is the digest of the error's name.
FAILED = "round-failed"
#: The payload of an attempt that the coordinator did not end, as it was killed in it.
INTERRUPTED = digest(b"Interrupted")
_RUN = text(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_COUNT = integer(0, 2**53 - 1)


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One event of the log, with its time, run, round and attempt.

    Raises:
        ValueError: a field has another form.
    """

    v: Annotated[int, integer(1, 1)] = 1
    seq: Annotated[int, _COUNT]
    time: Annotated[str, text(r"[0-9T:.Z+-]{1,32}")]
    type: Annotated[str, text(r"[a-z][a-z-]{0,31}")]
    run: Annotated[str | None, optional(_RUN)]
    round: Annotated[int | None, optional(_COUNT)]
    attempt: Annotated[int | None, optional(_COUNT)]
    payload: Digest
    record: Annotated[str | None, optional(DIGEST)]

    def __post_init__(self) -> None:
        require_forms(self)

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes whose hash is the leaf; the inverse is ``parse_log_entry``."""
        return canonical(to_json(self))


def parse_log_entry(data: bytes) -> LogEntry:
    """Returns the entry held in canonical bytes.

    Raises:
        MessageRefused: it is too long or malformed.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise MessageRefused(f"an entry of {len(data)} bytes is too long")
    return from_json(LogEntry, parse_canonical(data))
