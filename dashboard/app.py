"""One Streamlit page over a folder of runs: figures, reports, audit, drift and comparisons.

::

    streamlit run dashboard/app.py -- --out FOLDER

The page only reads, only through the coordinator's views, and asks no other
host for anything. What it says is in ``presentation``, what each part
shows in ``parts``; this file says which part is looked at.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import streamlit as st

from coordinator.views.several_runs.comparisons import baselines_in, strategies_in
from coordinator.views.views import open_views
from dashboard import presentation
from dashboard.parts.alerts import show_open_alerts
from dashboard.parts.audit import show_audit
from dashboard.parts.comparisons import show_baselines, show_strategies
from dashboard.parts.drift import show_drift
from dashboard.parts.one_run import show_run
from dashboard.parts.reports import show_reports
from dashboard.presentation import DashboardViews
from protocol.errors import FederationError

Found = TypeVar("Found")


def main(views: DashboardViews) -> None:
    """Draws the page about the runs that ``views`` knows."""
    st.markdown(":primary[**COLLEGIUM**]")
    show_open_alerts(views.alerts())
    parts: dict[str, Callable[[], object]] = {
        "Runs": partial(show_run, views),
        "Reports": partial(show_reports, views),
        "Audit": partial(show_audit, views),
    }
    if calendars := views.calendars():
        parts["Drift"] = partial(show_drift, views, calendars)
    if compared := _beside(views.baselines, show_baselines):
        parts["Baselines"] = compared
    if compared := _beside(views.strategies, show_strategies):
        parts["Strategies"] = compared
    parts[_chosen(list(parts))]()


def _beside(
    read: Callable[[], Found | None], drawn: Callable[[Found], object]
) -> Callable[[], object] | None:
    """Returns what draws a comparison, or why it cannot be read; None where there is none."""
    try:
        found = read()
    except FederationError as error:
        return partial(st.error, presentation.plain(str(error)), icon=":material/error:")
    return None if found is None else partial(drawn, found)


def _chosen(parts: Sequence[str]) -> str:
    """Returns the part of the page that is looked at."""
    chosen = st.segmented_control("Part", parts, default=parts[0], label_visibility="collapsed")
    return chosen or parts[0]


def run(arguments: Sequence[str]) -> None:
    """Opens the folder named by ``--out`` and draws its page; a refusal becomes a sentence."""
    # No page icon: Streamlit would fetch it from another host.
    st.set_page_config(page_title="Collegium", layout="wide")
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--out", type=Path, default=Path("demo-out"))
    options, _ = parser.parse_known_args(list(arguments))
    try:
        views = open_views(options.out)
    except FederationError as error:
        beside = (
            _beside(partial(baselines_in, options.out), show_baselines),
            _beside(partial(strategies_in, options.out), show_strategies),
        )
        for compared in beside:
            if compared is not None:
                compared()
        if beside == (None, None):
            st.error(presentation.plain(str(error)), icon=":material/error:")
        return
    try:
        main(views)
    except FederationError as error:
        st.error(presentation.plain(str(error)), icon=":material/error:")
    finally:
        views.close()


if __name__ == "__main__":
    run(sys.argv[1:])
