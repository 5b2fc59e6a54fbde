"""Proofs that leave the folder: an entry of the log under a cosigned head, and its policy.

Whoever has such a file and a policy that they trust needs neither the folder nor the
coordinator (``verify_proof``): it is verified by any implementation of C2SP's tlog-proof.
"""

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.log.cosignatures import cosigned_notes
from coordinator.database.log.stored_tree import StoredTree
from coordinator.database.store import LogEntryRow, RunRow, Store, logged_entry, newest_head
from coordinator.database.workspace import Workspace
from coordinator.membership.transactions import newest_roster
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import Roster, parse_roster
from protocol.identity.timestamps import write_time
from protocol.log.cosignature import Cosignature, KeyType, VerifierKey, site_cosigner
from protocol.log.entry import parse_log_entry
from protocol.log.merkle import leaf_hash, verify_inclusion
from protocol.log.signed_note import log_origin, parse_checkpoint, split_note
from protocol.log.tlog_proof import (
    ProvenEntry,
    TlogProof,
    parse_tlog_proof,
    verify_tlog_proof,
)
from protocol.log.witness_policy import (
    PolicyGroup,
    PolicyLog,
    PolicyWitness,
    WitnessPolicy,
    parse_policy,
)

_GROUP = "hospitals"
#: The entry that a run is proven by: the newest of these that it has.
_TELLING = ("run-finished", "run-failed", "run-stopped", "run-started")


def log_key(public: bytes) -> VerifierKey:
    """Returns the key of the log that a coordinator's key signs, under the log's name."""
    return VerifierKey(name=log_origin(public), type=KeyType.ED25519, public=public)


def roster_policy(public: bytes, roster: Roster) -> WitnessPolicy:
    """Returns the policy that asks for the quorum of a roster: floor(2n/3) + 1 of its hospitals."""
    witnesses = tuple(
        PolicyWitness(
            name=member.site, key=site_cosigner(member.site, bytes.fromhex(member.public_key))
        )
        for member in roster.members
    )
    names = tuple(one.name for one in witnesses)
    return WitnessPolicy(
        logs=(PolicyLog(key=log_key(public)),),
        witnesses=witnesses,
        groups=(PolicyGroup(name=_GROUP, least=roster.quorum, members=names),),
        quorum=_GROUP,
    )


def folder_policy(out: Path) -> WitnessPolicy:
    """Returns the policy of the roster that a folder's newest run was of.

    Before the first run it is that of the newest roster that was signed: so
    witnesses may watch the first run, too.

    Raises:
        WorkspaceRefused: the folder holds neither a run nor a signed roster.
    """
    workspace = Workspace.open(out)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        return roster_policy(workspace.public_key(), _newest_roster(session, out))


def _newest_roster(session: Session, out: Path) -> Roster:
    query = select(RunRow.roster_json).order_by(RunRow.started_at.desc()).limit(1)
    text = session.scalars(query).first()
    if text is not None:
        return parse_roster(text.encode())
    signed = newest_roster(session)
    if signed is None:
        raise WorkspaceRefused(
            f"{out} holds neither a run nor a signed roster, so nobody says who its hospitals are: "
            f"collegium coordinator roster propose --home {out}, and its hospitals sign it"
        )
    return signed.roster


@dataclass(frozen=True, kw_only=True)
class MadeProof:
    """A proof, the entry that it is about, and whose cosignatures its head carries."""

    proof: TlogProof
    entry: bytes
    cosigners: tuple[Cosignature, ...]
    meets_quorum: bool


def make_proof(out: Path, what: str, kind: str | None = None) -> MadeProof:
    """Returns the proof of one entry of a folder's log, under the best cosigned head over it.

    That is the newest head that a quorum of the newest run's hospitals has cosigned; where none
    covers the entry, the newest that anybody has cosigned; at last the log's newest.

    Args:
        out: the folder.
        what: an entry's number, or the beginning of a run's id: then the entry of its end.
        kind: of a run, the type of the entry instead: its newest.

    Raises:
        WorkspaceRefused: there is no such entry.
        StoreBroken: the log cannot be read.
    """
    workspace = Workspace.open(out)
    public = workspace.public_key()
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        index = _index_of(session, what, kind)
        policy = roster_policy(public, _newest_roster(session, out))
        size, note, found, met = _head_over(session, index, policy)
        path = StoredTree(session).inclusion(index, size)
        entry = logged_entry(session.get_one(LogEntryRow, index)).data
    _require_proven(entry, index, size, path, note)
    proof = TlogProof(index=index, path=path, note=note, extra=entry)
    return MadeProof(proof=proof, entry=entry, cosigners=tuple(found), meets_quorum=met)


def _require_proven(
    entry: bytes, index: int, size: int, path: tuple[bytes, ...], note: bytes
) -> None:
    """Checks a proof that was read from the database against the signed head."""
    try:
        root = parse_checkpoint(split_note(note)[0]).root
        verify_inclusion(leaf_hash(entry), index, size, path, root)
    except MessageRefused as error:
        raise StoreBroken(
            f"the log's entries are not those of its head of {size} entries: collegium audit verify"
        ) from error


def _head_over(
    session: Session, index: int, policy: WitnessPolicy
) -> tuple[int, bytes, list[Cosignature], bool]:
    other: tuple[int, bytes, list[Cosignature], bool] | None = None
    for size, note in cosigned_notes(session):
        if size <= index:
            break
        found = policy.cosigned(note)
        if policy.is_met([one.key for one in found]):
            return size, note, found, True
        other = other or (size, note, found, False)
    head = newest_head(session)
    if other is None and head is not None and head.size > index:
        other = head.size, head.note, [], False
    if other is None:
        raise WorkspaceRefused(f"no signed head of the log covers entry {index}")
    return other


def _index_of(session: Session, what: str, kind: str | None) -> int:
    is_number = what.isascii() and what.isdigit() and len(what) < 16 and kind is None
    if is_number and session.get(LogEntryRow, int(what)) is not None:
        return int(what)
    query = select(RunRow.id).where(RunRow.id.startswith(what, autoescape=True))
    runs = session.scalars(query).all()
    if len(runs) != 1:
        said = "several runs begin so" if runs else "there is no such entry or run"
        raise WorkspaceRefused(f"{what}: {said}")
    entries = session.scalars(select(LogEntryRow).filter_by(run_id=runs[0])).all()
    by_type: dict[str, int] = {}
    for row in entries:
        read = logged_entry(row).content.type
        by_type[read] = max(row.idx, by_type.get(read, 0))
    for wanted in _TELLING if kind is None else (kind,):
        if wanted in by_type:
            return by_type[wanted]
    has = ", ".join(sorted(by_type))
    raise WorkspaceRefused(f"run {runs[0]} has no entry {kind}; it has {has}")


def verify_proof(
    path: Path,
    *,
    policy: Path | None = None,
    public: bytes | None = None,
    entry: Path | None = None,
) -> dict[str, Any]:
    """Checks a proof file offline; returns what ``--json`` shows.

    Args:
        path: the proof.
        policy: the policy that its head must meet.
        public: the log's key, where no policy is given: then no cosignature is asked for.
        entry: the entry's bytes, where the proof does not carry them.

    Raises:
        WorkspaceRefused: a file cannot be read.
        MessageRefused: the proof does not hold; says why.
    """
    proof = parse_tlog_proof(_read(path))
    data = proof.extra if entry is None else _read(entry)
    if data is None:
        raise MessageRefused("the proof does not carry its entry: give --entry")
    if policy is not None:
        rule = parse_policy(_read(policy))
        if public is not None and log_key(public) not in [log.key for log in rule.logs]:
            raise MessageRefused("the policy names another log than the key that was given")
    elif public is not None:
        rule = WitnessPolicy(logs=(PolicyLog(key=log_key(public)),))
    else:
        raise MessageRefused("give --policy, or at least --key, from somewhere you trust")
    found = verify_tlog_proof(proof, data, rule)
    return _told(found, data, rule)


def _told(found: ProvenEntry, data: bytes, rule: WitnessPolicy) -> dict[str, Any]:
    try:
        entry: Any = json.loads(parse_log_entry(data).canonical_bytes)
    except MessageRefused:
        entry = None  # another log's: its bytes are proven all the same
    return {
        "verified": True,
        "index": found.index,
        "size": found.checkpoint.size,
        "root": found.checkpoint.root.hex(),
        "log": found.checkpoint.origin,
        "quorum": rule.quorum,
        "cosigned_by": cosigned_json(found.cosignatures),
        "entry": entry,
    }


def cosigned_json(found: Iterable[Cosignature]) -> list[dict[str, Any]]:
    """Returns who has cosigned, as ``--json`` shows it."""
    return [{"name": one.key.name, "time": told_seconds(one.time)} for one in found]


def told_seconds(seconds: int) -> str:
    """Returns a cosignature's time as people are told it; far beyond any calendar, the number."""
    try:
        return write_time(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read((1 << 20) + 1)
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be read: {error.strerror}") from error
