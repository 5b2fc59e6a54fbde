"""Records of one run: budgets for life, and rounds."""

import streamlit as st

from compliance.charts import run as charts
from compliance.estimates.trend import trend_text
from compliance.facts.dossier import CourseFacts, Dossier
from compliance.reports import run_tables
from compliance.reports.sections import statements
from dashboard.elements.charts import show_chart
from dashboard.elements.pieces import show_table
from dashboard.rows import words
from dashboard.texts import say


def show_budget(dossier: Dossier) -> None:
    """Shows what is spent of each hospital's budget for life."""
    st.subheader(say("runs.budget"))
    if not dossier.protected or not dossier.sites:
        st.warning(words.plain(statements.claim(dossier).text))
        return
    show_chart(
        charts.privacy_spent(dossier.sites), run_tables.budget_table(dossier), about="budget"
    )


def show_rounds(dossier: Dossier) -> None:
    """Shows the rounds of a run, its evaluations, its groups and its clip."""
    st.subheader(say("runs.rounds"))
    if not dossier.rounds:
        st.info(say("runs.no_round", number=dossier.rounds_planned))
        return
    show_chart(
        charts.rounds_timeline(dossier.rounds), run_tables.rounds_table(dossier), about="rounds"
    )
    if dossier.course is not None:
        _show_course(dossier.course)
    if dossier.robust is not None:
        show_table(run_tables.robust_table(dossier.robust))
        st.markdown(words.plain(dossier.robust.sentence))
    if dossier.has_adaptive_clip:
        st.subheader(say("runs.clip"))
        show_chart(
            charts.clip_by_round(dossier.rounds), run_tables.clips_table(dossier), about="clip"
        )


def _show_course(course: CourseFacts) -> None:
    st.subheader(say("runs.released_by_round", figure=words.plain(course.figure.title)))
    if any(one.released.value is not None for one in course.evaluations):
        show_chart(charts.figure_by_round(course), run_tables.course_table(course), about="course")
        st.caption(words.plain(trend_text(charts.course_trend(course), "round")))
    elif course.evaluations:
        show_table(run_tables.course_table(course))
    for sentence in course.sentences:
        st.markdown(words.plain(sentence))
