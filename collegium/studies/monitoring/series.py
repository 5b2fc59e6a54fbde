"""``monitor run`` and ``monitor show``: the next release, and the series until now.

A release is one run of the monitoring study, over the hospitals' records as they are then. The
first finished run is the reference; the ledgers reserve the whole calendar when it joins.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as ScreenTable

from collegium.simulation.settings import SimulationSettings
from collegium.simulation.simulate import simulate_study
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Format, show
from compliance.reports.renderers import render_html, wide_csv
from compliance.reports.several_runs.drift_page import drift_page, releases_table, series_table
from compliance.storage.atomic_file import write_named
from coordinator.views.views import open_views
from protocol.errors import BudgetSpent, StudyRefused
from protocol.study.study import Study

PAGE = "monitoring.html"
Watch = Callable[..., Any]


def next_release(
    plan: Study, folder: Path, out: Path, settings: SimulationSettings, watch: Watch
) -> DriftCalendar:
    """Makes the next release of a calendar in a simulation, and writes the folder's page about it.

    Args:
        plan: the monitoring study.
        folder: where its document lies.
        out: the folder of the simulation; the hospitals in it keep their ledgers.
        settings: name the folder of the hospitals' current records.
        watch: begins to show the run's progress.

    Raises:
        StudyRefused: the study monitors nothing.
        BudgetSpent: every release that was priced is made, or a ledger has not so much left.
        FederationError: as ``simulate_study``.
    """
    if plan.calendar is None:
        raise StudyRefused(
            f"{plan.name} is no monitoring plan: collegium monitor plan writes one of a study"
        )
    _require_due(plan, out)
    simulate_study(plan, folder, out, settings, watch)
    return kept_calendar(out, plan.digest)


def kept_calendar(
    out: Path, study: str | None = None, *, page: Path | None = None, table: Path | None = None
) -> DriftCalendar:
    """Returns a folder's calendar, and writes what is asked for.

    Args:
        out: the folder.
        study: the plan's name, or the beginning of its digest; None for the one that ran last.
        page: the file of its page; in a simulation's folder there is one where none is named.
        table: the file of its distances, as CSV with a line for each.

    Raises:
        WorkspaceRefused: no monitoring study has run here, or a file cannot be written.
    """
    with closing(open_views(out)) as views:
        calendar = views.calendar(study)
    if page is None and calendar.simulation:
        page = out / PAGE
    if page is not None:
        write_named(page, render_html(drift_page(calendar)).encode(), "--html")
    if table is not None:
        write_named(table, wide_csv(series_table(calendar)).encode(), "--csv")
    return calendar


def _require_due(plan: Study, out: Path) -> None:
    """Refuses one more release than were priced, before anybody joins."""
    if not (out / "collegium.db").is_file():
        return
    with closing(open_views(out)) as views:
        made = views.releases_made(plan)
    if made > (plan.calendar or 0):
        raise BudgetSpent(
            f"the reference and all {plan.calendar} releases of {plan.name} are made: that is what "
            "its patients paid for. Another calendar is another plan: collegium monitor plan"
        )


def show_calendar(calendar: DriftCalendar, console: Console) -> None:
    """Prints a calendar: a line for every release, what has drifted, what is left."""
    console.print(f"{calendar.study_name}: {calendar.sentence}", markup=False, soft_wrap=True)
    if calendar.series:
        console.print(_on_screen(calendar))
    for flag in calendar.flagged:
        console.print(
            f"  release {flag.release}: {flag.column}, {flag.statistic} "
            f"{show(flag.value, Format.RATIO)} above {show(flag.threshold, Format.RATIO)}",
            style="yellow",
            markup=False,
        )
    if calendar.epsilon is not None:
        console.print(
            f"  each patient: epsilon {show(calendar.epsilon, Format.EPSILON)} at delta "
            f"{show(calendar.delta, Format.SMALL)} for the reference and all {calendar.planned} "
            "releases, reserved when the reference was counted",
            markup=False,
            soft_wrap=True,
        )
    left = [
        f"{site} {show(share, Format.SHARE_LEFT)}"
        for site, share in sorted(calendar.budget_left.items())
        if share is not None
    ]
    if left:
        console.print(f"  left of the budgets: {', '.join(left)}", markup=False, soft_wrap=True)


def _on_screen(calendar: DriftCalendar) -> ScreenTable:
    table = releases_table(calendar)
    shown = ScreenTable(box=None, padding=(0, 2), show_edge=False)
    for column in table.columns:
        shown.add_column(column.title, overflow="fold")
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        shown.add_row(*(show(cell, column.form) for cell, column in cells))
    return shown
