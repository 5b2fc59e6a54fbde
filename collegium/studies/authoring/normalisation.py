"""``study normalise``: a study whose centres and scales are released figures of a statistics run.

Rules:

1. Only released figures are used, never a simulation's exact ones: what a run released costs no
   patient anything more.
2. A column whose interval is too wide keeps what the study declares, and is named.
3. The new study is the old text with other numbers, and says which run they are from.
"""

import math
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.studies.authoring.template import write_study
from compliance.estimates.column_figures import ColumnFigures
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format, show
from coordinator.views.views import open_views
from protocol.errors import StudyRefused
from protocol.study.cohort.columns import NumberColumn
from protocol.study.documents.edited_text import edited_text
from protocol.study.study_file import read_study, read_text

#: A mean may lie off by so many deviations, a deviation by so many times, to either side.
_MEAN_OFF = 0.5
_TIMES_OFF = 2.0


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """The centre and scale of one column, or why it keeps those that it has."""

    column: str
    centre: float | None = None
    scale: float | None = None
    kept_because: str = ""


def normalise_study(
    path: Path, *, run_id: str, out: Path, to: Path, console: Console
) -> dict[str, Any]:
    """Writes a study with the centres and scales that a run released; says which and which not.

    Raises:
        StudyRefused: the study cannot be read, the run counted no columns or has not finished, or
            none of its figures can be used.
        WorkspaceRefused: no such run is there, or the file cannot be written.
    """
    views = open_views(out)
    try:
        dossier = views.dossier(run_id)
    finally:
        views.close()
    text, found = normalised_text(read_text(path), str(path), dossier)
    write_study(to, text)
    for each in found:
        said = f"kept as it is: {each.kept_because}" if each.kept_because else (
            f"centre {each.centre:g}, scale {each.scale:g}"
        )  # fmt: skip
        style = "yellow" if each.kept_because else None
        console.print(f"  {each.column}: {said}", markup=False, soft_wrap=True, style=style)
    console.print(
        f"made   {to}: {path} with the figures of run {dossier.run_id}; next: "
        f"collegium study check {to}",
        markup=False,
        soft_wrap=True,
    )
    return {
        "study": str(to),
        "run_id": dossier.run_id,
        "columns": [
            {"name": e.column, "centre": e.centre, "scale": e.scale, "kept_because": e.kept_because}
            for e in found
        ],
    }


def normalised_text(text: str, source: str, dossier: Dossier) -> tuple[str, tuple[Normalised, ...]]:
    """Returns a study's text with released centres and scales, and what became of each column.

    Raises:
        StudyRefused: see ``normalise_study``.
    """
    study = read_study(text, source)
    if dossier.has_model or dossier.state != "finished":
        raise StudyRefused(
            f"--from {dossier.run_id}: it is {dossier.state}, of a study with task "
            f"{dossier.task}: centres and scales come from a finished run of a statistics study"
        )
    numbers = [one for one in study.cohort.features if isinstance(one, NumberColumn)]
    released = {column.name: column for column in dossier.columns}
    found = tuple(_normalised(column, released.get(column.name)) for column in numbers)
    taken = {each.column: each for each in found if not each.kept_because}
    if not taken:
        why = "; ".join(f"{each.column}: {each.kept_because}" for each in found)
        raise StudyRefused(
            f"--from {dossier.run_id}: no column's figures can be used: {why or 'no numbers'}"
        )
    made = _with_numbers(text, taken)
    made = _said(dossier, taken) + made
    read_study(made, "the normalised study")
    return made, found


def _normalised(column: NumberColumn, figures: ColumnFigures | None) -> Normalised:
    if figures is None or figures.mean is None or figures.deviation is None:
        return Normalised(column=column.name, kept_because="the run did not count it as a number")
    mean, deviation = figures.mean, figures.deviation
    for name, interval in (("mean", mean), ("deviation", deviation)):
        if interval.value is None:
            return Normalised(column=column.name, kept_because=f"its {name}: {interval.note}")
    wide = _too_wide(mean, deviation)
    if wide:
        return Normalised(column=column.name, kept_because=wide)
    scale, digits = _two_digits(float(deviation.value or 0.0))
    return Normalised(
        column=column.name, scale=scale, centre=round(float(mean.value or 0.0), digits)
    )


def _too_wide(mean: Interval, deviation: Interval) -> str:
    """Returns which interval is too wide, with the figure; nothing where both will do."""
    value, low, high = (
        float(one or 0.0) for one in (deviation.value, deviation.low, deviation.high)
    )
    if not low * _TIMES_OFF >= value > 0 or high > value * _TIMES_OFF:
        return f"its deviation is too uncertain, {show(deviation, Format.NUMBER)}"
    if float(mean.high or 0.0) - float(mean.low or 0.0) > 2 * _MEAN_OFF * value:
        return f"its mean is too uncertain, {show(mean, Format.NUMBER)}"
    return ""


def _two_digits(value: float) -> tuple[float, int]:
    """Returns a number above 0 to two digits, and to how many decimals that is.

    >>> _two_digits(9.469), _two_digits(114.2), _two_digits(0.0312)
    ((9.5, 1), (110.0, -1), (0.031, 3))
    """
    decimals = 1 - math.floor(math.log10(value))
    return round(value, decimals), decimals


def _with_numbers(text: str, taken: Mapping[str, Normalised]) -> str:
    """Returns the document with other numbers in these columns; comments and order stay."""

    def change(document: Any) -> None:
        for column in _columns(document):
            new = taken.get(str(column.get("name")))
            if new is not None:
                column["centre"], column["scale"] = _plain(new.centre), _plain(new.scale)

    return edited_text(text, change)


def _columns(document: Any) -> Iterable[MutableMapping[str, Any]]:
    columns: Iterable[MutableMapping[str, Any]] = document["cohort"]["columns"]
    return columns


def _plain(number: float | None) -> float | int:
    """Returns a whole number without its decimals."""
    value = float(number or 0.0)
    return int(value) if value.is_integer() else value


def _said(dossier: Dossier, taken: Mapping[str, Normalised]) -> str:
    claims = [site.privacy.evaluation_epsilon for site in dossier.sites]
    paid = max((one for one in claims if one is not None), default=None)
    cost = "without privacy" if paid is None else f"epsilon {show(paid, Format.EPSILON)}"
    return (
        f"# Centre and scale of {', '.join(taken)}:\n"
        f"# released by run {dossier.run_id} of {dossier.study_name} ({cost}),\n"
        f"# study digest {dossier.study_digest}.\n"
    )
