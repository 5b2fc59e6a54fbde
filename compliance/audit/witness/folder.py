"""The folder of a witness: its two keys, the logs that it watches, and its state.

::

    name            the cosigners' name, as witness.example.org/ethics
    ed25519.key     32 bytes in hexadecimal, for its owner alone
    ml-dsa-44.key   the 32-byte seed in hexadecimal, for its owner alone
    logs            a line for each log that it watches: its verifier key
    witness.db      the heads that it has cosigned
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from compliance.audit.witness.service import WitnessService
from compliance.audit.witness.state import WitnessState
from compliance.storage.atomic_file import write_new, write_whole
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import (
    Cosigner,
    Ed25519Cosigner,
    KeyType,
    MlDsaCosigner,
    VerifierKey,
    parse_verifier_key,
)
from protocol.log.signed_note import is_key_name

_NAME, _ED25519, _ML_DSA, _LOGS, _STATE = (
    "name",
    "ed25519.key",
    "ml-dsa-44.key",
    "logs",
    "witness.db",
)
_KEY_BYTES = 32
#: An ML-DSA-44 cosignature counts the bytes of a name in one byte.
_MOST_NAME = 255
_MOST_BYTES = 1 << 20
_READABLE = 0o644


@dataclass(frozen=True, kw_only=True)
class WitnessFolder:
    """A witness's folder as it was read."""

    path: Path
    cosigners: tuple[Cosigner, ...]
    logs: tuple[VerifierKey, ...]

    @property
    def state(self) -> WitnessState:
        """Its state, opened."""
        return WitnessState(self.path / _STATE)

    @property
    def service(self) -> WitnessService:
        """The service that answers requests, over its state."""
        trusted: dict[str, list[tuple[str, bytes]]] = {}
        for log in self.logs:
            trusted.setdefault(log.name, []).append((log.name, log.public))
        return WitnessService(self.cosigners, trusted, self.state)


def make_folder(path: Path, name: str) -> WitnessFolder:
    """Makes a witness's folder, with new keys.

    Raises:
        WorkspaceRefused: the name cannot be a cosigner's, there is a witness, or nothing can be
            written.
    """
    if not is_key_name(name) or len(name.encode()) > _MOST_NAME:
        raise WorkspaceRefused(
            f"{name!r} cannot be a witness's name: one word without a plus sign, such as "
            "witness.example.org/ethics"
        )
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in (_ED25519, _ML_DSA):
            write_new(path / file, secrets.token_bytes(_KEY_BYTES).hex().encode() + b"\n")
        write_new(path / _LOGS, b"", mode=_READABLE)
        write_new(path / _NAME, name.encode() + b"\n", mode=_READABLE)
        WitnessState(path / _STATE)
    except FileExistsError as error:
        raise WorkspaceRefused(f"{path} holds a witness already") from error
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be written: {error.strerror}") from error
    return open_folder(path)


def open_folder(path: Path) -> WitnessFolder:
    """Returns a witness's folder.

    Raises:
        WorkspaceRefused: there is none, a file of it is damaged, or the heads that it has cosigned
            are lost.
    """
    name = _read(path, _NAME)
    if not (path / _STATE).is_file():
        raise WorkspaceRefused(
            f"{path / _STATE} is missing, so nobody knows what this witness has cosigned: it would "
            "cosign a second history. Make another witness, with new keys"
        )
    try:
        cosigners = (
            Ed25519Cosigner(name, SigningKey.from_bytes(_secret(path, _ED25519))),
            MlDsaCosigner(name, _secret(path, _ML_DSA)),
        )
        logs = tuple(_log(line) for line in _read(path, _LOGS).split("\n") if line.strip())
    except (ValueError, MessageRefused) as error:
        raise WorkspaceRefused(f"{path} is no witness's folder: {error}") from error
    return WitnessFolder(path=path, cosigners=cosigners, logs=logs)


def add_log(folder: WitnessFolder, text: str) -> WitnessFolder:
    """Lets a witness watch one more log, by its verifier key; a known one is not added again.

    Raises:
        WorkspaceRefused: the key is none of a log's, or the file cannot be written.
    """
    try:
        log = _log(text)
    except MessageRefused as error:
        raise WorkspaceRefused(f"the log's key cannot be used: {error}") from error
    logs = [*folder.logs, log] if log not in folder.logs else list(folder.logs)
    try:
        listed = "".join(f"{one.text}\n" for one in logs).encode()
        write_whole(folder.path / _LOGS, listed, mode=_READABLE)
    except OSError as error:
        raise WorkspaceRefused(f"{folder.path} cannot be written: {error.strerror}") from error
    return open_folder(folder.path)


def _log(text: str) -> VerifierKey:
    key = parse_verifier_key(text.strip())
    if key.type is not KeyType.ED25519:
        raise MessageRefused("a log's key is of type 1")
    if len(key.name.encode()) > _MOST_NAME:
        raise MessageRefused(f"a log's name has at most {_MOST_NAME} bytes")
    return key


def _secret(path: Path, file: str) -> bytes:
    where = path / file
    if where.stat().st_mode & 0o077:
        raise ValueError(f"{file} is open to other users: chmod 600 {where}")
    found = bytes.fromhex(_read(path, file))
    if len(found) != _KEY_BYTES:
        raise ValueError(f"{file} holds no key")
    return found


def _read(path: Path, file: str) -> str:
    try:
        with (path / file).open("rb") as opened:
            return opened.read(_MOST_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceRefused(
            f"{path} holds no witness ({file} cannot be read): collegium audit witness init"
        ) from error
