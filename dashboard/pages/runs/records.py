"""Records of one run: budgets for life, and rounds."""

import streamlit as st

from compliance.charts import run as charts
from compliance.facts.dossier import CourseFacts, Dossier
from compliance.reports import run_tables
from compliance.reports.document import Table
from compliance.reports.sections import statements
from dashboard.elements.pieces import show_chart, show_rows, show_table
from dashboard.rows import words

_HEIGHT = 330  # pixels, axes and legend included


def show_budget(dossier: Dossier) -> None:
    """Shows what is spent of each hospital's budget for life."""
    st.subheader("Privacy budget at each hospital")
    if not dossier.protected or not dossier.sites:
        st.warning(statements.claim(dossier).text)
        return
    show_chart(charts.privacy_spent(dossier.sites), run_tables.budget_table(dossier))


def show_rounds(dossier: Dossier) -> None:
    """Shows the rounds of a run, its evaluations, its groups and its clip."""
    st.subheader("Rounds")
    if not dossier.rounds:
        st.info(f"No round was opened; {dossier.rounds_planned} were planned.")
        return
    _show_by_round(charts.rounds_timeline(dossier.rounds), run_tables.rounds_table(dossier))
    if dossier.course is not None:
        _show_course(dossier.course)
    if dossier.robust is not None:
        show_table(run_tables.robust_table(dossier.robust))
        st.markdown(dossier.robust.sentence)
    if dossier.has_adaptive_clip:
        st.subheader("Clip by round")
        _show_by_round(charts.clip_by_round(dossier.rounds), run_tables.clips_table(dossier))


def _show_by_round(chart: charts.Chart, table: Table) -> None:
    """Shows a chart over rounds, which is as high for ten thousand of them as for one."""
    st.altair_chart(chart.properties(height=_HEIGHT), theme=None, width="stretch")
    with st.expander("The numbers behind this chart"):
        show_rows(table)


def _show_course(course: CourseFacts) -> None:
    st.subheader(f"Released {words.plain(course.figure.title)} by round")
    if any(one.released.value is not None for one in course.evaluations):
        _show_by_round(charts.figure_by_round(course), run_tables.course_table(course))
    elif course.evaluations:
        show_table(run_tables.course_table(course))
    for sentence in course.sentences:
        st.markdown(words.plain(sentence))
