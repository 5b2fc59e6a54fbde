"""Extras of the package, such as ``silo``, ``coordinator``, ``dashboard`` or ``reports``.

``pip install collegium`` brings what reads and checks: studies, logs, runs, reports. A
command that does more needs the extra of its machine, and refuses before it does anything
where that is not installed. What an extra consists of is read from the package's own
metadata: pyproject.toml is the only list.
"""

import re
from collections.abc import Callable
from functools import wraps
from importlib import metadata
from typing import ParamSpec, TypeVar

from protocol.errors import WorkspaceRefused

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def require_extra(extra: str) -> None:
    """Refuses where a distribution that the extra names is not installed.

    A checkout that runs without having been installed is not refused.

    Raises:
        WorkspaceRefused: one is missing; says how to install the extra.
    """
    missing = [name for name in distributions_of(extra) if not _is_installed(name)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise WorkspaceRefused(
            f"this needs {', '.join(missing[:3])}{more}, not installed here: "
            f"pip install 'collegium[{extra}]'"
        )


def needs(*extras: str) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """Returns a decorator: the function first requires the extras, see ``require_extra``."""

    def decorated(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        @wraps(function)
        def checked(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
            for extra in extras:
                require_extra(extra)
            return function(*args, **kwargs)

        return checked

    return decorated


def distributions_of(extra: str) -> tuple[str, ...]:
    """Returns the names of the distributions that an extra adds; empty where none is known."""
    try:
        required = metadata.requires("collegium") or []
    except metadata.PackageNotFoundError:
        return ()
    condition = re.compile(rf"""extra == ["']{re.escape(extra)}["']""")
    return tuple(re.split(r"[^\w.-]", line)[0] for line in required if condition.search(line))


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
