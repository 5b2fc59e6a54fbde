"""What a hospital's commands say and ask: people on stderr, machines on stdout."""

import json
import sys
from typing import Any

from rich.console import Console

from protocol.errors import PolicyRefused


def console() -> Console:
    """Returns where people read; a log file is as wide as it needs to be."""
    width = None if sys.stderr.isatty() else 200
    return Console(stderr=True, highlight=False, width=width)


def say(*lines: str) -> None:
    """Prints lines for people, as they are."""
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)


def ask(prompt: str) -> str:
    """Asks a person for a line; returns it without blanks around it, empty when nobody is there."""
    console().print(f"{prompt}: ", markup=False, soft_wrap=True, end="")
    return sys.stdin.readline().strip()


def ask_for_name(site: str) -> None:
    """Asks for the hospital's name, so that nothing that cannot be undone happens by a slip.

    Raises:
        PolicyRefused: another was typed.
    """
    typed = ask("to do this, type the hospital's name")
    if typed != site:
        raise PolicyRefused(f"{typed!r} is not this hospital's name: nothing was done")


def emit(value: Any, as_json: bool) -> None:
    """Prints JSON for machines, where it was asked for."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
