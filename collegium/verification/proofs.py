"""Proofs that leave the folder: an entry of the log under a cosigned head, and its policy.

Whoever has such a file and a policy that they trust needs neither the folder nor the
coordinator (``verify_proof``): it is verified by any implementation of C2SP's tlog-proof.
"""

import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.storage.atomic_file import read_named
from coordinator.audit.cosignature_check import cosigned_at
from coordinator.database.log.entry_proofs import (
    MadeProof,
    newest_roster,
    prove_entry,
    roster_policy,
)
from coordinator.database.store import LogEntryRow, RunRow, Store, logged_entry
from coordinator.database.workspace import Workspace
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.log.cosignature import Cosignature, log_key
from protocol.log.entry import parse_log_entry
from protocol.log.tlog_proof import ProvenEntry, parse_tlog_proof, verify_tlog_proof
from protocol.log.witness_policy import PolicyLog, WitnessPolicy, parse_policy

#: A proof with its entry, or a policy with the keys of many witnesses.
_MAX_BYTES = 1 << 20
#: The types of entry that a run is proven by: the first of these that it has.
_ENDS = ("run-finished", "run-failed", "run-stopped", "run-started")


def folder_policy(out: Path) -> WitnessPolicy:
    """Returns the policy of the roster that a folder's newest run was of.

    Raises:
        WorkspaceRefused: the folder holds no run.
    """
    workspace = Workspace.open(out)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        roster = newest_roster(session)
    if roster is None:
        raise WorkspaceRefused(f"{out} holds no run, so nobody says who its hospitals are")
    return roster_policy(workspace.public_key(), roster)


def make_proof(out: Path, what: str, kind: str | None = None) -> MadeProof:
    """Returns the proof of one entry of a folder's log; see ``prove_entry``.

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
        return prove_entry(session, public, _index_of(session, what, kind))


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
    for wanted in _ENDS if kind is None else (kind,):
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
    proof = parse_tlog_proof(read_named(path, "FILE", _MAX_BYTES))
    data = proof.extra if entry is None else read_named(entry, "--entry", _MAX_BYTES)
    if data is None:
        raise MessageRefused("the proof does not carry its entry: give --entry")
    if policy is not None:
        rule = parse_policy(read_named(policy, "--policy", _MAX_BYTES))
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
    return [{"name": one.key.name, "time": cosigned_at(one.time)} for one in found]
