"""New folders, whole or not there at all; named by a person with an option of a command."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import WorkspaceRefused


def require_new(to: Path, option: str = "--to") -> None:
    """Refuses a place for a new folder where something lies; an empty folder may.

    Raises:
        WorkspaceRefused: a file is there, or a folder that holds something.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise WorkspaceRefused(f"{option} {to} is there already: name a new folder")


@contextmanager
def new_folder(to: Path, option: str = "--to") -> Iterator[Path]:
    """Yields a folder beside a place, which is moved there when the block ends.

    What the block wrote is removed where it ends with an error, and nothing is in the place then.

    Args:
        to: the place: nothing, or an empty folder.
        option: by which a person named it, for messages.

    Raises:
        WorkspaceRefused: see ``require_new``; or a file cannot be written, in the block or here.
    """
    require_new(to, option)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
        try:
            yield draft
            if to.exists():
                to.rmdir()
            draft.replace(to)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise WorkspaceRefused(f"{option} {to} cannot be written: {error.strerror}") from error
