"""Figures of hospitals over several runs of a study, on one scale, with a trend where there is one.

Runs are compared only where they promise the same: another mode or epsilon brings another noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from compliance.estimates.interval import Interval
from compliance.estimates.trend import Trend, trend
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Format, show
from compliance.reports.document import Column, Columns, Table, table_of
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.rows.figures.studies import AskedStudy
from dashboard.texts import say

#: The newest runs that are read for it.
MOST = 12
_NONE = Interval(value=None, low=None, high=None, note="nothing released")


@dataclass(frozen=True, kw_only=True)
class SiteCourse:
    """A hospital's figure in several runs, oldest first, and the line that intervals allow."""

    site: str
    runs: tuple[str, ...]
    begun: tuple[str, ...]
    found: tuple[Interval, ...]
    line: Trend | None


def alike(study: AskedStudy, shown: RunSummary) -> tuple[RunSummary, ...]:
    """Returns the newest runs of a study that promise what the shown one does, oldest first."""
    promised = (shown.study_name, shown.mode, shown.epsilon, shown.test_noise)
    found = [
        run
        for run in study.finished
        if (run.study_name, run.mode, run.epsilon, run.test_noise) == promised
    ]
    return tuple(reversed(found[:MOST]))


def site_courses(dossiers: Sequence[Dossier], figure: FigureKind) -> tuple[SiteCourse, ...]:
    """Returns the course of each hospital that has the figure in any run.

    Args:
        dossiers: runs, oldest first.
        figure: that is compared.
    """
    sites = sorted({site.site for one in dossiers for site in one.sites})
    found = {name: tuple(_figure(one, name, figure) for one in dossiers) for name in sites}
    known = {name: own for name, own in found.items() if any(f.value is not None for f in own)}
    return tuple(
        SiteCourse(
            site=name,
            runs=tuple(one.run_id for one in dossiers),
            begun=tuple(one.started_at for one in dossiers),
            found=own,
            line=trend(
                [(float(place), one) for place, one in enumerate(own, start=1)],
                families=len(known),
            ),
        )
        for name, own in known.items()
    )


def heights(courses: Sequence[SiteCourse]) -> tuple[float, ...]:
    """Returns all values that the axes have to hold, so that hospitals have one scale."""
    return tuple(
        height
        for course in courses
        for one in course.found
        for height in (one.low, one.value, one.high)
        if height is not None
    )


def course_table(course: SiteCourse, figure: FigureKind) -> Table:
    """Returns a hospital's figure in each run."""
    columns: Columns[tuple[str, str, Interval]] = (
        (say("fairness.run"), Format.TEXT, lambda row: row[0]),
        (say("fairness.begun"), Format.TIME, lambda row: row[1]),
        (figure.label, figure.form, lambda row: row[2]),
    )
    rows = list(zip(course.runs, course.begun, course.found, strict=True))
    title = say("fairness.course", figure=figure.label, site=course.site)
    return table_of(title, rows, columns)


def _figure(dossier: Dossier, name: str, figure: FigureKind) -> Interval:
    site = next((one for one in dossier.sites if one.site == name), None)
    return _NONE if site is None else site.released.get(figure.name, _NONE)


def gap_table(dossier: Dossier) -> Table:
    """Returns the largest gap of each figure, and the smallest that these patients could show."""
    hospitals = [
        (kind, say("fairness.of_hospitals", figure=kind.label), gap)
        for kind in dossier.site_kinds
        if (gap := dossier.largest_gaps.get(kind.name)) is not None
    ]
    groups = [
        (kind, say("fairness.of_groups", figure=kind.label, grouping=grouping), gap)
        for grouping, gaps in dossier.group_gaps.items()
        for kind in dossier.figures.group
        if (gap := gaps.get(kind.name)) is not None
    ]
    rows = [
        (
            name,
            say("fairness.is_shown") if gap.is_shown else say("fairness.not_shown"),
            f"{show(gap.value, kind.form)} ({show(gap.low, kind.form)} – "
            f"{show(gap.high, kind.form)})",
            show(gap.detectable, kind.form),
        )
        for kind, name, gap in (*hospitals, *groups)
    ]
    columns = ("figure", "shown", "gap", "smallest")
    return Table(
        title=say("fairness.gaps"),
        columns=tuple(Column(title=say(f"fairness.{name}")) for name in columns),
        rows=tuple(rows),
        note=say("fairness.power"),
    )
