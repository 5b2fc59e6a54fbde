"""Runs while they run: how far each is, what its hospitals do, how long the rest may take.

Only where something runs the page looks again by itself, and only at this.
"""

from collections.abc import Sequence

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.facts.formatting import show as shown
from compliance.storage.clock import utc_now
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.elements.refreshed import show_refreshed
from dashboard.page import Page
from dashboard.rows.runs import elapsed_seconds, hospital_rows, remaining, share_done
from dashboard.rows.words import plain
from dashboard.texts import say

#: Seconds between two looks at a run under way.
_EVERY = 2.0
#: So many runs under way are shown above the table.
_MOST = 4


def show_running(page: Page) -> None:
    """Shows how far the runs under way are; nothing where none is."""
    names = [run.run_id for run in page.views.runs() if run.state == "running"][:_MOST]
    if names:
        show_refreshed(page.viewer, lambda: _show_bars(page, names), _EVERY)


def show_live(page: Page, dossier: Dossier) -> None:
    """Shows how far one run is, and what each of its hospitals does."""
    hospitals = [str(site["name"]) for site in dossier.study.get("sites", ())]
    show_refreshed(page.viewer, lambda: _show_one(page, dossier.run_id, hospitals), _EVERY)


def _running(page: Page, names: Sequence[str]) -> list[RunSummary]:
    """Returns the runs of these names; draws the whole page anew where one has ended."""
    found = [run for run in page.views.runs() if run.run_id in names]
    if any(run.state != "running" for run in found):
        st.rerun()
    return found


def _show_bars(page: Page, names: Sequence[str]) -> None:
    for run in _running(page, names):
        st.progress(share_done(run), text=f"{plain(run.study_name)} · {_place(run)} · {_left(run)}")


def _show_one(page: Page, name: str, hospitals: Sequence[str]) -> None:
    for run in _running(page, [name]):
        st.progress(share_done(run), text=_place(run))
        st.caption(f"{_elapsed(run)} {_left(run)}")
        if run.progress is not None and run.progress.waits_for:
            st.warning(plain(run.progress.waits_for), icon=":material/hourglass_empty:")
        rows = hospital_rows(run, hospitals)
        if rows:
            told = [
                {say("runs.hospital"): row["hospital"], say("runs.doing"): _doing(row["state"]),
                 say("runs.since"): row["since"]}
                for row in rows
            ]  # fmt: skip
            st.dataframe(told, hide_index=True, width="stretch", height=38 + 35 * min(8, len(rows)))


def _doing(state: str) -> str:
    return say(f"runs.doing_{state}")


def _place(run: RunSummary) -> str:
    if run.progress is not None:
        return plain(f"{run.progress.place} ({run.progress.state})")
    return say("runs.place", done=run.rounds_done, rounds=run.rounds)


def _elapsed(run: RunSummary) -> str:
    return say("runs.elapsed", time=shown(elapsed_seconds(run, utc_now()), Format.SECONDS))


def _left(run: RunSummary) -> str:
    seconds, how = remaining(run, utc_now())
    if seconds is None:
        return say("runs.left_unknown")
    return say(f"runs.left_{how}", time=shown(seconds, Format.SECONDS))
