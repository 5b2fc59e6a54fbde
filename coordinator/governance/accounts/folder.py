"""The folder of sealed keys: one file a box, named by its digest, and the counts of attempts.

::

    HOME/accounts/<digest>.json    a box (mode 0600)
    HOME/accounts/attempts.json    failures, waits and used one-time steps, by public key

Neither is in the database, so no bundle and no backup of the database holds a key. A box is there
before the database names it, and goes after the database no longer does.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compliance.governance.access.lock_out import FailedLogins
from compliance.governance.access.sealed_key import SealedKey, read_sealed_key
from compliance.storage.atomic_file import read_whole, write_whole
from protocol.errors import StoreBroken, WorkspaceRefused

_ATTEMPTS, _LOCK = "attempts.json", "attempts.lock"


class AccountFolder:
    """The sealed keys beside one consortium's database.

    Args:
        home: the coordinator's folder, or one of simulations.
    """

    def __init__(self, home: Path) -> None:
        self._root = home / "accounts"

    def put(self, box: SealedKey) -> None:
        """Keeps a box.

        Raises:
            WorkspaceRefused: it cannot be written.
        """
        try:
            self._root.mkdir(mode=0o700, exist_ok=True)
            write_whole(self._file(box.digest), box.to_bytes())
        except OSError as error:
            raise WorkspaceRefused(f"{self._root} cannot be written: {error.strerror}") from error

    def get(self, digest: str) -> SealedKey:
        """Returns the box of a digest.

        Raises:
            StoreBroken: it is missing, or another one lies in its place.
        """
        try:
            box = read_sealed_key(read_whole(self._file(digest)))
        except OSError as error:
            raise StoreBroken(
                "a sealed key is missing: restore the folder accounts/, or let its owner set the "
                "account anew (collegium people account set)"
            ) from error
        if box.digest != digest:
            raise StoreBroken("a sealed key is not the one that was set: restore accounts/")
        return box

    def drop(self, digest: str) -> None:
        """Removes a box; nothing where it is gone."""
        self._file(digest).unlink(missing_ok=True)

    @contextmanager
    def attempts(self) -> Iterator[dict[str, FailedLogins]]:
        """Yields the attempts by public key; what the block makes of them is kept.

        One process at a time; others wait.

        Raises:
            StoreBroken: the file is damaged.
            WorkspaceRefused: it cannot be written.
        """
        try:
            self._root.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WorkspaceRefused(f"{self._root} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            found = self.read_attempts()
            before = dict(found)
            yield found
            if found != before:
                said = {key: vars(one) for key, one in sorted(found.items())}
                write_whole(self._root / _ATTEMPTS, json.dumps(said, sort_keys=True).encode())
        finally:
            os.close(handle)

    def read_attempts(self) -> dict[str, FailedLogins]:
        """Returns the attempts by public key, as they are now.

        Raises:
            StoreBroken: the file is damaged.
        """
        file = self._root / _ATTEMPTS
        try:
            said = json.loads(read_whole(file))
            return {str(key): FailedLogins(**one) for key, one in said.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StoreBroken(
                f"{file} is damaged: remove it, which lets every account try again"
            ) from error

    def _file(self, digest: str) -> Path:
        return self._root / f"{digest}.json"
