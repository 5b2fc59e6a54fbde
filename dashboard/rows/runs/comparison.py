"""Runs beside each other: the settings in which they differ, and their figures on one scale."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Format
from compliance.reports.document import Columns, Table, table_of
from coordinator.views.one_run.run_summary import RunSummary

#: Keys of a study that say nothing of what a run does.
_LABELS = frozenset({"collegium", "title", "purpose"})
#: A cell of a setting that a run's study does not have.
_ABSENT = "—"


def differing_settings(dossiers: Sequence[Dossier]) -> list[dict[str, str]]:
    """Returns the keys of the studies in which the runs differ, each with its value in every run.

    A row has ``setting`` and the runs' names. The seed of a run is a key of its study.
    """
    studies = {one.run_id: dict(_flat(one.study)) for one in dossiers}
    keys = dict.fromkeys(key for study in studies.values() for key in study)
    rows = []
    for key in keys:
        values = {run: study.get(key, _ABSENT) for run, study in studies.items()}
        if key.split(".")[0] not in _LABELS and len(set(values.values())) > 1:
            rows.append({"setting": key, **values})
    return rows


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields every leaf of a study document with its path; the name of a list's member is part."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        for place, inner in enumerate(value):
            name = inner.get("name", place) if isinstance(inner, Mapping) else place
            yield from _flat(inner, f"{path}.{name}")
    else:
        yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return _ABSENT if value is None else str(value)


def asks_the_same(runs: Sequence[RunSummary]) -> bool:
    """Whether runs ask one question, so that their figures may be compared."""
    return len({run.question for run in runs}) == 1


def compared_figures(
    runs: Sequence[RunSummary],
) -> list[tuple[FigureKind, list[tuple[str, Interval]]]]:
    """Returns the released headline of each run, by kind of figure: each kind is one scale.

    A run that released nothing has an interval that says so.
    """
    kinds: dict[str, tuple[FigureKind, list[tuple[str, Interval]]]] = {}
    for run in runs:
        nothing = Interval(value=None, low=None, high=None, note="nothing released")
        _, rows = kinds.setdefault(run.figure.name, (run.figure, []))
        rows.append((run.run_id, run.released or nothing))
    return list(kinds.values())


def compared_table(kind: FigureKind, rows: Sequence[tuple[str, Interval]]) -> Table:
    """Returns the released headlines that are drawn on one scale, with their intervals."""
    columns: Columns[tuple[str, Interval]] = (
        ("Run", Format.TEXT, lambda row: row[0]),
        (f"{kind.label}, released", kind.form, lambda row: row[1]),
    )
    return table_of(f"{kind.label} of each run", rows, columns)
