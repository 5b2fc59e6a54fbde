"""The data quality report as people read it: short tables that fit 80 columns."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cohort.quality import ClassCounts, DataQuality, FileCounts, ImageCounts, TimeCounts
from protocol.counted import counted

#: Columns of one hospital that are shown; those with most cells come first into the choice.
MAX_COLUMNS = 12


class _Line(NamedTuple):
    """One column's counts: of the file, and of the records that are kept."""

    name: str
    missing: int
    imputed: int
    replaced: int
    converted: int
    clipped: int
    dropped_for: int
    share_imputed: float = 0.0
    share_clipped: float = 0.0

    @property
    def cells(self) -> int:
        """The number of cells that were missing, replaced, converted or clipped."""
        return self.missing + self.replaced + self.converted + self.clipped


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
    _print_counts(found, console, partitioned=bool(partitioned))
    clean = []
    for site, quality in found.items():
        lines = _lines(quality, partitioned=bool(partitioned))
        if any(line.cells for line in lines):
            _print_columns(site, lines, console)
        elif lines:
            clean.append(site)
        if quality.patients_beyond:
            _say(
                f"  {site}: {counted(quality.patients_beyond, 'patient')} with more than "
                f"{quality.max_records} records (max_records_per_patient): "
                f"{counted(quality.records_beyond, 'record')} left out where they are drawn",
                console,
            )
        if quality.times is not None:
            _print_times(site, quality.times, console)
        if quality.images is not None:
            _print_images(site, quality.images, console)
    if clean:
        _say(f"  {', '.join(clean)}: nothing missing, imputed or clipped", console)


def _print_counts(found: Mapping[str, DataQuality], console: Console, *, partitioned: bool) -> None:
    table = Table(box=None, padding=(0, 1), show_edge=False)
    table.add_column(" site", overflow="fold")
    of_records = ("records",) if partitioned else ("rows", "dropped")
    parts = ("patients", "train", "test")
    ill = any(quality.whole.patients_ill is not None for quality in found.values())
    counted_parts = (name for part in parts for name in ((part, "(ill)") if ill else (part,)))
    for heading in (*of_records, *counted_parts):
        table.add_column(heading, justify="right", no_wrap=True)
    for site, quality in found.items():
        rows = (quality.file.rows, quality.file.dropped)
        read = (quality.whole.records,) if partitioned else rows
        classes = (quality.whole, quality.train, quality.test)
        counts = (
            word for part in classes for word in (_both(part) if ill else [str(part.patients)])
        )
        table.add_row(Text(f" {site}"), *map(str, read), *counts)
    console.print(table)
    for site, quality in found.items():
        of_class = [f"{name} {count}" for name, count in quality.whole.classes.items()]
        if of_class:
            _say(f"  {site}: patients with: {', '.join(of_class)}", console)


def _print_times(site: str, times: TimeCounts, console: Console) -> None:
    """Prints what dates made of rows."""
    for count, what in (
        (times.outside_window, "outside the window of time, left out"),
        (times.unobserved, "not observed for long enough, left out"),
        (times.before_index, "with an event before the days that count, ignored"),
    ):
        if count:
            _say(f"  {site}: {counted(count, 'row')} {what}", console)
    for counts, what in (
        (times.cut, "a time of day, cut off"),
        (times.completed, "no day or month, completed"),
    ):
        for name, count in counts.items():
            _say(f"  {site}: {name}: {counted(count, 'date')} with {what}", console)


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


def _both(part: ClassCounts) -> tuple[str, str]:
    return str(part.patients), f"({part.patients_ill})"


def _print_file(name: str, file: FileCounts, console: Console) -> None:
    reasons = ", ".join(f"{column} {count}" for column, count in file.dropped_for.items())
    missing = f" for what is missing in {reasons}" if file.dropped else ""
    _say(f"  {name}: {counted(file.rows, 'row')} read, {file.dropped} dropped{missing}", console)


def _lines(quality: DataQuality, *, partitioned: bool) -> list[_Line]:
    """Returns a line for each feature, then for each other column that lacks a cell.

    Of a partitioned file nobody knows whose a dropped row was: what is missing is what is imputed.
    """
    imputed = {column.name: column.imputed for column in quality.columns if column.imputed}
    missing = imputed if partitioned else quality.file.missing
    dropped_for = {} if partitioned else quality.file.dropped_for
    lines = [
        _Line(
            name=column.name,
            missing=missing.get(column.name, 0),
            imputed=column.imputed,
            replaced=column.replaced,
            converted=column.converted,
            clipped=column.clipped,
            dropped_for=dropped_for.get(column.name, 0),
            share_imputed=column.share_imputed,
            share_clipped=column.share_clipped,
        )
        for column in quality.columns
    ]
    others = missing.keys() - {line.name for line in lines}
    return lines + [
        _Line(name, missing[name], 0, 0, 0, 0, dropped_for.get(name, 0)) for name in sorted(others)
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


def _with_share(count: int, share: float) -> str:
    return f"{count} ({share:.1%})" if count else "-"


def _or_dash(count: int) -> str:
    return str(count) if count else "-"


def _say(line: str, console: Console) -> None:
    console.print(line, markup=False, highlight=False)
