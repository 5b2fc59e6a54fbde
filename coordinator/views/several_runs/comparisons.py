"""Comparisons that lie in a folder, as ``collegium baselines`` and ``compare`` wrote them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from compliance.facts.comparison.baselines import BASELINES_FILE, BaselineFindings
from compliance.facts.comparison.strategies import STRATEGIES_FILE, ComparisonFindings
from compliance.reports.declarations import DECLARATIONS_FILE
from protocol.errors import StoreBroken

Found = TypeVar("Found")
#: A comparison of a hundred hospitals has a tenth of it.
MAX_BYTES = 1 << 26
#: The files that are read beside the runs.
_BESIDE = (BASELINES_FILE, STRATEGIES_FILE, DECLARATIONS_FILE)


def baselines_in(folder: Path) -> BaselineFindings | None:
    """Returns the comparison with baselines in a folder; None where there is none.

    Raises:
        StoreBroken: its file cannot be read, is damaged, or is no comparison at all.
    """
    return _read(folder, BASELINES_FILE, BaselineFindings.from_json, "baselines STUDY")


def strategies_in(folder: Path) -> ComparisonFindings | None:
    """Returns the comparison of strategies in a folder; None where there is none.

    Raises:
        StoreBroken: its file cannot be read, is damaged, or is no comparison at all.
    """
    command = "compare STUDY --strategies ..."
    return _read(folder, STRATEGIES_FILE, ComparisonFindings.from_json, command)


def files_beside(folder: Path) -> tuple[tuple[int, int] | None, ...]:
    """Returns time and size of each file that is read beside the runs; None where there is none."""
    return tuple(map(_stamp, (folder / name for name in _BESIDE)))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read(folder: Path, name: str, parsed: Callable[[Any], Found], command: str) -> Found | None:
    path = folder / name
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreBroken(f"{path} cannot be read: {error.strerror}") from error
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return parsed(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise StoreBroken(
            f"{path} is damaged, or no comparison at all: collegium {command} --out {folder} "
            "writes it anew"
        ) from error
