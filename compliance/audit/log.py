"""The consortium's audit log: canonical entries, an RFC 6962 tree, signed heads.

Rules:

1. An entry is one canonical JSON object; its leaf is the RFC 6962 hash of
   exactly those bytes. Numbers start at 0 and have no gap.
2. An entry holds digests, never a patient's data and never a site's metric.
3. Every append ends in a C2SP checkpoint signed with the log's key; a later
   head extends every earlier one. The entries of one append have one time, and
   those of the next another, so that a head that was removed is missed.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.log.entry import LogEntry, parse_log_entry
from protocol.log.merkle import Frontier, leaf_hash
from protocol.log.signed_note import checkpoint_text, log_origin, sign_note, split_note
from protocol.secagg.log_proof import open_head


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """Something worth remembering: what happened, in which run, and the digest of its details.

    ``record`` is the digest of the database's row that was written with it, if one was.
    """

    type: str
    run_id: str | None
    payload: str
    round: int | None = None
    attempt: int | None = None
    record: str | None = None


@dataclass(frozen=True, kw_only=True)
class LoggedEntry:
    """One line of the log as stored."""

    index: int
    leaf_hash: bytes
    data: bytes

    @cached_property
    def content(self) -> LogEntry:
        """The entry's fields.

        Raises:
            StoreBroken: the bytes are not a canonical entry.
        """
        try:
            return parse_log_entry(self.data)
        except MessageRefused as error:
            raise StoreBroken(f"audit entry {self.index} is damaged: {error}") from error


@dataclass(frozen=True, kw_only=True)
class LogHead:
    """A signed head: how many entries, under which root, and what the next append needs."""

    size: int
    root: bytes
    note: bytes
    frontier: tuple[bytes, ...]


def extend(
    head: LogHead | None, entries: Sequence[NewEntry], time: str, signer: SigningKey
) -> tuple[list[LoggedEntry], LogHead]:
    """Returns the logged form of new entries and the signed head after them.

    Cost: O(log n) hashes for each entry, whatever the log's size.
    """
    frontier = Frontier(size=head.size, hashes=head.frontier) if head else Frontier.empty()
    logged = []
    for new in entries:
        index = frontier.size
        data = LogEntry(
            seq=index,
            time=time,
            type=new.type,
            run=new.run_id,
            round=new.round,
            attempt=new.attempt,
            payload=new.payload,
            record=new.record,
        ).canonical_bytes
        entry = LoggedEntry(index=index, leaf_hash=leaf_hash(data), data=data)
        frontier = frontier.append(entry.leaf_hash)
        logged.append(entry)
    root = frontier.root
    origin = log_origin(signer.public)
    note = sign_note(checkpoint_text(origin, frontier.size, root), origin, signer)
    return logged, LogHead(size=frontier.size, root=root, note=note, frontier=frontier.hashes)


def verify_log(entries: Sequence[LoggedEntry], heads: Sequence[LogHead], public: bytes) -> bytes:
    """Checks a whole log against its signed heads; returns the newest root.

    Args:
        entries: every entry, in order.
        heads: every stored head, in order of size.
        public: the log's public key.

    Raises:
        StoreBroken: an entry was changed, removed, inserted or moved, a head
            does not match the entries, a signature is wrong, or there is no
            head at all (nothing to check is not success).
    """
    for fault in log_faults(entries, heads, public):
        raise StoreBroken(fault)
    return heads[-1].root


def log_faults(
    entries: Sequence[LoggedEntry], heads: Sequence[LogHead], public: bytes
) -> Iterator[str]:
    """Yields everything that is wrong with a log; see ``verify_log``.

    What follows from a fault is not told again: after the first entry that is
    missing, and the first head that does not fit, the others are only counted.
    """
    if not heads:
        yield "the audit log has no signed head: nothing can be verified"
        return
    if [head.size for head in heads] != sorted({head.size for head in heads}):
        yield "the signed heads of the audit log are out of order"
        return
    frontiers = {head.size: head for head in heads}
    sizes = frozenset(frontiers)
    frontier, gap, wrong, time = Frontier.empty(), False, 0, ""
    for place, entry in enumerate(entries):
        try:
            is_in_place = entry.index == place and entry.content.seq == place
            if place and entry.content.time != time and place not in sizes:
                yield f"the signed head of {place} entries is missing"
            time = entry.content.time
        except StoreBroken as error:
            yield str(error)
            is_in_place = entry.index == place
        if not is_in_place and not gap:
            yield f"audit entry {place} is missing or out of place"
            gap = True
        computed = leaf_hash(entry.data)
        if computed != entry.leaf_hash:
            yield f"audit entry {place} was changed: its hash does not match"
        frontier = frontier.append(computed)
        head = frontiers.pop(frontier.size, None)
        fault = None if head is None else _head_fault(head, frontier, public)
        if fault is not None:
            wrong += 1
            if wrong == 1:
                yield fault
    if wrong > 1:
        yield f"{wrong - 1} later signed heads do not fit either"
    if frontiers:
        yield (
            f"the audit log was truncated: a signed head covers {max(frontiers)} entries, "
            f"{len(entries)} are there"
        )
    elif heads[-1].size != len(entries):
        yield "the newest audit entries are not covered by a signed head"


def _head_fault(head: LogHead, computed: Frontier, public: bytes) -> str | None:
    if head.root != computed.root:
        return (
            f"the audit log was rewritten: {head.size} entries hash to "
            f"{base64.b64encode(computed.root).decode()}, the signed head says "
            f"{base64.b64encode(head.root).decode()}"
        )
    if head.frontier != computed.hashes:
        return f"what follows the head of size {head.size} would be appended wrongly"
    try:
        signed = open_head(head.note, public)
        lines = split_note(head.note)[1]
    except MessageRefused as error:
        return f"the head of size {head.size} is not signed by the log: {error}"
    if len(lines) != 1:  # cosignatures stand apart, each in an entry of the log
        return f"the head of size {head.size} holds signatures that are not the log's"
    if (signed.size, signed.root) != (head.size, computed.root):
        return f"the signed checkpoint of size {head.size} names another root"
    return None
