"""Checks of a crate by the folder alone: files, signatures, proofs in the log.

Rules:

1. Nothing but the folder is read. One key is enough to trust, the log's; without it a crate is only
   shown to agree with itself.
2. Names in the description are compared with the files that lie there; none is opened by its name
   alone.
3. Figures, reports and the description are files whose digests agree; what hospitals signed and
   what the log holds is proven: study, manifest, model, the end of the run.
"""

import json
from pathlib import Path
from typing import Any

from collegium.models.exports.signed_files import digests_in, proven_entry, read_file
from collegium.models.publication.crate import files
from collegium.models.publication.crate.entity import METADATA
from collegium.models.publication.crate.evidence import ENDS, MANIFEST
from coordinator.governance.models.snapshots import SNAPSHOT_SIGNED
from protocol.encoding import digest
from protocol.errors import MessageRefused, QuorumLost
from protocol.identity.roster import parse_roster
from protocol.transport.snapshot import Snapshot, parse_snapshot


def verify_crate(folder: Path, public: bytes | None = None) -> dict[str, Any]:
    """Checks a crate; returns what ``--json`` shows.

    Args:
        folder: the crate.
        public: the log's key (32 bytes) that is trusted; the one in the crate when None.

    Raises:
        WorkspaceRefused: there is no such folder.
        MessageRefused: a file is missing, changed or added, or a signature or proof is wrong.
    """
    names = _check_files(folder)
    trusted = _key(folder) if public is None else public
    study = digest(read_file(folder, files.STUDY))
    proven = {
        what: proven_entry(folder, path, trusted)[1].type
        for what, path in files.PROOFS.items()
        if path in names
    }
    snapshot = _snapshot(folder, trusted, names) if files.SNAPSHOT in names else None
    if snapshot is not None and snapshot.study != study:
        raise MessageRefused(f"{files.STUDY} is not the study that the snapshot names")
    run = _run_of(folder, snapshot)
    manifest = _manifest(folder, trusted, study, run) if files.MANIFEST_FILE in names else None
    if files.PROOFS["run"] in names:
        _check_end(folder, trusted, run)
    return {
        "verified": True,
        "trusted_key": trusted.hex(),
        "key_was_given": public is not None,
        "study": study,
        "manifest": manifest,
        "snapshot": None if snapshot is None else snapshot.digest,
        "model": None if snapshot is None else snapshot.model,
        "proven": proven,
        "files": len(names) + 1,
    }


def _check_files(folder: Path) -> set[str]:
    """Checks that the crate holds the files that are described, and nothing else."""
    found = digests_in(folder, without=METADATA)
    wanted = _described(folder)
    for name in sorted({*wanted} - {*found}):
        raise MessageRefused(f"{name} is missing: {METADATA} describes it")
    for name in sorted({*found} - {*wanted}):
        raise MessageRefused(f"{name} was added: {METADATA} does not describe it")
    for name in sorted(wanted):
        if wanted[name] != found[name]:
            raise MessageRefused(f"{name} was changed after the crate was written")
    return {*found}


def _described(folder: Path) -> dict[str, str]:
    """Returns the digest of each file by its name, as the description says."""
    graph = _json(folder, METADATA).get("@graph")
    if not isinstance(graph, list):
        raise MessageRefused(f"{METADATA} is no description of a crate")
    described: dict[str, str] = {}
    for one in graph:
        if isinstance(one, dict) and one.get("@type") == "File":
            described[str(one.get("@id"))] = str(one.get("sha256"))
    for needed in (files.STUDY, files.ROSTER, files.COURSE, files.KEY):
        if needed not in described:
            raise MessageRefused(f"{METADATA} describes no {needed}: it is no crate of a run")
    return described


def _key(folder: Path) -> bytes:
    try:
        key = bytes.fromhex(read_file(folder, files.KEY).decode().strip())
    except ValueError as error:
        raise MessageRefused(f"{files.KEY} holds no key") from error
    return key


def _snapshot(folder: Path, trusted: bytes, names: set[str]) -> Snapshot:
    """Returns the snapshot, once its signatures were checked."""
    signed = parse_snapshot(read_file(folder, files.SNAPSHOT))
    snapshot = signed.snapshot
    try:
        if len(signed.signatures) >= snapshot.quorum:
            signed.require_signed(trusted, parse_roster(read_file(folder, files.ROSTER)))
        else:
            signed.require_of(trusted)
    except (MessageRefused, QuorumLost) as error:
        raise MessageRefused(f"{files.SNAPSHOT}: {error}") from error
    if files.PROOFS["snapshot"] in names:
        _, entry = proven_entry(folder, files.PROOFS["snapshot"], trusted)
        if (entry.type, entry.payload) != (SNAPSHOT_SIGNED, snapshot.digest):
            raise MessageRefused(f"{files.PROOFS['snapshot']} is the proof of another entry")
    return snapshot


def _manifest(folder: Path, trusted: bytes, study: str, run: str) -> str:
    """Returns the digest of the manifest, once the log was shown to hold it."""
    data = read_file(folder, files.MANIFEST_FILE)
    _, entry = proven_entry(folder, files.PROOFS[MANIFEST], trusted)
    if (entry.type, entry.payload, entry.run) != (MANIFEST, digest(data), run):
        raise MessageRefused(f"{files.PROOFS[MANIFEST]} is the proof of another manifest")
    if _json(folder, files.MANIFEST_FILE).get("study") != study:
        raise MessageRefused(f"{files.MANIFEST_FILE} is of another study than {files.STUDY}")
    return digest(data)


def _run_of(folder: Path, snapshot: Snapshot | None) -> str:
    """Returns the name of the run in the course, once that was held to the snapshot."""
    said = _json(folder, files.COURSE)
    if snapshot is not None and said.get("run") != snapshot.run:
        raise MessageRefused(f"{files.COURSE} names another run than {files.SNAPSHOT}")
    if snapshot is not None and said.get("model") != snapshot.model:
        raise MessageRefused(f"{files.COURSE} names another model than the snapshot")
    return str(said.get("run"))


def _check_end(folder: Path, trusted: bytes, run: str) -> None:
    """Checks that the proof of the run's end is of just that."""
    name = files.PROOFS["run"]
    _, entry = proven_entry(folder, name, trusted)
    if entry.type not in ENDS or entry.run != run:
        raise MessageRefused(f"{name} is the proof of another entry than the end of run {run}")


def _json(folder: Path, name: str) -> dict[str, Any]:
    """Returns the JSON object that a file of the crate holds."""
    try:
        found = json.loads(read_file(folder, name))
    except (ValueError, RecursionError) as error:
        raise MessageRefused(f"{name} is no JSON") from error
    if not isinstance(found, dict):
        raise MessageRefused(f"{name} is no object")
    return found
