"""Fairness: figures of hospitals and of groups of patients, and what they allow to conclude."""

import streamlit as st

from compliance.charts.over_time import figure_over_time
from compliance.estimates.trend import trend_text
from compliance.facts.dossier import Dossier
from compliance.reports.sections import statements
from dashboard.elements.charts import show_chart
from dashboard.elements.choice.run import chosen_run
from dashboard.elements.figures import (
    show_calibration,
    show_fairness,
    show_groups,
    show_thresholds,
)
from dashboard.elements.pieces import show_small_table, show_statement
from dashboard.page import Page
from dashboard.reading.views import DashboardViews
from dashboard.rows import words
from dashboard.rows.figures.over_time import (
    alike,
    course_table,
    gap_table,
    heights,
    site_courses,
)
from dashboard.rows.figures.studies import asked_studies
from dashboard.texts import say


def show(page: Page) -> None:
    """Shows the fairness of the chosen run's model, and of runs like it over time."""
    dossier = chosen_run(page.views)
    if dossier is None:
        return
    for statement in statements.banner(dossier):
        show_statement(statement)
    if why := _nothing_to_compare(dossier):
        st.info(words.plain(why), icon=":material/info:")
        return
    show_fairness(dossier)
    show_groups(dossier)
    if not dossier.groups:
        st.caption(say("fairness.no_groups"))
    if (gaps := gap_table(dossier)).rows:
        show_small_table(gaps)
    _show_over_time(page.views, dossier)
    if dossier.operating_points:
        show_thresholds(dossier)
    if dossier.calibration:
        show_calibration(dossier)


def _nothing_to_compare(dossier: Dossier) -> str:
    """Returns why nothing can be compared; empty where something can."""
    if not dossier.has_model:
        return say("fairness.trains_nothing")
    if dossier.state == "running":
        return say("fairness.running")
    if dossier.state != "finished":
        return say("fairness.no_model")
    if len(dossier.sites) == 1:
        return say("fairness.one_site", site=words.plain(dossier.sites[0].site))
    return ""


def _show_over_time(views: DashboardViews, dossier: Dossier) -> None:
    """Shows a figure of each hospital over runs that promise the same, when it is asked for."""
    lines = views.runs()
    shown = next(run for run in lines if run.run_id == dossier.run_id)
    study = next(one for one in asked_studies(lines) if one.question == shown.question)
    others = alike(study, shown)
    st.subheader(say("fairness.over_time"))
    if len(others) < 2:
        st.caption(say("fairness.one_run"))
        return
    if not st.toggle(say("fairness.show_over_time", number=len(others)), key="over time"):
        return
    figure = dossier.site_kinds[0]
    courses = site_courses([views.dossier(run.run_id) for run in others], figure)
    if not courses:
        st.caption(say("fairness.nothing_over_time"))
    for first in range(0, len(courses), 2):
        for place, course in zip(st.columns(2, gap="large"), courses[first : first + 2],
                                 strict=False):  # fmt: skip
            with place:
                st.markdown(f"**{words.plain(course.site)}**")
                drawn = figure_over_time(
                    course.site, course.found, figure, among=heights(courses), line=course.line
                )
                show_chart(drawn, course_table(course, figure), about="over_time")
                st.caption(words.plain(trend_text(course.line, "run")))
