"""Checks of a crate by the folder alone: files, signatures, proofs in the log.

Rules:

1. Nothing but the folder is read. One key is enough to trust, the log's; without it a crate is only
   shown to agree with itself.
2. Names in the description are compared with the files that lie there; none is opened by its name
   alone.
3. Figures, reports and the description are files whose digests agree; what hospitals signed and
   what the log holds is proven: study, manifest, model, the end of the run.
4. A proof that was taken out is missed: the end of the run stands in the log, so does each manifest
   and snapshot that is here, and of a run that finished one of the two says which study it was.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from collegium.models.exports.signed_files import digests_in, proven_entry, read_file
from collegium.models.exports.verifying import verify_export
from collegium.models.publication.crate import files
from collegium.models.publication.crate.entity import METADATA
from collegium.models.publication.crate.evidence import ENDS, MANIFEST
from coordinator.governance.models.snapshots import SNAPSHOT_SIGNED
from protocol.encoding import digest
from protocol.errors import MessageRefused, QuorumLost, StudyRefused
from protocol.identity.roster import parse_roster
from protocol.log.entry import LogEntry
from protocol.study.study_file import read_study
from protocol.transport.snapshot import SignedSnapshot, Snapshot, parse_snapshot

_MODEL, _FINISHED, _KEY_BYTES = "model/", "run-finished", 32


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
    _, end = proven_entry(folder, files.PROOFS["run"], trusted)
    proven = {
        what: proven_entry(folder, path, trusted)[1].type
        for what, path in files.PROOFS.items()
        if path in names
    }
    signed = _snapshot(folder, trusted) if files.SNAPSHOT in names else None
    snapshot = None if signed is None else signed.snapshot
    if snapshot is not None and snapshot.study != study:
        raise MessageRefused(f"{files.STUDY} is not the study that the snapshot names")
    if snapshot is not None:
        _check_quorum(folder, snapshot)
    manifest = _manifest(folder, trusted, study, end) if files.MANIFEST_FILE in names else None
    _check_course(folder, end, snapshot)
    if snapshot is not None and snapshot.manifest not in (None, manifest):
        raise MessageRefused(f"{files.MANIFEST_FILE} is not the manifest that the snapshot names")
    if end.type == _FINISHED and snapshot is None and manifest is None:
        raise MessageRefused(
            f"neither {files.MANIFEST_FILE} nor {files.SNAPSHOT} is here: nothing proves the study"
        )
    if any(name.startswith(_MODEL) for name in names):
        _check_model(folder, trusted, snapshot)
    return {
        "verified": True,
        "trusted_key": trusted.hex(),
        "key_was_given": public is not None,
        "study": study,
        "manifest": manifest,
        "snapshot": None if snapshot is None else snapshot.digest,
        "model": None if snapshot is None else snapshot.model,
        "signed_by": [] if signed is None else sorted(signed.signatures),
        "quorum": None if snapshot is None else snapshot.quorum,
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
    if len(key) != _KEY_BYTES:
        raise MessageRefused(f"{files.KEY} holds no key")
    return key


def _snapshot(folder: Path, trusted: bytes) -> SignedSnapshot:
    """Returns the snapshot, once every signature was checked that it has; few are no fault."""
    signed = parse_snapshot(read_file(folder, files.SNAPSHOT))
    try:
        with suppress(QuorumLost):
            signed.require_signed(trusted, parse_roster(read_file(folder, files.ROSTER)))
    except MessageRefused as error:
        raise MessageRefused(f"{files.SNAPSHOT}: {error}") from error
    _, entry = proven_entry(folder, files.PROOFS["snapshot"], trusted)
    if (entry.type, entry.payload) != (SNAPSHOT_SIGNED, signed.snapshot.digest):
        raise MessageRefused(f"{files.PROOFS['snapshot']} is the proof of another entry")
    return signed


def _manifest(folder: Path, trusted: bytes, study: str, end: LogEntry) -> str:
    """Returns the digest of the manifest, once the log was shown to hold it for this run."""
    data = read_file(folder, files.MANIFEST_FILE)
    _, entry = proven_entry(folder, files.PROOFS[MANIFEST], trusted)
    if (entry.type, entry.payload, entry.run) != (MANIFEST, digest(data), end.run):
        raise MessageRefused(f"{files.PROOFS[MANIFEST]} is the proof of another manifest")
    if _json(folder, files.MANIFEST_FILE).get("study") != study:
        raise MessageRefused(f"{files.MANIFEST_FILE} is of another study than {files.STUDY}")
    return digest(data)


def _check_course(folder: Path, end: LogEntry, snapshot: Snapshot | None) -> None:
    """Checks that the course, the snapshot and the proof of the run's end are of one run."""
    said = _json(folder, files.COURSE)
    if end.type not in ENDS or end.run != said.get("run"):
        raise MessageRefused(f"{files.PROOFS['run']} is not the proof of this run's end")
    if end.type == _FINISHED and end.payload != said.get("model"):
        raise MessageRefused(f"{files.COURSE} names another model than the run's end in the log")
    if snapshot is None:
        return
    if said.get("model") != snapshot.model:
        raise MessageRefused(f"{files.COURSE} names another model than the snapshot")
    if snapshot.run != end.run:
        raise MessageRefused(f"{files.SNAPSHOT} is of another run than {files.COURSE}")


def _check_quorum(folder: Path, snapshot: Snapshot) -> None:
    try:
        study = read_study(read_file(folder, files.STUDY).decode("utf-8"), files.STUDY)
    except (StudyRefused, UnicodeDecodeError) as error:
        raise MessageRefused(f"{files.STUDY} holds no study: {error}") from error
    snapshot.require_quorum(study.threshold, study.site_names)


def _check_model(folder: Path, trusted: bytes, snapshot: Snapshot | None) -> None:
    """Checks the exported model in the crate: as a folder of its own, and of this snapshot."""
    told = verify_export(folder / _MODEL, trusted)
    if snapshot is None or told["snapshot"] != snapshot.digest:
        raise MessageRefused(f"{_MODEL} is an export of another model than the run's")


def _json(folder: Path, name: str) -> dict[str, Any]:
    """Returns the JSON object that a file of the crate holds."""
    try:
        found = json.loads(read_file(folder, name))
    except (ValueError, RecursionError) as error:
        raise MessageRefused(f"{name} is no JSON") from error
    if not isinstance(found, dict):
        raise MessageRefused(f"{name} is no object")
    return found
