"""Drift: the calendar of a monitoring study, and how it stood with one of its runs."""

from functools import partial

import streamlit as st

from compliance.charts.counted.drift import STATISTICS, drift_chart, tests_of, top_of
from compliance.facts.drift_calendar import DriftCalendar
from compliance.reports.sections import statements
from compliance.reports.several_runs import drift_page
from dashboard.elements.charts import show_chart
from dashboard.elements.kept import verified_log
from dashboard.elements.pieces import (
    show_downloads,
    show_metrics,
    show_rows,
    show_statement,
    show_table,
)
from dashboard.page import Page
from dashboard.rows import words
from dashboard.rows.calendars import calendar_figures, calendar_label, steps_of
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows the calendar that is chosen of a monitoring study; says so where none has run."""
    calendars = page.views.calendars()
    if not calendars:
        st.info(say("drift.none"), icon=":material/info:")
        return
    verified = statements.verified(verified_log(page.views))
    show_statement(verified)
    calendar = calendars[0]
    if len(calendars) > 1:
        show_rows(drift_page.calendars_table(calendars))
        known = {calendar_label(one): one for one in calendars}
        calendar = known[st.selectbox(say("drift.study"), list(known))]
    st.header(words.plain(calendar.study_title), anchor=False)
    st.caption(words.plain(calendar.sentence))
    for statement in drift_page.banner(calendar):
        show_statement(statement)
    show_metrics(calendar_figures(calendar))
    _what_to_do(calendar)
    show_table(drift_page.releases_table(calendar))
    if calendar.uncounted:
        show_table(drift_page.uncounted_table(calendar))
    if calendar.flagged:
        show_table(drift_page.flags_table(calendar))
    _distances(calendar)
    show_table(drift_page.budgets_table(calendar))
    document = partial(drift_page.drift_page, calendar, verified)
    show_downloads(say("drift.document"), f"collegium-{calendar.study_name}", document)


def _what_to_do(calendar: DriftCalendar) -> None:
    """Shows what people should do now, by what the calendar says."""
    st.subheader(say("drift.what_to_do"))
    steps = [say(f"drift.{step}") for step in steps_of(calendar)]
    st.markdown("\n".join(f"{place}. {step}" for place, step in enumerate(steps, start=1)))


def _distances(calendar: DriftCalendar) -> None:
    if not calendar.series:
        st.info(say("drift.nothing_compared"))
        return
    st.subheader(say("drift.distances"))
    st.caption(words.plain(drift_page.BAND))
    for column in calendar.columns:
        for place, statistic in zip(st.columns(2, gap="large"), STATISTICS, strict=True):
            if tests_of(calendar, column, statistic):
                with place:
                    st.markdown(f"**{words.plain(column)}**")
                    table = drift_page.tests_table(calendar, column, statistic)
                    drawn = drift_chart(
                        calendar, column, statistic, top=top_of(calendar, statistic)
                    )
                    show_chart(drawn, table, about=statistic)
