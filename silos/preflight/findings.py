"""Findings of a preflight: one line each, with what to do where something is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``remedy`` is empty where there is nothing to do."""

    what: str
    state: Literal["ok", "warn", "bad"]
    finding: str
    remedy: str = ""


def ok(what: str, finding: str) -> Finding:
    """Returns that something is as it should be."""
    return Finding(what=what, state="ok", finding=finding)


def warn(what: str, finding: str, remedy: str) -> Finding:
    """Returns that something may become a problem."""
    return Finding(what=what, state="warn", finding=finding, remedy=remedy)


def bad(what: str, finding: str, remedy: str) -> Finding:
    """Returns that something must be mended before a study can run."""
    return Finding(what=what, state="bad", finding=finding, remedy=remedy)


def print_findings(found: Sequence[Finding], console: Console) -> None:
    """Prints a table of what was found, and below it what to do."""
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold")
    for entry in found:
        state = Text(entry.state, style=_STYLES[entry.state])
        table.add_row(state, Text(entry.what), Text(entry.finding))
    console.print(table)
    remedies = (f"  {entry.what}: {entry.remedy}" for entry in found if entry.remedy)
    for line in dict.fromkeys(remedies):  # several faults may have one remedy
        console.print(line, markup=False)
