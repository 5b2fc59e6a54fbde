"""RFC 3161 timestamps: an authority's word on when a head of the log, with its cosignatures, was.

A cosignature says when by the cosigner's own clock. A timestamp of a qualified authority (eIDAS,
Regulation (EU) No 910/2014, Article 42) is evidence of the time in court. What is stamped are the
bytes of the note: whoever has note and answer needs neither the authority nor the consortium.

Source: RFC 3161, sections 2.4.1 and 2.4.2; the library is ``rfc3161-client``.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from collegium.extras import require_extra
from compliance.storage.atomic_file import read_named
from coordinator.database.log.cosignatures import cosigned_notes
from coordinator.database.store import Store, newest_head
from coordinator.database.workspace import Workspace
from protocol.errors import LinkLost, MessageRefused, WorkspaceRefused
from protocol.log.signed_note import parse_checkpoint, split_note

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SECONDS = 30.0
#: An answer with a chain of certificates is a few kilobytes.
_MAX_ANSWER = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Stamped:
    """A note, and the authority's answer about it (DER)."""

    note: bytes
    answer: bytes


@dataclass(frozen=True, kw_only=True)
class VerifiedTimestamp:
    """The time that an authority states (UTC), and the head that it stamped."""

    time: datetime
    size: int
    root: bytes


def stamp_newest(out: Path, authority: str) -> Stamped:
    """Returns the newest cosigned head of a folder's log, or its newest where none is, stamped.

    Args:
        out: the folder.
        authority: the address of an RFC 3161 service. It learns a digest and nothing else.

    Raises:
        WorkspaceRefused: the log has no head, or ``rfc3161-client`` is not installed.
        LinkLost: the authority does not answer, or with something else than a timestamp.
    """
    require_extra("reports")
    from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response

    note = _newest_note(out)
    asked = TimestampRequestBuilder().data(note).build()
    answer = _posted(authority, asked.as_bytes())
    try:
        status = decode_timestamp_response(answer).status
    except ValueError as error:
        raise LinkLost(f"--tsa {authority} answered with no timestamp") from error
    if status not in (0, 1):
        raise LinkLost(f"--tsa {authority} refused the request (status {status})")
    return Stamped(note=note, answer=answer)


def verify_timestamp(note: bytes, answer: bytes, trusted: Sequence[Path]) -> VerifiedTimestamp:
    """Returns when an authority says that a note was there.

    Args:
        note: the note, byte for byte.
        answer: the authority's answer.
        trusted: certificates of roots that are trusted, PEM; at least one.

    Raises:
        MessageRefused: it is no timestamp of this note by an authority under these roots.
        WorkspaceRefused: a certificate is none, or ``rfc3161-client`` is not installed.
    """
    require_extra("reports")
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    if not trusted:
        raise MessageRefused("give --trust, the certificate of a root that you trust")
    builder = VerifierBuilder()
    for path in trusted:
        builder = builder.add_root_certificate(_certificate(path))
    try:
        read = decode_timestamp_response(answer)
        builder.build().verify_message(read, note)
    except (ValueError, VerificationError) as error:
        raise MessageRefused(
            f"it is no timestamp of this note by an authority that you trust: {error}"
        ) from error
    head = parse_checkpoint(split_note(note)[0])
    moment = read.tst_info.gen_time.astimezone(UTC)
    return VerifiedTimestamp(time=moment, size=head.size, root=head.root)


def _newest_note(out: Path) -> bytes:
    workspace = Workspace.open(out)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        for _, note in cosigned_notes(session):
            return note
        head = newest_head(session)
    if head is None:
        raise WorkspaceRefused(f"the log of {out} has no signed head yet")
    return head.note


def _posted(authority: str, request: bytes) -> bytes:
    try:
        reply = httpx2.post(
            authority,
            content=request,
            headers={"Content-Type": "application/timestamp-query"},
            timeout=_SECONDS,
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise LinkLost(f"--tsa {authority} does not answer: {type(error).__name__}") from error
    if reply.status_code != 200 or len(reply.content) > _MAX_ANSWER:
        raise LinkLost(f"--tsa {authority} answered with status {reply.status_code}")
    return reply.content


def _certificate(path: Path) -> "Certificate":
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(read_named(path, "--trust", _MAX_ANSWER))
    except ValueError as error:
        raise WorkspaceRefused(f"--trust {path} is no certificate as PEM") from error
