"""The file of a consortium's declarations, as it lies in the folder of its runs."""

import hashlib
from pathlib import Path

from compliance.reports.declarations.record import Declarations, read_declarations
from compliance.storage.atomic_file import read_named
from protocol.errors import WorkspaceRefused

# The name of a consortium's declarations where they lie in the folder of its runs.
#: Its name in a folder of runs.
DECLARATIONS_FILE = "consortium.yaml"
_MAX_BYTES = 1 << 20


def declarations_of(out: Path, given: Path | None = None) -> tuple[Declarations | None, str]:
    """Returns the declarations, and the digest of their file; nothing where there is none.

    Args:
        out: the folder of runs.
        given: the file; None takes the one in the folder, if there is one.

    Raises:
        WorkspaceRefused: the file cannot be read, or says what no declaration does.
    """
    path = out / DECLARATIONS_FILE if given is None else given
    if given is None and not path.exists():
        return None, ""
    data = read_named(path, "--declarations", _MAX_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorkspaceRefused(f"{path}: it is not UTF-8 text") from error
    return read_declarations(text, str(path)), hashlib.sha256(data).hexdigest()
