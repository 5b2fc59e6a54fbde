"""A coordinator's log in memory, in the hands of whoever holds its key: entries, heads, proofs."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from compliance.audit.log import LoggedEntry, LogHead, NewEntry, extend
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Cosigner
from protocol.log.entry import MASKED, RESULT
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import split_note, with_lines
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import LoggedResult, LogProof

TIME = "2026-01-05T08:00:00.000Z"
SECONDS = 1767600000


class CoordinatorLog:
    """A log to which anything can be added, and that can be forked; these cosign every head."""

    def __init__(
        self, key: SigningKey, run_id: str = "run-1", cosigners: Sequence[Cosigner] = ()
    ) -> None:
        self.key, self.run_id, self.cosigners = key, run_id, cosigners
        self.entries: list[LoggedEntry] = []
        self.heads: dict[int, LogHead] = {}
        self.tree = Tree()
        self.append("run-started")

    def append(self, kind: str, payload: str = "0" * 64, **named: Any) -> LogHead:
        """Adds one entry; returns the signed head after it."""
        new = NewEntry(type=kind, run_id=self.run_id, payload=payload, **named)
        before = self.heads[self.tree.size] if self.tree.size else None
        logged, head = extend(before, [new], TIME, self.key)
        self.entries += logged
        self.tree.append(logged[0].leaf_hash)
        self.heads[head.size] = head
        return head

    def fork(self) -> "CoordinatorLog":
        """Returns a copy that goes on by itself."""
        other = CoordinatorLog(self.key, self.run_id, self.cosigners)
        other.entries, other.heads = list(self.entries), dict(self.heads)
        other.tree = deepcopy(self.tree)
        return other

    @property
    def head(self) -> LogHead:
        """The newest head."""
        return self.heads[self.tree.size]

    def cosigned(self, size: int) -> bytes:
        """Returns the note of the head of a size, as all cosigners have signed it."""
        note = self.heads[size].note
        text, _ = split_note(note)
        return with_lines(note, [cosigner.cosign(text, SECONDS) for cosigner in self.cosigners])

    def log_sent(self, messages: Iterable[str | None]) -> None:
        """Adds an entry for each message that a hospital sent, by digest, unless it is there."""
        for message in messages:
            if message is not None and self._entry(MASKED, message) is None:
                self.append(MASKED, message)

    def _entry(self, kind: str, payload: str) -> LoggedEntry | None:
        named = (e for e in self.entries if (e.content.type, e.content.payload) == (kind, payload))
        return next(named, None)

    def proof(self, context: RoundContext, known: int = 0, own: str | None = None) -> LogProof:
        """Returns what an honest coordinator shows a hospital that holds a head of that size."""
        first, second = sorted((known, context.log_size))
        return LogProof(
            note=self.cosigned(context.log_size),
            known=known,
            consistency=self.tree.consistency(first, second) if first else (),
            result=self.result(context.round - 1, context.log_size),
            own=self._own(own, context.log_size),
        )

    def _own(self, message: str | None, size: int) -> LoggedResult | None:
        entry = None if message is None else self._entry(MASKED, message)
        if entry is None or entry.index >= size:
            return None
        path = self.tree.inclusion(entry.index, size)
        return LoggedResult(index=entry.index, entry=entry.data, path=path)

    def result(self, number: int, size: int) -> LoggedResult | None:
        """Returns the newest result of a round among the first entries, if there is one."""
        for entry in reversed(self.entries[:size]):
            if (entry.content.type, entry.content.round) == (RESULT, number):
                path = self.tree.inclusion(entry.index, size)
                return LoggedResult(index=entry.index, entry=entry.data, path=path)
        return None
