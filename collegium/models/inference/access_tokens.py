"""Access tokens: who may ask the service, in a file for its owner alone.

A line is ``NAME SHA256``: the digest of a token of 256 random bits. Whoever reads the file can ask
nothing with it. A service reads it again once it was changed: a token that was replaced opens
nothing from then on.
"""

import hmac
import re
import secrets
from contextlib import suppress
from pathlib import Path

from compliance.storage.atomic_file import read_whole, write_whole
from protocol.encoding import digest
from protocol.errors import PolicyRefused, WorkspaceRefused

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LINE = re.compile(r"([a-z0-9][a-z0-9._-]{0,63}) ([0-9a-f]{64})")
_OTHERS = 0o077


class AccessTokens:
    """The tokens of a service, by the names of those who have them.

    Args:
        path: the file.

    Raises:
        PolicyRefused: others than its owner may read or write it, or a line is none.
        WorkspaceRefused: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._version = path, _version_of(path)
        self._digests = _read(path)
        if not self._digests:
            raise PolicyRefused(f"{path} names nobody: collegium infer token NAME adds somebody")

    def caller(self, header: str) -> str | None:
        """Returns whose token an ``Authorization`` header holds; None where it is nobody's.

        It is nobody's where the file was changed and is none any more.
        """
        self._follow()
        kind, _, token = header.partition(" ")
        given, found = digest(token.strip().encode()), None
        for name, known in self._digests.items():
            if hmac.compare_digest(known, given):
                found = name
        return found if kind.lower() == "bearer" else None

    def _follow(self) -> None:
        """Reads the file again where it is another than was read last."""
        version = _version_of(self._path)
        if version == self._version:
            return
        self._version, self._digests = version, {}
        with suppress(PolicyRefused, WorkspaceRefused):
            self._digests = _read(self._path)


def _version_of(path: Path) -> tuple[int, ...]:
    """Returns what tells a file from the one before it in its place; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def add_token(path: Path, name: str) -> str:
    """Adds a caller to a file of tokens, or gives a known one another; returns the token.

    Raises:
        PolicyRefused: the name is none, or the file is not its owner's alone.
        WorkspaceRefused: the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise PolicyRefused(f"{name!r:.80}: a name has small letters, digits, '.', '_' and '-'")
    known = _read(path) if path.exists() else {}
    token = secrets.token_urlsafe(32)
    known[name] = digest(token.encode())
    text = "".join(f"{one} {sha256}\n" for one, sha256 in sorted(known.items()))
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be written: {error.strerror}") from error
    return token


def _read(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_mode & _OTHERS:
            raise PolicyRefused(f"{path} may be read by others: chmod 600 {path}")
        lines = read_whole(path).decode("ascii", "replace").splitlines()
    except OSError as error:
        raise WorkspaceRefused(
            f"the file of tokens {path} cannot be read ({error.strerror}): "
            "collegium infer token NAME --home HOSPITAL makes it"
        ) from error
    found = {}
    for number, line in enumerate(lines, start=1):
        said = _LINE.fullmatch(line)
        if said is None:
            raise PolicyRefused(f"{path}, line {number}: expected NAME SHA256")
        found[said[1]] = said[2]
    return found
