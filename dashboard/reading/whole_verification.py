"""Verifies a whole folder in a process of its own.

::

    python -m dashboard.reading.whole_verification FOLDER

A log of a million entries takes minutes and more than a gigabyte, neither of which a page may take
from those who look at it. Every line that is printed is JSON: how far it is, at last what was
found.
"""

import json
import sys
from contextlib import closing
from pathlib import Path

from coordinator.views.views import open_views
from protocol.errors import FederationError


def verify(folder: Path) -> None:
    """Prints how far the verification of a folder is, then what it found.

    Raises:
        FederationError: the folder cannot be read.
    """
    with closing(open_views(folder)) as views:
        now = views.version()
        found = views.verification(watch=_say)
    told = {"size": now.size, "root": now.root, "key": found.key, "faults": found.faults}
    sys.stdout.write(json.dumps(told) + "\n")


def _say(part: str, done: int, total: int) -> None:
    sys.stdout.write(json.dumps({"part": part, "done": done, "total": total}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Verifies the folder that the command line names; says why not where it cannot be read."""
    try:
        verify(Path(sys.argv[1]))
    except FederationError as error:
        sys.stdout.write(json.dumps({"refused": str(error)}) + "\n")


if __name__ == "__main__":
    main()
