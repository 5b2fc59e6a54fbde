"""Verify now: all records against the signed log, on demand; the result is kept with its size."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from compliance.facts.dossier import LogVerification
from compliance.facts.formatting import Format, show
from compliance.reports.document import Tone
from compliance.storage.clock import timestamp
from dashboard.elements.pieces import show_statement
from dashboard.reading.views import DashboardViews
from dashboard.rows import audit
from dashboard.rows.words import plain
from dashboard.texts import say

_RESULT = "verified log"
#: Seconds between two words of progress: a browser need not be told of every entry.
_TELL_EVERY = 0.3


@dataclass(frozen=True, kw_only=True)
class VerifiedLog:
    """A verification: when it began, how many entries the log then had, how long it took."""

    at: str
    size: int
    seconds: float
    found: LogVerification


def show_verification(views: DashboardViews, size: int) -> None:
    """Shows the newest result of this session, what came since, and the button.

    Args:
        views: of the store.
        size: how many entries the log has now.
    """
    st.subheader(say("audit.verification"), anchor=False)
    if st.button(say("audit.verify"), icon=":material/verified:", disabled=not size):
        st.session_state[_RESULT] = _verified(views, size)
    result: VerifiedLog | None = st.session_state.get(_RESULT)
    if result is None:
        st.caption(plain(say("audit.not_verified", size=f"{size:,}")))
        return
    statement = audit.verified_statement(result.found, result.size)
    show_statement(statement)
    for fault in result.found.faults:
        st.error(plain(fault), icon=":material/error:")
    if statement.tone is Tone.GOOD:
        st.caption(plain(say("audit.key", public=result.found.key)))
    when, took = show(result.at, Format.TIME), show(result.seconds, Format.SECONDS)
    st.caption(plain(say("audit.verified_at", when=when, seconds=took)))
    if size != result.size:
        st.warning(say("audit.since", number=size - result.size), icon=":material/update:")


def _verified(views: DashboardViews, size: int) -> VerifiedLog:
    at, began = timestamp(), time.monotonic()
    with st.status(say("audit.verifying")) as status:
        found = views.verification(told=_teller(status.update))
        status.update(label=say("audit.verification_ended"), state="complete")
    return VerifiedLog(at=at, size=size, seconds=time.monotonic() - began, found=found)


def _teller(update: Callable[..., None]) -> Callable[[str], None]:
    """Returns a function that shows what is checked, now and then."""
    last = 0.0

    def tell(what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL_EVERY:
            last = time.monotonic()
            update(label=say("audit.checking", what=what))

    return tell
