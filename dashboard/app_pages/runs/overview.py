"""The table of runs: sorted, narrowed, with the columns that are wanted; from it to one or some."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.run_notes import tags_of
from dashboard.app_pages.runs.live import show_running
from dashboard.elements.alerts import show_open_alerts
from dashboard.page import Page
from dashboard.rows.runs import RunFilter, found_runs, run_rows
from dashboard.rows.runs.table import Tags, mode_name
from dashboard.rows.words import plain
from dashboard.texts import say

#: Columns in their order; those that are shown at first.
_COLUMNS = (
    "run", "folder", "state", "released", "interval", "study", "epsilon", "mode", "exact", "tags",
    "figure", "rounds", "planned", "hospitals", "started", "minutes", "seed", "strategy", "sweep",
)  # fmt: skip
#: A page of 1280 pixels holds these; when a run began, its name says.
_USUAL = ("run", "state", "released", "interval", "study", "epsilon", "mode", "exact")
#: Of columns whose titles or texts are long, in pixels.
_WIDTHS = {
    "run": 142, "state": 70, "released": 102, "interval": 102, "study": 118, "epsilon": 40,
    "mode": 92, "exact": 120,
}  # fmt: skip
_HEIGHT = 560  # pixels; more rows scroll


def show_overview(page: Page) -> None:
    """Shows all runs, and leads to the ones that are chosen."""
    runs = page.views.runs()
    if not runs:
        st.info(say("runs.none"), icon=":material/info:")
        return
    show_open_alerts(page.views.alerts())
    show_running(page)
    tags = tags_of(tuple(page.views.notes()))
    found = found_runs(runs, tags, _filter(runs, tags))
    st.caption(say("runs.found", found=len(found), number=len(runs)))
    if not found:
        st.info(say("runs.nothing_fits"), icon=":material/filter_alt_off:")
        return
    _lead_on([found[place].run_id for place in _table(found, tags)])
    if any(run.simulation and run.exact is not None for run in found):
        st.caption(say("runs.exact_note"))


def _filter(runs: Sequence[RunSummary], tags: Tags) -> RunFilter:
    """Asks what the table is narrowed to."""
    first, second, third = st.columns([2, 1, 1])
    text = first.text_input(say("runs.search"), key="runs.text", help=say("runs.search_help"))
    states = second.multiselect(
        say("runs.state"), sorted({run.state for run in runs}), key="runs.states"
    )
    studies = third.multiselect(
        say("runs.study"), sorted({run.study_name for run in runs}), key="runs.studies"
    )
    with st.expander(say("runs.more_filters")):
        left, middle, right = st.columns(3)
        modes = left.multiselect(say("runs.mode"), sorted(set(map(mode_name, runs))))
        known = sorted({tag for own in tags.values() for tag in own})
        wanted = middle.multiselect(say("runs.tags"), known, disabled=not known)
        promised = sorted({run.epsilon for run in runs if run.epsilon is not None})
        epsilon = None
        if len(promised) > 1:
            whole = promised[0], promised[-1]
            low, high = right.select_slider(say("runs.epsilon"), promised, value=whole)
            epsilon = None if (low, high) == whole else (low, high)
    return RunFilter(
        text=text, studies=tuple(studies), states=tuple(states), modes=tuple(modes),
        tags=tuple(wanted), epsilon=epsilon,
    )  # fmt: skip


def _table(runs: Sequence[RunSummary], tags: Tags) -> list[int]:
    """Shows the table; returns the places of the rows that are selected."""
    simulated = any(run.simulation for run in runs)
    with st.popover(say("runs.columns"), icon=":material/view_column:"):
        shown = st.multiselect(
            say("runs.columns"),
            _COLUMNS,
            default=_shown_at_first(simulated=simulated, tagged=any(tags.values())),
            format_func=lambda name: say(f"runs.column_{name}"),
            key="runs.columns",
        )
    several = any(run.folder for run in runs)
    table = pd.DataFrame(run_rows(runs, tags))
    event = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=min(_HEIGHT, 38 + 35 * len(runs)),
        column_order=[name for name in _COLUMNS if name in shown or (name == "folder" and several)],
        column_config=_configured(),
        on_select="rerun",
        selection_mode="multi-row",
        key="runs.table",
    )
    selection = event.get("selection", {}) if isinstance(event, dict) else event.selection
    return [place for place in selection["rows"] if place < len(runs)]


def _shown_at_first(*, simulated: bool, tagged: bool) -> list[str]:
    usual = [name for name in _USUAL if simulated or name != "exact"]
    return [*usual, "tags"] if tagged else usual


def _configured() -> dict[str, Any]:
    column = st.column_config
    titles = {name: say(f"runs.column_{name}") for name in _COLUMNS}
    kinds: dict[str, Any] = {
        name: column.TextColumn(title, width=_WIDTHS.get(name)) for name, title in titles.items()
    }
    return kinds | {
        "epsilon": column.NumberColumn(titles["epsilon"], format="%.3g", width=_WIDTHS["epsilon"]),
        "released": column.NumberColumn(
            titles["released"], format="%.3f", width=_WIDTHS["released"]
        ),
        "exact": column.NumberColumn(
            titles["exact"], format="%.3f", help=say("runs.exact_note"), width=_WIDTHS["exact"]
        ),
        "rounds": column.NumberColumn(titles["rounds"]),
        "planned": column.NumberColumn(titles["planned"]),
        "hospitals": column.NumberColumn(titles["hospitals"]),
        "started": column.DatetimeColumn(titles["started"], format="YYYY-MM-DD HH:mm"),
        "minutes": column.NumberColumn(titles["minutes"], format="%.1f"),
        "seed": column.NumberColumn(titles["seed"], format="%d"),
        "tags": column.ListColumn(titles["tags"]),
    }


def _lead_on(names: Sequence[str]) -> None:
    """Offers what can be done with the selected rows: open one, compare several."""
    if not names:
        st.caption(say("runs.select"))
    elif len(names) == 1:
        if st.button(plain(say("runs.open", run=names[0])), type="primary"):
            st.query_params["run"] = names[0]
            st.rerun()
    elif st.button(say("runs.compare", number=len(names)), type="primary"):
        st.query_params["compare"] = ",".join(names)
        st.rerun()
