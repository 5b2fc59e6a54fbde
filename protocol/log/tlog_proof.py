"""A file that proves that an entry stands in a log, without the log (tlog-proof).

::

    c2sp.org/tlog-proof@v1
    extra eyJhdHRlbXB0Ijo...
    index 73894
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
    ...

    collegium/audit/v1/3b6a27bcceb6a42d62a3a8d02a6f0d73
    109482
    sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

    — collegium/audit/v1/3b6a27bcceb6a42d62a3a8d02a6f0d73 hI2DJw...
    — collegium/witness/v1/st-mary mJirIklj...

``extra`` carries here the entry itself: nothing vouches for it but the proof, which
holds only for exactly those bytes.

Source: C2SP tlog-proof (draft); RFC 6962, section 2.1.1.
"""

import base64
from dataclasses import dataclass

from protocol.encoding import canonical_base64
from protocol.errors import MessageRefused
from protocol.log.cosignature import Cosignature
from protocol.log.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from protocol.log.signed_note import Checkpoint, open_note, parse_checkpoint
from protocol.log.witness import parse_size
from protocol.log.witness_policy import WitnessPolicy

_FIRST = "c2sp.org/tlog-proof@v1"
#: A note, a path and what is beside them.
MAX_PROOF_BYTES = 1 << 20
_MAX_PATH = 63


@dataclass(frozen=True, kw_only=True)
class TlogProof:
    """The number of an entry, its path, a head that covers it, and what is beside them."""

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None

    @property
    def to_bytes(self) -> bytes:
        """The file; the inverse is ``parse_tlog_proof``."""
        lines = [_FIRST]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(one).decode() for one in self.path]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note


def parse_tlog_proof(data: bytes) -> TlogProof:
    """Returns the proof that a file holds; nothing is verified yet.

    Raises:
        MessageRefused: the form is wrong.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise MessageRefused(f"a proof of {len(data)} bytes is too long")
    head, separator, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MessageRefused("the lines before the checkpoint are not ASCII") from error
    if not separator or lines.pop(0) != _FIRST:
        raise MessageRefused(f"a proof's first line is {_FIRST}, its last part a checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = canonical_base64(lines.pop(0).removeprefix("extra "), "a line of the proof")
    if not lines or not lines[0].startswith("index "):
        raise MessageRefused("a proof names the index of its entry")
    index = parse_size(lines.pop(0).removeprefix("index "))
    path = tuple(canonical_base64(line, "a line of the proof") for line in lines)
    if len(path) > _MAX_PATH or any(len(one) != HASH_BYTES for one in path):
        raise MessageRefused(f"a path holds at most {_MAX_PATH} hashes of {HASH_BYTES} bytes")
    return TlogProof(index=index, path=path, note=note, extra=extra)


@dataclass(frozen=True, kw_only=True)
class ProvenEntry:
    """The outcome of a proof that holds: the head, the log's key name, and the cosignatures."""

    index: int
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]


def verify_tlog_proof(proof: TlogProof, entry: bytes, policy: WitnessPolicy) -> ProvenEntry:
    """Checks that an entry stands in a log of a policy, under a head that meets its quorum.

    Args:
        proof: the file.
        entry: the entry's bytes, whose hash is the leaf.
        policy: its logs, of which one must have signed the head, and its witnesses.

    Raises:
        MessageRefused: no log of the policy signed the head, the quorum is not met, or the entry
            is not under it.
    """
    checkpoint = _of_some_log(proof.note, policy)
    found = policy.require_met(proof.note)
    root = checkpoint.root
    verify_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.path, root)
    return ProvenEntry(index=proof.index, checkpoint=checkpoint, cosignatures=tuple(found))


def _of_some_log(note: bytes, policy: WitnessPolicy) -> Checkpoint:
    for log in policy.logs:
        if log.key.is_cosigner:
            continue
        try:
            text = open_note(note, log.key.name, log.key.public)
        except MessageRefused:
            continue
        checkpoint = parse_checkpoint(text, of_any_log=True)
        if checkpoint.origin == log.key.name:
            return checkpoint
    raise MessageRefused("the head is signed by no log that is trusted here")
