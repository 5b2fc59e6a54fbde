"""Inputs and answers of the interface: paths as people write them, and what commands print."""

import io
import os
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console

from protocol.errors import StudyRefused, WorkspaceRefused

#: A path as a text or an object.
PathLike: TypeAlias = str | os.PathLike[str]

#: Where nobody reads.
QUIET = Console(file=io.StringIO(), quiet=True, force_jupyter=False)
_WIDTH = 110


def as_path(given: PathLike) -> Path:
    """Returns a path; ``~`` is the user's home.

    Raises:
        WorkspaceRefused: there is no such user, or a name that no file can have.

    >>> as_path("demo-out")
    PosixPath('demo-out')
    """
    try:
        path = Path(given).expanduser()
        path.exists()
    except (RuntimeError, OSError, ValueError) as error:
        raise WorkspaceRefused(f"no file or folder can be called {str(given)[:80]!r}") from error
    return path


def number_of(epsilon: Any) -> float:
    """Returns an epsilon as a number.

    Raises:
        StudyRefused: it is none.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, Real):
        raise StudyRefused(f"epsilon {epsilon!r:.40}: give a number, or None for no privacy")
    return float(epsilon)


def with_printed_lines(command: Callable[[Console], dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """Returns what a command found, and the lines that it prints."""
    lines = io.StringIO()
    # In a notebook rich would show the lines in the cell instead of writing them.
    to = Console(file=lines, width=_WIDTH, highlight=False, color_system=None, force_jupyter=False)
    found = command(to)
    return found, "\n".join(line.rstrip() for line in lines.getvalue().strip("\n").splitlines())
