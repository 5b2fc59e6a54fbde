"""Another user of the machine, who tries to open what is not his: where the tests run as root."""

import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

#: A user that nobody is: no file belongs to it.
ANOTHER = 61_002
needs_other_user = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user of the machine"
)
_REACH = (
    'while IFS= read -r path; do if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi; done'
)


def reached_by_another(paths: Iterable[Path]) -> list[Path]:
    """Returns those paths that another user can so much as look at; to open is more."""
    done = subprocess.run(
        ["/bin/sh", "-c", _REACH], input="".join(f"{path}\n" for path in paths), text=True,
        capture_output=True, check=True, user=ANOTHER, group=ANOTHER, extra_groups=[], cwd="/",
    )  # fmt: skip
    return [Path(line) for line in done.stdout.splitlines()]


def open_to_others(folder: Path) -> list[Path]:
    """Returns those paths in a folder, itself included, that another user may do anything with."""
    found = []
    for path in (folder, *folder.rglob("*")):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue  # it was there for a moment
        if not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o077:
            found.append(path)
    return found
