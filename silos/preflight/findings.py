"""Findings of a preflight: one line each, with what to do where something is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.records import SourceNote
from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.catalogue import CATALOGUE, PAGE, see

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``remedy`` is empty where there is nothing to do.

    ``what`` names it: of a fault of the records it is the fault's name in the catalogue, and
    ``see`` says where that is explained.
    """

    what: str
    state: Literal["ok", "warn", "bad"]
    finding: str
    remedy: str = ""
    see: str = ""


def ok(what: str, finding: str) -> Finding:
    """Returns that something is as it should be."""
    return Finding(what=what, state="ok", finding=finding)


def warn(what: str, finding: str, remedy: str) -> Finding:
    """Returns that something may become a problem."""
    return Finding(what=what, state="warn", finding=finding, remedy=remedy)


def bad(what: str, finding: str, remedy: str) -> Finding:
    """Returns that something must be mended before a study can run."""
    return Finding(what=what, state="bad", finding=finding, remedy=remedy)


def of_fault(fault: RecordFault) -> Finding:
    """Returns the finding of a fault of the records."""
    return Finding(
        what=fault.name,
        state=fault.state,
        finding=fault.found,
        remedy=fault.remedy,
        see=see(fault.name),
    )


def of_note(note: SourceNote) -> Finding:
    """Returns the finding of what a source says of what it read."""
    if not note.remedy:
        return ok(note.what, note.found)
    return Finding(
        what=note.name,
        state=CATALOGUE[note.name].state,
        finding=f"{note.what}: {note.found}" if note.what else note.found,
        remedy=note.remedy,
        see=see(note.name),
    )


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
    if any(entry.see for entry in found):
        told = f"  faults' names are explained in {PAGE}, the other lines in docs/hospital.md"
        console.print(told, markup=False)
