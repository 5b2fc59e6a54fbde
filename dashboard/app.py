"""The dashboard: ten pages over a folder of runs, read through the coordinator's views.

::

    streamlit run dashboard/app.py -- --out FOLDER

It asks no other host for anything. What pages say is in ``rows`` and ``texts``, what each shows in
``app_pages``; this file says who looks at which page.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from coordinator.runs.admin_socket.asking import ask, is_served
from coordinator.runs.person_acts import has_people
from coordinator.views.several_runs.comparisons import baselines_in, strategies_in
from dashboard.app_pages import (
    approvals,
    audit,
    drift,
    fairness,
    models,
    reports,
    runs,
    sites,
    today,
    utility,
)
from dashboard.app_pages.utility.comparisons import show_baselines, show_strategies
from dashboard.app_pages.utility.page import beside
from dashboard.elements.matters import keep_entries
from dashboard.elements.refreshed import show_refusal, show_silence
from dashboard.page import Page, Tools
from dashboard.reading.folders import views_of
from dashboard.rows.words import plain
from dashboard.server import script_timer, viewer_now
from dashboard.texts import LANGUAGES, say, speak
from protocol.errors import FederationError, PolicyRefused, StoreBroken, StoreSilent

#: What draws each page, by the name in its address.
PAGES: Mapping[str, Callable[[Page], None]] = {
    "today": today.show,
    "runs": runs.show,
    "utility": utility.show,
    "fairness": fairness.show,
    "drift": drift.show,
    "models": models.show,
    "audit": audit.show,
    "reports": reports.show,
    "sites": sites.show,
    "approvals": approvals.show,
}
#: What no theme can say: the chosen one of several has the colour of text, for its contrast.
_STYLE = '[data-variant="segmented_control"][data-selected] { color: inherit !important; }'
_ICON = (Path(__file__).parent / ".streamlit" / "icon.svg").read_text(encoding="utf-8")
_ICONS = {
    "today": "today",
    "runs": "list",
    "utility": "monitoring",
    "fairness": "balance",
    "drift": "trending_down",
    "models": "deployed_code",
    "audit": "fact_check",
    "reports": "description",
    "sites": "local_hospital",
    "approvals": "how_to_reg",
}


def main(page: Page) -> None:
    """Draws the navigation, and the page that it leads to."""
    _navigate(lambda name: show_page(name, page), lambda: _show_viewer(page))


def show_page(name: str, page: Page) -> None:
    """Draws one page under its title; what is refused or cannot be read becomes a sentence."""
    st.title(say(f"navigation.{name}"), anchor=False)
    try:
        with page.tools.timed(name):
            PAGES[name](page)
    except StoreSilent:
        show_silence(page.tools.answers)
    except FederationError as error:
        show_refusal(error, page.viewer.name)


def _show_unread(name: str, error: StoreBroken, answers: Callable[[], bool]) -> None:
    """Draws a page of a store that cannot be read: its title, and why."""
    st.title(say(f"navigation.{name}"), anchor=False)
    if isinstance(error, StoreSilent):
        show_silence(answers)
    else:
        st.error(plain(str(error)), icon=":material/error:")


def _navigate(draw: Callable[[str], None], show_beside: Callable[[], None]) -> None:
    """Draws the navigation with something below it, and the page that it leads to."""
    st.html(f"<style>{_STYLE}</style>")
    _choose_language()
    # Without groups: their headings would stand between the items of one list (WCAG 1.3.1).
    entries = {name: _entry(name, draw) for name in PAGES}
    keep_entries(entries)
    chosen = st.navigation(list(entries.values()), expanded=True)
    with st.sidebar:
        show_beside()
    chosen.run()


def _entry(name: str, draw: Callable[[str], None]) -> st.Page:
    return st.Page(
        partial(draw, name),
        title=say(f"navigation.{name}"),
        icon=f":material/{_ICONS[name]}:",
        url_path="" if name == "today" else name,
        default=name == "today",
    )


def _choose_language() -> None:
    """Takes the language of the address, else of the session, else of the browser."""
    wanted = st.query_params.get("lang") or st.session_state.get("language") or st.context.locale
    spoken = speak(wanted)
    names = list(LANGUAGES)
    with st.sidebar:
        chosen = st.selectbox(
            say("navigation.language"),
            names,
            index=names.index(spoken),
            format_func=lambda name: LANGUAGES[name],
        )
    st.session_state["language"] = speak(chosen)


def _show_viewer(page: Page) -> None:
    if page.viewer.name:
        st.caption(say("navigation.signed_in", name=plain(page.viewer.name)))
        if st.button(say("navigation.log_out"), icon=":material/logout:"):
            page.viewer.log_out()  # the server then sends every open page to the login
            st.stop()
    else:
        st.caption(say("navigation.without_login"))


def run(arguments: Sequence[str]) -> None:
    """Opens the folder named by ``--out`` and draws its pages; a refusal becomes a sentence."""
    # An icon of our own: those of the navigation's entries would be fetched from another host.
    st.set_page_config(page_title="Collegium", page_icon=_ICON, layout="wide")
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--out", type=Path, action="append")
    options, _ = parser.parse_known_args(list(arguments))
    folders = options.out or [Path("demo-out")]
    timed, answers = script_timer(), partial(_answers, folders)
    try:
        with timed("opening"):
            viewer = viewer_now(lambda: any(map(has_people, folders)))
            views = views_of(folders)
    except PolicyRefused as error:
        st.error(plain(str(error)), icon=":material/lock:")
    except StoreBroken as error:
        unread = error
        _navigate(lambda name: _show_unread(name, unread, answers), lambda: None)
    except FederationError as error:
        _show_without_runs(folders[0], error)
    else:
        tools = Tools(last_seen=partial(_last_seen, folders[0]), timed=timed, answers=answers)
        main(Page(views=viewer.guard(views), viewer=viewer, tools=tools))


def _answers(folders: Sequence[Path]) -> bool:
    """Whether the database of each folder answers, also where it then cannot be read."""
    try:
        views_of(folders)
    except StoreSilent:
        return False
    except FederationError:
        return True
    return True


def _last_seen(home: Path) -> Mapping[str, float] | None:
    """Returns when the service heard from each hospital; None where none runs or answers."""
    if not is_served(home):
        return None
    try:
        seen: Mapping[str, float] = ask(home, "GET", "/status")["last_seen"]
    except FederationError:
        return None
    return seen


def _show_without_runs(out: Path, error: FederationError) -> None:
    """Shows the comparisons that lie in a folder without runs; without any, why it has no runs."""
    compared = [
        found
        for found in (
            beside(partial(baselines_in, out), show_baselines),
            beside(partial(strategies_in, out), show_strategies),
        )
        if found is not None
    ]
    for draw in compared:
        draw()
    if not compared:
        st.error(plain(str(error)), icon=":material/error:")


if __name__ == "__main__":
    run(sys.argv[1:])
