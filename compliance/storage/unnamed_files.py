"""Files in a folder that no record names, and so no check covers.

A link is never followed, whatever it is called: what it shows lies elsewhere, or will
tomorrow.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

#: More files than these are counted, not named.
_MAX_TOLD = 50


def unnamed_files(root: Path, is_named: Callable[[str], bool]) -> tuple[str, ...]:
    """Returns the files below a folder that nothing names, in order, and every link.

    Args:
        root: the folder.
        is_named: whether something names a file, by its path from the folder, with ``/``.

    Guarantee: the names can be shown as they stand; of one with signs that a terminal
    obeys, or that are no text, they are written out.
    """
    found: list[str] = []

    def unread(error: OSError) -> None:
        where = Path(os.fsdecode(error.filename or root))
        found.append(f"{where.relative_to(root).as_posix()} (cannot be read)")

    for folder, folders, files in os.walk(root, onerror=unread):
        for name in [*folders, *files]:
            path = Path(folder, name)
            inside = path.relative_to(root).as_posix()
            if path.is_symlink():
                found.append(f"{inside} (a link, not followed)")
            elif name in files and not is_named(inside):
                found.append(inside)
    return tuple(name if name.isprintable() else ascii(name) for name in sorted(found))


def named_text(names: Sequence[str]) -> str:
    """Returns the names of files in one line.

    >>> named_text(["a", "b"])
    'a, b'
    """
    more = len(names) - _MAX_TOLD
    return ", ".join(names[:_MAX_TOLD]) + (f" and {more} more" if more > 0 else "")
