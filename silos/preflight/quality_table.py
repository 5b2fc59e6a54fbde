"""The data quality report as people read it: short tables that fit 80 columns.

Small counts are marks there (``<10``), and so are those that would give one away (``*``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cohort.quality import DataQuality, FileCounts, ImageCounts
from pipelines.sources.faults.small_counts import FEWER, HIDDEN, ShownCount, shown_part
from protocol.counted import counted

#: Columns of one hospital that are shown; those with most cells come first into the choice.
MAX_COLUMNS = 12


#: The marks of counts that are not shown as numbers.
MARKS = {FEWER: "<10", HIDDEN: "*"}
LEGEND = {FEWER: "<10: fewer than 10", HIDDEN: "*: not shown, a count below 10 would follow"}


class _Line(NamedTuple):
    """One column's counts as they are shown: of the file, and of the records that are kept.

    ``cells`` is how many were missing, replaced or clipped, for the order only.
    """

    name: str
    cells: int
    missing: ShownCount
    imputed: ShownCount
    replaced: ShownCount
    converted: ShownCount
    clipped: ShownCount
    dropped_for: ShownCount
    share_imputed: float = 0.0
    share_clipped: float = 0.0


def print_quality(
    found: Mapping[str, DataQuality], console: Console, *, partitioned: str = ""
) -> None:
    """Prints what the records of some hospitals are: rows, patients, classes and odd columns.

    Args:
        found: each hospital's report.
        console: where it goes.
        partitioned: the file that a simulation partitions; empty where each has its own.
    """
    if partitioned and found:
        _print_file(partitioned, next(iter(found.values())).file, console)
    shown = {site: quality.to_json() for site, quality in found.items()}
    _print_counts(found, shown, console, partitioned=bool(partitioned))
    clean = []
    used: set[str] = set()
    for site, quality in found.items():
        told = shown[site]
        used |= _words(told)
        lines = _lines(quality, told, partitioned=bool(partitioned))
        if any(line.cells for line in lines):
            _print_columns(site, lines, console)
        elif lines:
            clean.append(site)
        if quality.patients_with_several_records:
            several = _with_noun(told["patients_with_several_records"], "patient")
            _say(f"  {site}: {several} with several records", console)
        if quality.patients_beyond:
            _say(
                f"  {site}: {_with_noun(told['patients_beyond'], 'patient')} with more than "
                f"{quality.max_records} records (max_records_per_patient): "
                f"{_with_noun(told['records_beyond'], 'record')} left out where they are drawn",
                console,
            )
        if quality.times is not None:
            _print_times(site, told["times"], console)
        if quality.images is not None:
            _print_images(site, quality.images, console)
    if clean:
        _say(f"  {', '.join(clean)}: nothing missing, imputed or clipped", console)
    for word in sorted(used):
        _say(f"  {LEGEND[word]}", console)


def _words(told: object) -> set[str]:
    """Returns the marks that stand in place of counts anywhere in a report, lists apart."""
    if isinstance(told, dict):
        return set().union(*map(_words, told.values()))
    return {told} if isinstance(told, str) and told in MARKS else set()


def mark(count: ShownCount | None) -> str:
    """Returns a count as it stands in a table.

    >>> mark(12), mark("fewer than 10"), mark("not shown")
    ('12', '<10', '*')
    """
    return MARKS[count] if isinstance(count, str) else str(count)


def _with_noun(count: ShownCount, noun: str) -> str:
    return counted(count, noun) if isinstance(count, int) else f"{MARKS[count]} {noun}s"


def _print_counts(
    found: Mapping[str, DataQuality],
    shown: Mapping[str, Mapping[str, Any]],
    console: Console,
    *,
    partitioned: bool,
) -> None:
    table = Table(box=None, padding=(0, 1), show_edge=False)
    table.add_column(" site", overflow="fold")
    of_records = ("records",) if partitioned else ("rows", "dropped")
    parts = ("patients", "train", "test")
    ill = any(quality.whole.patients_ill is not None for quality in found.values())
    counted_parts = (name for part in parts for name in ((part, "(ill)") if ill else (part,)))
    for heading in (*of_records, *counted_parts):
        table.add_column(heading, justify="right", no_wrap=True)
    for site, told in shown.items():
        rows = (told["file"]["rows"], told["file"]["dropped"])
        read = (told["whole"]["records"],) if partitioned else rows
        counts = (
            word
            for part in (told["whole"], told["train"], told["test"])
            for word in (_both(part) if ill else [mark(part["patients"])])
        )
        table.add_row(Text(f" {site}"), *map(mark, read), *counts)
    console.print(table)
    for site, told in shown.items():
        classes = told["whole"]["classes"]
        of_class = [f"{name} {mark(count)}" for name, count in classes.items()]
        if of_class:
            _say(f"  {site}: patients with: {', '.join(of_class)}", console)


def _print_times(site: str, times: Mapping[str, Any], console: Console) -> None:
    """Prints what dates made of rows, as its counts are shown."""
    for name, what in (
        ("outside_window", "outside the window of time, left out"),
        ("unobserved", "not observed for long enough, left out"),
        ("before_index", "with an event before the days that count, ignored"),
    ):
        if times[name]:
            _say(f"  {site}: {_with_noun(times[name], 'row')} {what}", console)
    for name, what in (
        ("cut", "a time of day, cut off"),
        ("completed", "no day or month, completed"),
    ):
        for column, count in times[name].items():
            _say(f"  {site}: {column}: {_with_noun(count, 'date')} with {what}", console)


def _print_images(site: str, images: ImageCounts, console: Console) -> None:
    """Prints what images are and become, and where many of them stand."""
    for name, title in _SCANS.items():
        if images.scans.get(name):
            _say(f"  {site}: {title}: {_most(images.scans[name])}", console)
    if images.preprocessing:
        some = ", ".join(map(_sides, images.sides[:_MOST_SIDES]))
        more = f" and {len(images.sides) - _MOST_SIDES} other sizes"
        found = f"{some}{more if len(images.sides) > _MOST_SIDES else ''}"
        made = _sides(images.shape)
        words = "are prepared" if found == made else f"become {made}"
        _say(f"  {site}: images of {found} {words} by {', '.join(images.preprocessing)}", console)
    if images.stored_bytes:
        _say(
            f"  {site}: {images.stored_bytes / 1e9:.3g} GB of prepared images in the folder for "
            "temporary files, as long as they are used",
            console,
        )


#: What is counted of images with headers, as it is printed.
_SCANS = {
    "kinds": "images",
    "orientations": "axes as stored",
    "spacings": "mm between voxels",
    "intensities": "images whose values take, of the study's range",
}
_MOST_SIDES = 4


def _most(counts: Mapping[str, int | str]) -> str:
    """Returns the largest counts, and how many others there are."""
    by_size = sorted(counts.items(), key=lambda each: (-_size(each[1]), each[0]))
    told = ", ".join(f"{name} {count}" for name, count in by_size[:_MOST_SIDES])
    more = len(by_size) - _MOST_SIDES
    return f"{told} and {more} others" if more > 0 else told


def _size(count: int | str) -> int:
    return count if isinstance(count, int) else 1


def _sides(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _both(part: Mapping[str, ShownCount | None]) -> tuple[str, str]:
    return mark(part["patients"]), f"({mark(part['patients_ill'])})"


def _print_file(name: str, file: FileCounts, console: Console) -> None:
    told = {column: mark(shown_part(n, file.rows)) for column, n in file.dropped_for.items()}
    reasons = ", ".join(f"{column} {count}" for column, count in told.items())
    missing = f" for what is missing in {reasons}" if file.dropped else ""
    dropped = mark(shown_part(file.dropped, file.rows))
    _say(f"  {name}: {counted(file.rows, 'row')} read, {dropped} dropped{missing}", console)


def _lines(quality: DataQuality, told: Mapping[str, Any], *, partitioned: bool) -> list[_Line]:
    """Returns a line for each feature, then for each other column that lacks a cell.

    Of a partitioned file nobody knows whose a dropped row was: what is missing is what is imputed.
    """
    imputed = {column.name: column.imputed for column in quality.columns if column.imputed}
    missing = imputed if partitioned else quality.file.missing
    of_file = {c["name"]: c["imputed"] for c in told["columns"]} if partitioned else {}
    of_file = of_file or told["file"]["missing"]
    dropped_for = {} if partitioned else told["file"]["dropped_for"]
    lines = [
        _Line(
            name=column.name,
            cells=missing.get(column.name, 0) + column.replaced + column.converted + column.clipped,
            missing=of_file.get(column.name, 0),
            imputed=shown["imputed"],
            replaced=shown["replaced"],
            converted=shown["converted"],
            clipped=shown["clipped"],
            dropped_for=dropped_for.get(column.name, 0),
            share_imputed=column.share_imputed,
            share_clipped=column.shown_share_clipped,
        )
        for column, shown in zip(quality.columns, told["columns"], strict=True)
    ]
    others = missing.keys() - {line.name for line in lines}
    return lines + [
        _Line(name, missing[name], of_file[name], 0, 0, 0, 0, dropped_for.get(name, 0))
        for name in sorted(others)
    ]


def _print_columns(site: str, lines: Sequence[_Line], console: Console) -> None:
    odd = [line for line in lines if line.cells]
    shown = sorted(odd, key=lambda line: -line.cells)[:MAX_COLUMNS]
    counts = _counts([line for line in odd if line in shown])
    table = Table(box=None, padding=(0, 1), show_edge=False)
    table.add_column(Text(f" {site}: column"), overflow="fold")
    for heading in counts:
        table.add_column(heading, justify="right", no_wrap=True)
    names = (line.name for line in odd if line in shown)
    for name, *cells in zip(names, *counts.values(), strict=True):
        table.add_row(Text(f" {name}"), *cells)
    console.print()
    console.print(table)
    if len(odd) > len(shown):
        _say(f"  and {counted(len(odd) - len(shown), 'more such column')}: --json has all", console)
    rest = len(lines) - len(odd)
    if rest:
        _say(f"  {counted(rest, 'other column')}: nothing missing, imputed or clipped", console)


def _counts(lines: Sequence[_Line]) -> dict[str, list[str]]:
    """Returns the table's columns by heading; what is rare stands there only where it occurs."""
    replaced = [_or_dash(line.replaced) for line in lines]
    converted = [_or_dash(line.converted) for line in lines]
    dropped = [_or_dash(line.dropped_for) for line in lines]
    return {
        "missing": [_or_dash(line.missing) for line in lines],
        "imputed": [_with_share(line.imputed, line.share_imputed) for line in lines],
        **({"replaced": replaced} if any(line.replaced for line in lines) else {}),
        **({"converted": converted} if any(line.converted for line in lines) else {}),
        "clipped": [_with_share(line.clipped, line.share_clipped) for line in lines],
        **({"dropped for": dropped} if any(line.dropped_for for line in lines) else {}),
    }


def _with_share(count: ShownCount, share: float) -> str:
    return f"{count} ({share:.1%})" if count and isinstance(count, int) else _or_dash(count)


def _or_dash(count: ShownCount) -> str:
    return mark(count) if count else "-"


def _say(line: str, console: Console) -> None:
    console.print(line, markup=False, highlight=False)
