r"""Writes a document as Typst source, from which a PDF is drawn.

Rules:

1. A text is a string literal of Typst's code, never its markup: nothing in it is interpreted,
   whatever a study's title holds. Only quotes and backslashes are escaped in it.
2. A letter that the fonts do not have is shown by its code point, ``[U+4E2D]``: PDF/A wants every
   letter, and fonts of the machine would make another file elsewhere.
3. A word that is longer than a column, such as a digest, may break anywhere.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

from compliance.facts.formatting import NUMERIC, Format, show
from compliance.reports.basis import MARKS, Claims, ReportClaim, basis_text
from compliance.reports.document import (
    WATERMARK,
    Block,
    Bullets,
    Commands,
    Document,
    Facts,
    Figure,
    Highlights,
    Listing,
    Paragraph,
    Section,
    Signatures,
    Statement,
    Table,
    Tone,
)
from compliance.reports.renderers.recipe_text import recipe_text

_LOOK = Path(__file__).parent / "templates" / "document.typ"
#: Ranges of letters that the fonts inside Typst have; a test draws each of them.
_KNOWN = (
    (0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x386, 0x386), (0x388, 0x38A), (0x38C, 0x38C),
    (0x38E, 0x3A1), (0x3A3, 0x3CE), (0x401, 0x40C), (0x40E, 0x44F), (0x451, 0x45C), (0x45E, 0x45F),
    (0x2013, 0x2014), (0x2018, 0x201A), (0x201C, 0x201E), (0x2020, 0x2022), (0x2026, 0x2026),
    (0x2030, 0x2030), (0x20AC, 0x20AC), (0x2190, 0x2193), (0x2202, 0x2202), (0x2211, 0x2212),
    (0x221A, 0x221A), (0x221E, 0x221E), (0x2248, 0x2248), (0x2260, 0x2260), (0x2264, 0x2265),
    (0x25A0, 0x25A1), (0x25C6, 0x25C6), (0x25CB, 0x25CB), (0x25CF, 0x25CF), (0x2713, 0x2713),
)  # fmt: skip
#: A word of this length finds room in every column; a longer one may break after so many letters.
_LONGEST, _PIECE = 22, 6
#: From so many columns on a table is drawn in a smaller type, or with a line for each column where
#: it has few rows; from the second number on it lies on its side.
_WIDE, _VERY_WIDE, _FEW = 8, 11, 6
#: A long listing is drawn in parts of so many lines: a part is laid out at once.
_LINES = 200
#: A table of more rows stands as lines of text.
_MOST_ROWS = 300


def typst_source(document: Document) -> str:
    """Returns a document as Typst source; nothing but the fonts inside Typst is needed to draw it.

    Raises:
        ValueError: the document says of no moment: PDF/A wants one, and the clock is none.
    """
    return "\n".join((_LOOK.read_text(encoding="utf-8"), *_parts(document))) + "\n"


def shown(text: str) -> str:
    """Returns a text in letters that the fonts have.

    >>> shown("ε ≤ 2 μ"), shown("心")
    ('ε ≤ 2 μ', '[U+5FC3]')
    """
    return "".join(map(_letter, unicodedata.normalize("NFC", text)))


@cache
def _letter(letter: str) -> str:
    code = ord(letter)
    if letter == "\n" or any(low <= code <= high for low, high in _KNOWN):
        return letter
    if letter in "\t\r\u00a0\u2009\u202f":
        return " "
    return {"\u00b5": "μ", "\u2010": "-", "\u2011": "-"}.get(letter, f"[U+{code:04X}]")


def literal(text: str) -> str:
    r"""Returns a text as a string literal of Typst's code.

    >>> print(literal('#import "x"'))
    "#import \"x\""
    """
    escaped = shown(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def content(text: str) -> str:
    """Returns a text as Typst's code for content: literals, line breaks, places to break a word."""
    lines = (" + ".join(_pieces(line)) or '[#""]' for line in shown(text).split("\n"))
    return f"({' + linebreak() + '.join(lines)})"


def _pieces(line: str) -> Iterator[str]:
    """Yields a line in pieces: a long word in boxes, between which a line may end.

    Unlike a space of no width, a box leaves no letter behind where a digest is copied.
    """
    plain = ""
    for word in re.split(r"(?<= )", line):
        if len(word.rstrip()) <= _LONGEST:
            plain += word
            continue
        if plain:
            yield f"[#{literal(plain)}]"
        bare = word.rstrip()
        yield from (f"box({literal(bare[i : i + _PIECE])})" for i in range(0, len(bare), _PIECE))
        plain = word[len(bare) :]
    if plain:
        yield f"[#{literal(plain)}]"


def _parts(document: Document) -> Iterator[str]:
    watermark = WATERMARK if document.watermarks else ""
    keywords = f"({literal('collegium-report')}, {literal(recipe_text(document))})"
    about = document.subtitle if len(document.subtitle) < 60 else f"{document.subtitle[:57]}..."
    yield (
        f"#show: report.with(title: {literal(document.title)}, "
        f"subtitle: {content(document.subtitle)}, about: {literal(about)}, "
        f"watermark: {literal(watermark)}, date: {_moment(document.dated)}, keywords: {keywords})"
    )
    yield from map(_statement, document.banner)
    yield "#contents()"
    for section in document.sections:
        yield from _section(section)
    yield from (f"#note({content(text)})" for text in document.footer)


def _moment(dated: str) -> str:
    try:
        at = datetime.fromisoformat(dated)
    except ValueError as error:
        raise ValueError(f"a document is dated by its records, not by {dated!r}") from error
    return (
        f"datetime(year: {at.year}, month: {at.month}, day: {at.day}, hour: {at.hour}, "
        f"minute: {at.minute}, second: {at.second})"
    )


def _statement(statement: Statement) -> str:
    detail = content(statement.detail) if statement.detail else "none"
    tone = statement.tone if isinstance(statement.tone, Tone) else Tone.PLAIN
    return f"#statement({literal(tone.value)}, {content(statement.text)}, {detail})"


def _section(section: Section) -> Iterator[str]:
    yield f"#heading(level: 1, {literal(section.title)})"
    for block in section.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield f"#par({content(block.text)})"
        case Bullets():
            yield _called("bullets", *(_tuple(about, text) for about, text in block.items))
        case Commands():
            yield _called("bullets", *(_tuple(line, does) for line, does in block.lines))
        case Highlights():
            items = ((one.label, show(one.value, one.form), one.note) for one in block.items)
            yield _called("figures", *(_tuple(*item) for item in items))
        case Facts():
            yield _subtitle(block.title)
            cells = ((row.label, show(row.value, row.form)) for row in block.rows)
            yield _called("facts", *(content(cell) for row in cells for cell in row))
        case Table():
            yield from _table(block)
        case Figure():
            yield _subtitle(block.title)
            alt = literal(block.alt)
            drawn = f"bytes({literal(block.svg)})"
            yield f'#image({drawn}, format: "svg", alt: {alt}, width: 100%)'
            yield f"#note({content(block.caption)})"
            yield from _table(block.table)
        case Claims():
            yield _subtitle(block.title) if block.title else ""
            yield from map(_claim, block.items)
        case Listing():
            yield _subtitle(block.title)
            yield f"#note({content(block.heading)})"
            yield from _raw(block.lines)
        case Signatures():
            yield _subtitle(block.title)
            for place in block.places:
                yield f"#signing({literal(place.name)}, {literal(place.role)})"
        case _:
            raise ValueError(f"a {type(block).__name__} has no place in a report on paper")


def _claim(claim: ReportClaim) -> str:
    mark, word = MARKS[type(claim.basis)]
    basis = basis_text(claim.basis).removeprefix(word)
    return (
        f"#claim({literal(word)}, {literal(mark)}, {content(claim.topic)}, {content(claim.text)}, "
        f"{content(basis)})"
    )


def _subtitle(title: str) -> str:
    return f"#heading(level: 2, {literal(title)})"


def _table(table: Table) -> Iterator[str]:
    parts = [_subtitle(table.title)]
    if not table.rows:
        parts.append(f"#note({content('Nothing to show.')})")
    elif len(table.rows) > _MOST_ROWS:
        parts += _as_lines(table)
    elif len(table.columns) >= _WIDE and len(table.rows) <= _FEW:
        parts.append(_turned_table(table))
    else:
        parts.append(_drawn_table(table))
    if table.note:
        parts.append(f"#note({content(table.note)})")
    is_wide = len(table.columns) >= _VERY_WIDE and _FEW < len(table.rows) <= _MOST_ROWS
    yield f"#page(flipped: true)[{' '.join(parts)}]" if is_wide else "\n".join(parts)


def _as_lines(table: Table) -> Iterator[str]:
    """Yields a long table as lines of text: each cell of a drawn one costs memory and time."""
    kept = [at for at, one in enumerate(table.columns) if one.form is not Format.CODE]
    titles = " | ".join(table.columns[at].title for at in kept)
    left = len(table.columns) - len(kept)
    more = " Digests are in the listing of the log, and in the other formats." if left else ""
    yield f"#note({content(titles + more)})"
    lines = [" | ".join(show(row[at], table.columns[at].form) for at in kept) for row in table.rows]
    yield from _raw(lines)


def _raw(lines: Sequence[str]) -> Iterator[str]:
    for at in range(0, len(lines), _LINES):
        yield f"#raw(block: true, {literal(chr(10).join(lines[at : at + _LINES]))})"


def _drawn_table(table: Table) -> str:
    columns, number = table.columns, len(table.columns)
    widths = ", ".join(_width(table, at) for at in range(number))
    alignment = ", ".join("right" if one.form in NUMERIC else "left" for one in columns)
    headings = ", ".join(content(column.title) for column in columns)
    size = "8.5pt" if number < _WIDE else "7pt" if number < _VERY_WIDE else "6.5pt"
    cells = (
        content(show(cell, column.form))
        for row in table.rows
        for cell, column in zip(row, columns, strict=True)
    )
    return _called("wide-table", size, f"({widths},)", f"({alignment},)", f"({headings},)", *cells)


def _turned_table(table: Table) -> str:
    """Returns a table of few rows and many columns with a line for each column: it fits on A4."""
    first, *others = table.columns
    names = (show(row[0], first.form) for row in table.rows)
    headings = ", ".join(content(name) for name in (first.title, *names))
    widths = ", ".join(["2fr", *("1fr" for _ in table.rows)])
    alignment = ", ".join(["left", *("left" for _ in table.rows)])
    cells = (
        content(text)
        for at, column in enumerate(others, start=1)
        for text in (column.title, *(show(row[at], column.form) for row in table.rows))
    )
    return _called(
        "wide-table", "8.5pt", f"({widths},)", f"({alignment},)", f"({headings},)", *cells
    )


def _width(table: Table, at: int) -> str:
    """Returns how wide a column is beside the others: by its longest text, within bounds."""
    column = table.columns[at]
    texts = [show(row[at], column.form) for row in table.rows[:200]]
    longest = max([len(column.title) * 0.7, *map(len, texts)])
    words = (len(word) for text in (column.title, *texts) for word in text.split())
    widest = min(max(words, default=0), _LONGEST) + 3  # a word of this length finds room
    most = 16 if column.form is Format.CODE else 45
    widest = 22 if column.form is Format.TIME else widest
    return f"{max(5.0, float(widest), min(longest, most)):.0f}fr"


def _tuple(*texts: str) -> str:
    return f"({', '.join(content(text) for text in texts)})"


def _called(name: str, *arguments: str) -> str:
    return f"#{name}({', '.join(arguments)})"
