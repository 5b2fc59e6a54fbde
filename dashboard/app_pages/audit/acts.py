"""Acts of people: who did what when, refused ones too, found by person, outcome, run and day."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from coordinator.views.governance import GovernanceView
from dashboard.app_pages.audit.choices import midnight, names_in
from dashboard.elements.pieces import show_lines
from dashboard.reading.views import DashboardViews
from dashboard.rows import audit, words
from dashboard.texts import say

#: Outcomes of an act.
OUTCOMES = ("done", "proposed", "refused", "failed", "allowed")
#: So many acts are shown.
_MOST = 100


def show_acts(views: DashboardViews, seen: GovernanceView) -> None:
    """Shows the newest acts of those that are asked for."""
    person, outcome, run, since = st.columns(4)
    whole = say("audit.any")
    who = person.selectbox(
        say("audit.person"), names_in(seen), index=None, placeholder=whole, key="acts person"
    )
    came = outcome.selectbox(
        say("audit.outcome"), OUTCOMES, index=None, placeholder=whole, key="acts outcome",
        format_func=lambda name: say(f"audit.is_{name}"),
    )  # fmt: skip
    about = run.selectbox(
        say("audit.run"), [one.run_id for one in views.runs()], index=None, placeholder=whole,
        key="acts run",
    )  # fmt: skip
    begin = since.date_input(
        say("audit.since_day"), value=datetime.now(UTC).date() - timedelta(days=90),
        key="acts since",
    )  # fmt: skip
    found = views.acts(run=about, person=who, since=midnight(begin))
    if came is not None:
        found = [act for act in found if act.outcome == came]
    if not found:
        st.info(say("audit.no_act"), icon=":material/info:")
        return
    show_lines(audit.act_rows(found[-_MOST:]))
    st.caption(say("audit.acts_shown", shown=min(_MOST, len(found)), number=len(found)))
    st.caption(words.plain(say("audit.about_acts")))
