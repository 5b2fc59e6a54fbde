"""The one document model: what a report says, apart from how it is drawn.

Every report and page is a ``Document``; every renderer (HTML, JSON, CSV, later
PDF) reads nothing else. Cells hold values, not texts, so that a number reads
the same in every rendering and a machine gets it whole.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from compliance.budget_words import percent, percent_left
from compliance.interval import Interval
from compliance.rounding import rounded_up

Cell: TypeAlias = str | int | float | Interval | None

MISSING = "—"
_NOT_AVAILABLE = "not available"


class Form(Enum):
    """How a person reads a value."""

    TEXT = "text"
    CODE = "code"  # digests, heads, commands: never shortened, one width for each character
    COUNT = "count"
    RATIO = "ratio"  # an AUROC or the like: three decimals
    SHARE = "share"  # a part of a budget: per cent
    SHARE_LEFT = "share left"
    EPSILON = "epsilon"  # a privacy loss: three significant digits, rounded up
    SMALL = "small"  # a probability such as delta: three significant digits, rounded up
    NUMBER = "number"  # a setting such as a noise multiplier: four significant digits
    SECONDS = "seconds"
    TIME = "time"  # a moment in ISO 8601, UTC


class Tone(Enum):
    """How much a statement should worry its reader."""

    GOOD = "good"
    PLAIN = "plain"
    CAUTION = "caution"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One sentence that nobody may overlook."""

    text: str
    detail: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list of short texts, each with the word it is about."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Command lines to type, each with what it does."""

    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """One large figure, what it is, and what must be known beside it."""

    label: str
    value: Cell
    form: Form
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Highlights:
    """The few figures a reader takes away."""

    items: tuple[Highlight, ...]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A label and its value."""

    label: str
    value: Cell
    form: Form = Form.TEXT


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A table of labels and values.

    Raises:
        ValueError: two rows have the same label.
    """

    title: str
    rows: tuple[Fact, ...]

    def __post_init__(self) -> None:
        labels = [row.label for row in self.rows]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ValueError(f"labels of {self.title!r} are repeated: {', '.join(repeated)}")


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column holds, and how it reads."""

    title: str
    form: Form = Form.TEXT


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows; every row has a cell for every column.

    Raises:
        ValueError: a row is too short or too long.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {place} of {self.title!r} has {len(row)} cells, "
                    f"{len(self.columns)} columns are declared"
                )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing, the same in words, and the numbers it was drawn from.

    ``svg`` goes into pages as it stands: it must come from ``charts.to_svg``.
    """

    title: str
    svg: str
    alt: str
    caption: str
    table: Table


Block: TypeAlias = Paragraph | Bullets | Commands | Highlights | Facts | Table | Figure


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it; ``key`` names it in links and files."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report or page. ``banner`` is what must be read first, in order."""

    kind: str
    title: str
    subtitle: str
    banner: tuple[Statement, ...]
    sections: tuple[Section, ...]
    footer: tuple[str, ...]


def show(value: Cell, form: Form = Form.TEXT) -> str:
    """Returns a value as a person reads it; a missing one is never shown as zero.

    An interval with a note (too few patients) shows the note, not the figure.

    >>> show(0.84321, Form.RATIO), show(1e-4, Form.SMALL), show(12345, Form.COUNT)
    ('0.843', '1e-4', '12,345')
    >>> show(Interval(value=0.8, low=0.71, high=0.89), Form.RATIO)
    '0.800 (0.710 to 0.890)'
    >>> show(2.001, Form.EPSILON), show(1.99979, Form.EPSILON), show(2.0, Form.EPSILON)
    ('2.01', '2', '2')
    >>> show(None), show(Interval(value=None, low=None, high=None, note="too few patients"))
    ('—', 'too few patients')
    >>> show("2026-11-21T10:00:09.600Z", Form.TIME)
    '2026-11-21 10:00:09 UTC'
    """
    if value is None:
        return MISSING
    if isinstance(value, Interval):
        return _show_interval(value, form)
    if isinstance(value, str):
        return _show_time(value) if form is Form.TIME else value
    return _show_number(value, form)


def tables(document: Document) -> Iterator[tuple[Section, Table]]:
    """Yields every table with its section, in reading order; facts and figures give theirs."""
    for section in document.sections:
        for table in section_tables(section):
            yield section, table


def section_tables(section: Section) -> Iterator[Table]:
    """Yields every table of a section, in reading order; facts and figures give theirs."""
    for block in section.blocks:
        match block:
            case Table():
                yield block
            case Figure():
                yield block.table
            case Facts():
                yield _facts_table(block)


def _facts_table(facts: Facts) -> Table:
    return Table(
        title=facts.title,
        columns=(Column(title="Fact"), Column(title="Value")),
        rows=tuple((row.label, row.value) for row in facts.rows),
    )


def _show_interval(interval: Interval, form: Form) -> str:
    if interval.value is None:
        return interval.note or _NOT_AVAILABLE
    text = _show_number(interval.value, form)
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({_show_number(interval.low, form)} to {_show_number(interval.high, form)})"


def _show_number(value: float, form: Form) -> str:
    if not math.isfinite(value):
        return "without bound" if value > 0 else _NOT_AVAILABLE
    match form:
        case Form.COUNT:
            return f"{value:,.0f}"
        case Form.RATIO:
            return f"{value:.3f}"
        case Form.SHARE:
            return percent(value)
        case Form.SHARE_LEFT:
            return percent_left(value)
        case Form.EPSILON:
            return f"{rounded_up(value):g}"
        case Form.NUMBER:
            return f"{value:.4g}"
        case Form.SMALL:
            return _scientific(value)
        case Form.SECONDS:
            return f"{value:,.1f} s"
        case _:
            return str(value)


def _show_time(moment: str) -> str:
    day, _, rest = moment.partition("T")
    return f"{day} {rest[:8]} UTC" if rest.endswith("Z") else moment


def _scientific(value: float) -> str:
    digits, exponent = f"{rounded_up(value):.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}" if value else "0"
