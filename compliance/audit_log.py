"""The consortium's audit log: canonical entries, an RFC 6962 tree, signed heads.

Rules:

1. An entry is one canonical JSON object; its leaf is the RFC 6962 hash of
   exactly those bytes. Numbers start at 0 and have no gap.
2. An entry holds digests, never a patient's data and never a site's metric.
3. Every append ends in a C2SP checkpoint signed with the log's key; a later
   head extends every earlier one.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from protocol.errors import MessageRefused, StoreBroken
from protocol.identity import SigningKey
from protocol.log_entry import LogEntry, parse_log_entry
from protocol.merkle import Frontier, leaf_hash
from protocol.note import checkpoint_text, log_origin, open_note, parse_checkpoint, sign_note


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
class Head:
    """A signed head: how many entries, under which root, and what the next append needs."""

    size: int
    root: bytes
    note: bytes
    frontier: tuple[bytes, ...]


def extend(
    head: Head | None, entries: Sequence[NewEntry], time: str, signer: SigningKey
) -> tuple[list[LoggedEntry], Head]:
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
    return logged, Head(size=frontier.size, root=root, note=note, frontier=frontier.hashes)


def verify_log(entries: Sequence[LoggedEntry], heads: Sequence[Head], public: bytes) -> bytes:
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
    if not heads:
        raise StoreBroken("the audit log has no signed head: nothing can be verified")
    by_size = {head.size: head for head in heads}
    frontier = Frontier.empty()
    for place, entry in enumerate(entries):
        if entry.index != place or entry.content.seq != place:
            raise StoreBroken(f"audit entry {place} is missing or out of place")
        if leaf_hash(entry.data) != entry.leaf_hash:
            raise StoreBroken(f"audit entry {place} was changed: its hash does not match")
        frontier = frontier.append(entry.leaf_hash)
        if frontier.size in by_size:
            _verify_head(by_size.pop(frontier.size), frontier, public)
    if by_size:
        raise StoreBroken(
            f"the audit log was truncated: a signed head covers {max(by_size)} entries, "
            f"{len(entries)} are there"
        )
    if heads[-1].size != len(entries):
        raise StoreBroken("the newest audit entries are not covered by a signed head")
    return frontier.root


def _verify_head(head: Head, computed: Frontier, public: bytes) -> None:
    if head.root != computed.root:
        raise StoreBroken(
            f"the audit log was rewritten: {head.size} entries hash to "
            f"{base64.b64encode(computed.root).decode()}, the signed head says "
            f"{base64.b64encode(head.root).decode()}"
        )
    if head.frontier != computed.hashes:
        raise StoreBroken(f"what follows the head of size {head.size} would be appended wrongly")
    try:
        checkpoint = parse_checkpoint(open_note(head.note, log_origin(public), public))
    except MessageRefused as error:
        raise StoreBroken(
            f"the head of size {head.size} is not signed by the log: {error}"
        ) from error
    said = (checkpoint.origin, checkpoint.size, checkpoint.root)
    if said != (log_origin(public), head.size, computed.root):
        raise StoreBroken(f"the signed checkpoint of size {head.size} names another root")
