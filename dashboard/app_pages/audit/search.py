"""The search in words over the whole log, page by page, the newest entries first."""

import streamlit as st

from coordinator.views.governance import GovernanceView
from coordinator.views.log.search import LogPage, LogQuery
from dashboard.app_pages.audit.choices import midnight, names_in
from dashboard.reading.views import DashboardViews
from dashboard.rows import audit
from dashboard.rows.words import plain
from dashboard.texts import say

_AT = "where the search goes on"
_LIMIT = 50
#: Columns that are shown, the first most telling, and their widths in pixels: a page of 1280 holds
#: them. Whoever chooses an entry reads the others below.
_WIDTHS = {"index": 55, "what_was_done": 275, "by_whom": 135, "run": 145, "time": 155}


def show_search(views: DashboardViews, seen: GovernanceView) -> int | None:
    """Shows the search's fields and the entries that it finds; returns one that was chosen."""
    query = _query(views, seen)
    places = _places(query)
    page = views.search_log(query, places[-1], _LIMIT)
    chosen = _show_found(page)
    _show_paging(page, places)
    return chosen


def _query(views: DashboardViews, seen: GovernanceView) -> LogQuery:
    words = st.text_input(
        say("audit.words"), placeholder=say("audit.words_example"), key="log words"
    )
    run, person, hospital, since, until = st.columns(5)
    whole = say("audit.any")
    chosen_run = run.selectbox(
        say("audit.run"), [one.run_id for one in views.runs()], index=None, placeholder=whole,
        key="log run",
    )  # fmt: skip
    who = person.selectbox(
        say("audit.person"), names_in(seen), index=None, placeholder=whole, key="log person"
    )
    site = hospital.selectbox(
        say("audit.hospital"), [one.site for one in views.sites()], index=None, placeholder=whole,
        key="log hospital",
    )  # fmt: skip
    begin = since.date_input(say("audit.since_day"), value=None, key="log since")
    end = until.date_input(say("audit.until_day"), value=None, key="log until")
    return LogQuery(
        words=words,
        run=chosen_run or "",
        person=who or "",
        hospital=site or "",
        since=midnight(begin) or "",
        until=midnight(end, 1) or "",
    )


def _places(query: LogQuery) -> list[int | None]:
    """Returns where the pages of this search began, the present one last."""
    known: tuple[LogQuery, list[int | None]] | None = st.session_state.get(_AT)
    if known is None or known[0] != query:
        known = (query, [None])
        st.session_state[_AT] = known
    return known[1]


def _show_found(page: LogPage) -> int | None:
    if not page.entries:
        st.info(say("audit.nothing_found"), icon=":material/search_off:")
        return None
    has_acts = any(one.act for one in page.entries)
    shown = {say(f"audit.{name}"): width for name, width in _WIDTHS.items()
             if has_acts or name != "by_whom"}  # fmt: skip
    chosen = st.dataframe(
        audit.entry_rows(page.entries),
        hide_index=True,
        width="stretch",
        column_order=list(shown),
        column_config={name: st.column_config.Column(width=width) for name, width in shown.items()},
        on_select="rerun",
        selection_mode="single-row",
        key="log entries",
    )
    picked = chosen.selection.rows
    return page.entries[picked[0]].entry.index if picked else None


def _show_paging(page: LogPage, places: list[int | None]) -> None:
    newer, older, told = st.columns([1, 1, 4], vertical_alignment="center")
    if len(places) > 1 and newer.button(say("audit.newer"), icon=":material/arrow_upward:"):
        places.pop()
        st.rerun()
    if page.next is not None and older.button(say("audit.older"), icon=":material/arrow_downward:"):
        places.append(page.next)
        st.rerun()
    told.caption(plain(audit.page_sentence(page, _LIMIT)))
