"""What the dashboard says, apart from how Streamlit draws it: no Streamlit here.

The two interfaces at the top are all that the page asks of the coordinator.
"""

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from compliance.documents import Cell, Form, Statement, Table, Tone, show
from compliance.dossier import Audit, Dossier, EntryFacts, Interval
from compliance.utility import MODES, UtilityPoint
from protocol.errors import MessageRefused
from protocol.note import parse_checkpoint

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~:$&-])")
_ORDER = {"finished": 0, "running": 1}


class RunLine(Protocol):
    """One line about a run, as the views give it."""

    @property
    def run_id(self) -> str:
        """The run's name."""

    @property
    def study_name(self) -> str:
        """The study it executes."""

    @property
    def state(self) -> str:
        """running, finished, failed, ..."""

    @property
    def started_at(self) -> str:
        """ISO 8601, UTC."""

    @property
    def seed(self) -> int:
        """The public model seed."""

    @property
    def mode(self) -> str:
        """What protects the patients: local, distributed or none."""

    @property
    def epsilon(self) -> float | None:
        """What the study promises one patient."""


class Views(Protocol):
    """What the page asks of the consortium's memory."""

    def runs(self) -> Sequence[RunLine]:
        """Every run."""

    def dossier(self, run_id: str) -> Dossier:
        """Everything about one run."""

    def utility(self, run_id: str) -> Sequence[UtilityPoint]:
        """Every finished run and reference that asks what this run asks."""


@runtime_checkable
class VerifiesLog(Protocol):
    """Views that can also check the whole log against its signed heads."""

    def verify_log(self) -> int:
        """Returns how many entries were checked; StoreBroken when one is not genuine."""


def ordered(runs: Sequence[RunLine]) -> tuple[RunLine, ...]:
    """Returns the runs as the chooser offers them: finished ones first, newest first."""
    newest = sorted(runs, key=lambda run: run.started_at, reverse=True)
    return tuple(sorted(newest, key=lambda run: _ORDER.get(run.state, 2)))


def run_label(run: RunLine) -> str:
    """Returns one line that tells a run from the others."""
    privacy = MODES[run.mode]
    if run.epsilon is not None:
        privacy += f", ε = {run.epsilon:g}"
    when = show(run.started_at, Form.TIME)
    return f"{run.study_name} · {privacy} · seed {run.seed} · {run.state} · {when} · {run.run_id}"


def interval_note(interval: Interval | None) -> str:
    """Returns what stands below a released figure: its interval, or why there is none."""
    if interval is None:
        return "nothing released"
    if interval.note or interval.value is None or interval.low is None or interval.high is None:
        return interval.note or "not available"
    return f"95 %: {interval.low:.3f} to {interval.high:.3f}"


def readable(table: Table) -> list[dict[str, str]]:
    """Returns a table's rows as texts under their column titles."""
    return [
        {c.title: show(cell, c.form) for c, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]


def found_entries(entries: Sequence[EntryFacts], words: str) -> tuple[EntryFacts, ...]:
    """Returns the entries that hold every word, in any field, whatever the case."""
    wanted = words.lower().split()

    def holds(entry: EntryFacts) -> bool:
        text = f"{entry.index} {entry.time} {entry.type} {entry.payload} {entry.leaf_hash}".lower()
        return all(word in text for word in wanted)

    return tuple(entry for entry in entries if holds(entry))


def head_state(audit: Audit) -> Statement:
    """Says what the page itself can tell about the log's head, and what it cannot.

    Only that the checkpoint's text names this root and size is checked here;
    signatures and entries need the whole log.
    """
    if not audit.size:
        return Statement(text="The audit log is empty: nothing can be verified.", tone=Tone.CAUTION)
    if not _names_head(audit):
        return Statement(
            text="The checkpoint does not name this root and size.",
            detail="Stop, keep a copy of the folder, and run: collegium audit verify --out FOLDER",
            tone=Tone.BAD,
        )
    return Statement(
        text=f"A head of {audit.size:,} entries; {len(audit.entries):,} are of this run.",
        detail="Its signature and the entries below it are not checked until the whole log is "
        "verified: collegium audit verify --out FOLDER.",
    )


def _names_head(audit: Audit) -> bool:
    text, separator, _ = audit.checkpoint.partition("\n\n")
    try:
        checkpoint = parse_checkpoint(text + "\n")
    except MessageRefused:
        return False
    return (checkpoint.size, checkpoint.root.hex()) == (audit.size, audit.root)


def plain(text: str) -> str:
    """Returns text for a place that reads Markdown: no link, picture or formatting comes of it.

    A study's author must not be able to make the page fetch something.

    >>> plain("![x](http://a) *b*")
    '\\\\!\\\\[x\\\\]\\\\(http\\\\://a\\\\) \\\\*b\\\\*'
    """
    return _MARKDOWN.sub(r"\\\1", text)


def figure(value: Cell, form: Form = Form.RATIO) -> str:
    """Returns a headline's figure; an interval gives its middle, or a dash when it has a note."""
    if isinstance(value, Interval):
        return show(None if value.note else value.value, form)
    return show(value, form)
