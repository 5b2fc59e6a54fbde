"""Comparisons that a simulation left: a federation beside its baselines, and strategies."""

from functools import partial

import streamlit as st

from compliance.facts.comparison.baselines import BASELINES_FILE, BaselineFindings
from compliance.facts.comparison.strategies import STRATEGIES_FILE, ComparisonFindings
from compliance.reports.several_runs import baseline_parts, baselines_page, strategies_page
from dashboard.elements.charts import show_chart, show_drawing
from dashboard.elements.pieces import (
    show_downloads,
    show_statement,
    show_table,
)
from dashboard.rows import words
from dashboard.texts import say


def show_baselines(findings: BaselineFindings) -> None:
    """Shows a federation beside its baselines."""
    st.title(say("utility.beside_baselines"))
    study = say("utility.of_study", title=findings.study.title, digest=findings.study.digest)
    st.caption(words.plain(say("utility.read_from", what=study, file=BASELINES_FILE)))
    exact, question = baselines_page.banner(findings)
    show_statement(exact)
    st.subheader(words.plain(question.text))
    for said in baseline_parts.answers(findings):
        st.markdown(f"- {words.plain(said)}")
    if gained := baseline_parts.gains(findings):
        show_drawing(gained, "stretch", about="gains")
    st.markdown(words.plain(baseline_parts.reading(findings)))
    for noised in findings.levels:
        noise = say("utility.with_noise") if noised else say("utility.without_noise")
        st.header(say("utility.models", noise=noise))
        matrix = baseline_parts.matrix(findings, noised=noised)
        show_drawing(matrix, "content", about="matrix")  # cells have a size
        beside = baseline_parts.side_by_side(findings, noised=noised)
        show_drawing(beside, "stretch", about="ways")
    show_table(baseline_parts.differences_table(findings))
    document = partial(baselines_page.baselines_page, findings)
    show_downloads(say("utility.document"), "baselines", document)


def show_strategies(findings: ComparisonFindings) -> None:
    """Shows strategies beside each other."""
    document = strategies_page.strategies_page(findings)
    st.title(words.plain(document.title))
    st.caption(words.plain(say("utility.read_from", what=document.subtitle, file=STRATEGIES_FILE)))
    for statement in document.banner:
        show_statement(statement)
    st.subheader(say("utility.all_patients"))
    table = strategies_page.strategies_table(findings)
    show_chart(strategies_page.strategies_chart(findings), table, about="strategies")
    st.caption(words.plain(strategies_page.seeds_sentence(findings)))
    show_table(strategies_page.hospitals_table(findings))
    st.caption(words.plain(strategies_page.own_models_sentence(findings)))
    show_downloads(say("utility.document"), "comparison", lambda: document)
