"""Checks of an exported folder: signature, snapshot, quorum, proofs in the log, parameters.

Rules:

1. Nothing but the folder is read, and no form of the model is opened: the parameters are compared
   by their digest, the other files by the signature.
2. One key is enough to trust, the log's: it signed the snapshot, and the log under it holds the
   snapshot and the key that signed the folder. Without it the folder is only shown to agree with
   itself: whoever makes a whole folder can make another.
3. Each check has a sentence of its own, and the first that fails is told.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from collegium.models.exports.folder import PROOF, ROSTER, SNAPSHOT, STUDY, WEIGHTS
from collegium.models.exports.signed_files import digests_in, proven_entry, read_file
from compliance.governance.models.release_signature import (
    PUBLIC_KEY,
    SIGNATURE,
    key_digest,
    open_release,
)
from coordinator.governance.models.release_key import KEY_PROOF, RELEASE_KEY
from coordinator.governance.models.snapshots import SNAPSHOT_SIGNED
from protocol.encoding import digest
from protocol.errors import MessageRefused, QuorumLost, StudyRefused
from protocol.identity.roster import parse_roster
from protocol.study.study_file import read_study
from protocol.transport.snapshot import SignedSnapshot, Snapshot, parse_snapshot
from protocol.vectors.tensors import MAX_BYTES, decode_tensors, layout_of, model_digest


def verify_export(folder: Path, public: bytes | None = None) -> dict[str, Any]:
    """Checks an exported folder; returns what ``--json`` shows.

    Args:
        folder: the folder.
        public: the log's key (32 bytes) that is trusted; the one that the snapshot names when None.

    Raises:
        WorkspaceRefused: there is no such folder.
        MessageRefused, QuorumLost: a check fails; says which.
    """
    files = _check_files(folder)
    signed = parse_snapshot(read_file(folder, SNAPSHOT))
    snapshot = signed.snapshot
    trusted = bytes.fromhex(snapshot.coordinator) if public is None else public
    _check_signatures(folder, signed, trusted)
    if digest(read_file(folder, STUDY)) != snapshot.study:
        raise MessageRefused(f"{STUDY} is not the study that the snapshot names")
    _check_quorum(folder, snapshot)
    place = _proven(folder, PROOF, trusted, SNAPSHOT_SIGNED, snapshot.digest)
    key = key_digest(read_file(folder, PUBLIC_KEY))
    _proven(folder, KEY_PROOF, trusted, RELEASE_KEY, key)
    _check_weights(folder, signed)
    return {
        "verified": True,
        "trusted_key": trusted.hex(),
        "key_was_given": public is not None,
        "snapshot": snapshot.digest,
        "model": snapshot.model,
        "run": snapshot.run,
        "study": snapshot.study,
        "signed_by": sorted(signed.signatures),
        "quorum": snapshot.quorum,
        "log_entry": place,
        "release_key": key,
        "files": len(files) + 1,
        "privacy": [asdict(one) for one in snapshot.privacy],
        "licence": snapshot.licence,
        "permitted_use": snapshot.permitted_use,
    }


def _check_files(folder: Path) -> dict[str, str]:
    """Checks that the folder holds what was signed, and nothing else; returns its digests."""
    found = digests_in(folder, without=SIGNATURE)
    wanted = open_release(read_file(folder, SIGNATURE), read_file(folder, PUBLIC_KEY))
    for name in sorted({*wanted} - {*found}):
        raise MessageRefused(f"{name} is missing: {SIGNATURE} was signed with it")
    for name in sorted({*found} - {*wanted}):
        raise MessageRefused(f"{name} was added: {SIGNATURE} does not name it")
    for name in sorted(wanted):
        if wanted[name] != found[name]:
            raise MessageRefused(f"{name} was changed after it was signed")
    return found


def _check_signatures(folder: Path, signed: SignedSnapshot, trusted: bytes) -> None:
    """Checks coordinator, roster, signatures and quorum of the snapshot."""
    roster = parse_roster(read_file(folder, ROSTER))
    try:
        signed.require_signed(trusted, roster)
    except (MessageRefused, QuorumLost) as error:
        raise type(error)(f"{SNAPSHOT}: {error}") from error


def _check_quorum(folder: Path, snapshot: Snapshot) -> None:
    """Checks that as many hospitals had to sign as the study says."""
    try:
        study = read_study(read_file(folder, STUDY).decode("utf-8"), STUDY)
    except (StudyRefused, UnicodeDecodeError) as error:
        raise MessageRefused(f"{STUDY} holds no study: {error}") from error
    snapshot.require_quorum(study.threshold, study.site_names)


def _proven(folder: Path, name: str, trusted: bytes, kind: str, payload: str) -> int:
    """Checks the proof of an entry of the log; returns its number.

    Args:
        folder: the exported folder.
        name: the proof's file.
        trusted: the log's key.
        kind: the type that the entry must have.
        payload: the digest that it must hold.
    """
    number, entry = proven_entry(folder, name, trusted)
    if (entry.type, entry.payload) != (kind, payload):
        raise MessageRefused(f"{name} is the proof of another entry than {kind} of {payload[:16]}")
    return number


def _check_weights(folder: Path, signed: SignedSnapshot) -> None:
    """Checks that the parameters are those whose digest was signed."""
    model = decode_tensors(read_file(folder, WEIGHTS, MAX_BYTES))
    if model_digest(model) != signed.snapshot.model:
        raise MessageRefused(f"{WEIGHTS} holds other parameters than the snapshot names")
    if layout_of(model).digest != signed.snapshot.layout:
        raise MessageRefused(f"{WEIGHTS} has another layout than the snapshot names")
