"""Runs beside each other: what differs in their settings, and their figures on one scale."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from compliance.charts.intervals import interval_rows
from compliance.facts.formatting import show as shown
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.elements.charts import show_chart
from dashboard.page import Page
from dashboard.rows.runs import (
    asks_the_same,
    compared_figures,
    compared_table,
    differing_settings,
    run_rows,
)
from dashboard.rows.words import plain
from dashboard.texts import say

_FACTS = ("state", "mode", "epsilon", "interval", "rounds", "hospitals", "minutes", "seed", "sweep")


def show_beside(page: Page, names: Sequence[str]) -> None:
    """Shows the runs that the address names beside each other."""
    known = {run.run_id: run for run in page.views.runs()}
    for name in names:
        if name not in known:
            st.warning(say("runs.unknown", run=plain(name)), icon=":material/search_off:")
    runs = [known[name] for name in dict.fromkeys(names) if name in known]
    if len(runs) < 2:
        st.info(say("runs.compare_two"))
        return
    if not asks_the_same(runs):
        st.warning(say("runs.other_questions"), icon=":material/balance:")
    _figures(runs)
    _settings(page, runs)


def _figures(runs: Sequence[RunSummary]) -> None:
    st.subheader(say("runs.figures"))
    for kind, rows in compared_figures(runs):
        show_chart(interval_rows(rows, kind), compared_table(kind, rows), about="compared")
        exact = [run for run in runs if run.figure == kind and run.exact is not None]
        if exact:
            said = "; ".join(f"{run.run_id} {shown(run.exact, kind.form)}" for run in exact)
            st.caption(say("runs.exact_figures", figures=plain(said)))
    st.caption(say("runs.overlap"))
    facts = {row["run"]: row for row in run_rows(runs, {})}
    table = pd.DataFrame(
        {name: [_written(fact, row[fact]) for fact in _FACTS] for name, row in facts.items()},
        index=[say(f"runs.column_{fact}") for fact in _FACTS],
    )
    st.dataframe(table, width="stretch")


def _written(fact: str, value: object) -> str:
    """Returns a fact of a run as the table of all runs writes it; a dash where there is none."""
    if value is None or value == "":
        return "—"
    if isinstance(value, float):
        return f"{value:.1f}" if fact == "minutes" else f"{value:g}"
    return str(value)


def _settings(page: Page, runs: Sequence[RunSummary]) -> None:
    st.subheader(say("runs.differences"))
    rows = differing_settings([page.views.dossier(run.run_id) for run in runs])
    if not rows:
        st.info(say("runs.same_settings"))
        return
    table = pd.DataFrame(rows).set_index("setting")
    table.index.name = say("runs.setting")
    st.dataframe(table, width="stretch")
