"""Proofs of single entries of the log, each under the best cosigned head over it.

Whoever has such a proof and a policy that they trust needs neither the folder nor the coordinator:
any implementation of C2SP's tlog-proof verifies it.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.log.cosignatures import cosigned_notes
from coordinator.database.log.stored_tree import StoredTree
from coordinator.database.store import (
    LogEntryRow,
    RunRow,
    logged_entry,
    newest_head,
    place_in_entry,
)
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import Roster, parse_roster
from protocol.log.cosignature import Cosignature, log_key, site_cosigner
from protocol.log.merkle import leaf_hash, verify_inclusion
from protocol.log.signed_note import parse_checkpoint, split_note
from protocol.log.tlog_proof import TlogProof
from protocol.log.witness_policy import PolicyGroup, PolicyLog, PolicyWitness, WitnessPolicy

_GROUP = "hospitals"


@dataclass(frozen=True, kw_only=True)
class MadeProof:
    """A proof, the entry that it is about, and whose cosignatures its head carries."""

    proof: TlogProof
    entry: bytes
    cosigners: tuple[Cosignature, ...]
    meets_quorum: bool


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


def newest_roster(session: Session) -> Roster | None:
    """Returns the roster that the newest run was of; None where there is no run.

    Raises:
        MessageRefused: it was changed, and is none.
    """
    query = select(RunRow.roster_json).order_by(RunRow.started_at.desc()).limit(1)
    text = session.scalars(query).first()
    return None if text is None else parse_roster(text.encode())


def entry_of(session: Session, kind: str, payload: str, *, newest: bool = False) -> int | None:
    """Returns the number of an entry of the log under no run; None where there is none.

    Args:
        session: of the coordinator's database.
        kind: the entry's type.
        payload: the digest that it holds.
        newest: the newest of several; else the first.

    Raises:
        StoreBroken: the log cannot be read.
    """
    query = select(LogEntryRow).where(
        LogEntryRow.run_id.is_(None), place_in_entry(session, payload.encode()) > 0
    )
    order = LogEntryRow.idx.desc() if newest else LogEntryRow.idx
    for row in session.scalars(query.order_by(order)):
        content = logged_entry(row).content
        if (content.type, content.payload) == (kind, payload):
            return row.idx
    return None


def prove_entry(session: Session, public: bytes, index: int) -> MadeProof:
    """Returns the proof of one entry of the log, under the best cosigned head over it.

    That is the newest head that a quorum of the newest run's hospitals has cosigned; where none
    covers the entry, the newest that anybody has cosigned; at last the log's newest.

    Args:
        session: of the coordinator's database.
        public: the log's key.
        index: the entry's number.

    Raises:
        WorkspaceRefused: there is no such entry, no head covers it, or there is no run yet.
        StoreBroken: the log cannot be read, or its entries are not those of its head.
        MessageRefused: the roster of the newest run was changed.
    """
    row = session.get(LogEntryRow, index)
    if row is None:
        raise WorkspaceRefused(f"the log has no entry {index}")
    roster = newest_roster(session)
    if roster is None:
        raise WorkspaceRefused("there is no run yet, so nobody says who the hospitals are")
    size, note, found, met = _head_over(session, index, roster_policy(public, roster))
    path = StoredTree(session).inclusion(index, size)
    entry = logged_entry(row).data
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
