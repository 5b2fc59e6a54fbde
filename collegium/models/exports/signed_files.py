"""Files of a folder that is checked by itself: digests, contents, proofs held to a trusted log."""

import hashlib
from pathlib import Path

from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.log.cosignature import log_key
from protocol.log.entry import LogEntry, parse_log_entry
from protocol.log.tlog_proof import parse_tlog_proof, verify_tlog_proof
from protocol.log.witness_policy import PolicyLog, WitnessPolicy
from protocol.vectors.tensors import MAX_BYTES

#: Bytes of a file at most, but for parameters.
MOST = 1 << 24
_MOST_FILES = 1000
#: No file is larger whose digest is taken: some forms of a model hold the parameters twice.
_MOST_BYTES = 4 * MAX_BYTES


def digests_in(folder: Path, without: str = "") -> dict[str, str]:
    """Returns the SHA-256 of each file in a folder, by its path from there, with slashes.

    Args:
        folder: the folder.
        without: the one path that is left out.

    Raises:
        WorkspaceRefused: there is no such folder, or a file cannot be read.
        MessageRefused: something in it is neither a file nor a folder, or there is too much.
    """
    if not folder.is_dir():
        raise WorkspaceRefused(f"{folder} is no folder")
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise MessageRefused(f"{name} is neither a file nor a folder: links are not taken")
        if path.is_dir() or name == without:
            continue
        if len(found) == _MOST_FILES:
            raise MessageRefused(f"{folder} holds more than {_MOST_FILES} files")
        if path.stat().st_size > _MOST_BYTES:
            raise MessageRefused(f"{name} is larger than any file of an export")
        found[name] = _digest_of(path)
    return found


def read_file(folder: Path, name: str, most: int = MOST) -> bytes:
    """Returns what a file of a folder holds; a link is none.

    Args:
        folder: the folder.
        name: the file's path from there, with slashes.
        most: its bytes at most.

    Raises:
        MessageRefused: it is missing, or larger than any of its kind.
        WorkspaceRefused: it cannot be read.
    """
    path = folder / name
    if not path.is_file() or path.is_symlink():
        raise MessageRefused(f"{name} is missing: {folder} is not whole. Take a whole copy")
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise MessageRefused(f"{name} is too large to be one")
    return data


def proven_entry(folder: Path, name: str, trusted: bytes) -> tuple[int, LogEntry]:
    """Returns the number and the entry of a log that a proof in a folder is of.

    Args:
        folder: the folder.
        name: the proof's file (C2SP tlog-proof, with the entry).
        trusted: the log's key (32 bytes).

    Raises:
        MessageRefused: it is missing or no proof, or proves nothing in this log.
        WorkspaceRefused: it cannot be read.
    """
    proof = parse_tlog_proof(read_file(folder, name))
    if proof.extra is None:
        raise MessageRefused(f"{name} does not carry the log's entry")
    policy = WitnessPolicy(logs=(PolicyLog(key=log_key(trusted)),))
    try:
        found = verify_tlog_proof(proof, proof.extra, policy)
        return found.index, parse_log_entry(proof.extra)
    except MessageRefused as error:
        raise MessageRefused(
            f"{name} proves nothing in the log whose key begins {trusted.hex()[:16]}: {error}"
        ) from error


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be read: {error.strerror}") from error
