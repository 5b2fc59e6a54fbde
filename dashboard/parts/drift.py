"""Drift: the calendar of a monitoring study, and how it stood with one of its runs."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from compliance.charts.counted.drift import STATISTICS, drift_chart, tests_of
from compliance.facts.drift_calendar import DriftCalendar
from compliance.reports.sections import statements
from compliance.reports.several_runs import drift_page
from dashboard import presentation
from dashboard.parts.elements import (
    LOW_CHART,
    show_chart,
    show_downloads,
    show_metrics,
    show_rows,
    show_statement,
    show_table,
)
from dashboard.parts.kept import verified_log
from dashboard.presentation import DashboardViews


def show_drift(views: DashboardViews, calendars: Sequence[DriftCalendar]) -> None:
    """Shows the calendar that is chosen of a monitoring study."""
    verified = statements.verified(verified_log(views, calendars))
    show_statement(verified)
    calendar = calendars[0]
    if len(calendars) > 1:
        show_rows(drift_page.calendars_table(calendars))
        known = {presentation.calendar_label(one): one for one in calendars}
        calendar = known[st.selectbox("Study", list(known))]
    st.title(presentation.plain(calendar.study_title))
    st.caption(presentation.plain(calendar.sentence))
    for statement in drift_page.banner(calendar):
        show_statement(statement)
    show_metrics(presentation.calendar_figures(calendar))
    show_table(drift_page.releases_table(calendar))
    if calendar.uncounted:
        show_table(drift_page.uncounted_table(calendar))
    if calendar.flagged:
        show_table(drift_page.flags_table(calendar))
    _distances(calendar)
    show_table(drift_page.budgets_table(calendar))
    document = partial(drift_page.drift_page, calendar, verified)
    show_downloads("The calendar", f"collegium-{calendar.study_name}", document)


def show_run_drift(calendar: DriftCalendar) -> None:
    """Shows a calendar beside one of its runs, as it stood with it."""
    st.subheader("Drift")
    st.markdown(presentation.plain(calendar.sentence))
    for statement in drift_page.banner(calendar):
        show_statement(statement)
    if calendar.flagged:
        show_table(drift_page.flags_table(calendar))


def _distances(calendar: DriftCalendar) -> None:
    if not calendar.series:
        st.info("Nothing was compared yet.")
        return
    st.subheader("Distance of each column from the reference")
    st.caption(presentation.plain(drift_page.BAND))
    for column in calendar.columns:
        for place, statistic in zip(st.columns(2, gap="large"), STATISTICS, strict=True):
            if tests_of(calendar, column, statistic):
                with place:
                    st.markdown(f"**{presentation.plain(column)}**")
                    table = drift_page.tests_table(calendar, column, statistic)
                    show_chart(drift_chart(calendar, column, statistic), table, LOW_CHART)
