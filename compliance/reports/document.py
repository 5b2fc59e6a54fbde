"""The one document model: what a report says, apart from how it is drawn.

Every report and page is a ``Document``; every renderer (HTML, PDF, JSON, CSV,
OSCAL) reads nothing else. Cells hold values, not texts, so that a number reads
the same in every rendering and a machine gets it whole.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from compliance.facts.formatting import Cell, Format
from compliance.reports.basis import (
    Claims,
    ControlResult,
    Counts,
    ReportClaim,
    ReportRecipe,
    counted_claims,
)

Thing = TypeVar("Thing")


class Tone(Enum):
    """The tone of a statement: good, plain, caution or bad."""

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
    form: Format
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
    form: Format = Format.TEXT


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
    """A column of a table: its title, and the form of its values."""

    title: str
    form: Format = Format.TEXT


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


#: The columns of a table about things of one kind: title, form, and the cell of a thing.
Columns: TypeAlias = Sequence[tuple[str, Format, Callable[[Thing], Cell]]]


def table_of(
    title: str, things: Sequence[Thing], columns: Columns[Thing], *, note: str = ""
) -> Table:
    """Returns a table with a row for each thing.

    >>> table_of("Lengths", ["a", "bcd"], [("Length", Format.COUNT, len)]).rows
    ((1,), (3,))
    """
    return Table(
        title=title,
        columns=tuple(Column(title=name, form=form) for name, form, _ in columns),
        rows=tuple(tuple(cell(thing) for _, _, cell in columns) for thing in things),
        note=note,
    )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing, the same in words, and the numbers it was drawn from.

    ``svg`` goes into pages as it stands: it must come from ``charts.theme.to_svg``.
    """

    title: str
    svg: str
    alt: str
    caption: str
    table: Table


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures beside each other, as PNG; only a page that stays where it is written has any."""

    title: str
    pictures: tuple[bytes, ...]
    caption: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Long lines of one width, such as digests: a title, what the parts are, and the lines."""

    title: str
    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SigningPlace:
    """A place where a person signs; what is not known of the person is left to be filled in."""

    name: str = ""
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """Places for names, roles, dates and signatures."""

    title: str
    places: tuple[SigningPlace, ...]


Block: TypeAlias = (
    Paragraph
    | Bullets
    | Commands
    | Highlights
    | Facts
    | Table
    | Figure
    | Pictures
    | Claims
    | Listing
    | Signatures
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it; ``key`` names it in links and files."""

    key: str
    title: str
    blocks: tuple[Block, ...]


#: The first words of a statement that the records do not bear a document out.
WATERMARK = "NOT VERIFIED"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report or page. ``banner`` is what must be read first, in order.

    ``dated`` is the newest moment of what it is made of (ISO 8601, UTC), never that of its making.
    ``controls`` are those of the texts that it maps to; ``recipe`` says what it was made of.
    """

    kind: str
    title: str
    subtitle: str
    banner: tuple[Statement, ...]
    sections: tuple[Section, ...]
    footer: tuple[str, ...]
    dated: str = ""
    controls: tuple[ControlResult, ...] = ()
    recipe: ReportRecipe | None = None

    @property
    def is_report(self) -> bool:
        """Whether it is one of the reports that people sign, and not a page."""
        return self.recipe is not None

    @property
    def watermarks(self) -> tuple[Statement, ...]:
        """The statements that its records were not verified, or are not what was logged."""
        return tuple(one for one in self.banner if one.text.startswith(WATERMARK))


def claims_of(document: Document) -> Iterator[ReportClaim]:
    """Yields every statement of a document that has a basis, in reading order."""
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Claims):
                yield from block.items


def counts_of(document: Document) -> Counts:
    """Returns how many statements of a document have each basis."""
    return counted_claims(claims_of(document))


def tables(document: Document) -> Iterator[tuple[Section, Table]]:
    """Yields every table with its section, in reading order; facts and figures give theirs."""
    for section in document.sections:
        for table in section_tables(section):
            yield section, table


def has_pictures(document: Document) -> bool:
    """Whether any block of a document is pictures."""
    blocks = (block for section in document.sections for block in section.blocks)
    return any(isinstance(block, Pictures) for block in blocks)


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
