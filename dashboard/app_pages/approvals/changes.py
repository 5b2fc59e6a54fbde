"""Changes that take two people: confirmed and withdrawn here, proposed by commands."""

from functools import partial

import streamlit as st

from compliance.governance.acts import ActRequest
from compliance.storage.clock import utc_now
from coordinator.views.governance import GovernanceView, WaitingChange
from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.elements.pieces import show_lines
from dashboard.page import Page
from dashboard.rows.consortium import approvals, matters
from dashboard.rows.words import plain
from dashboard.texts import say


def show_changes(page: Page, seen: GovernanceView) -> None:
    """Shows the changes that wait, each with what it would do; then those that were decided."""
    waiting = [one for one in seen.changes if one.state == "proposed"]
    st.subheader(say("approvals.changes"), anchor=False)
    if not waiting:
        st.info(say("approvals.none"), icon=":material/info:")
    for change in waiting:
        _show_change(page, seen, change)
    st.caption(plain(say("approvals.proposing")))
    decided = [one for one in seen.changes if one.state != "proposed"]
    if decided:
        with st.expander(say("approvals.decided", number=len(decided))):
            show_lines(approvals.decided_rows(decided))


def _show_change(page: Page, seen: GovernanceView, change: WaitingChange) -> None:
    with st.container(border=True):
        st.markdown(f"**{plain(approvals.change_title(change))}**")
        show_lines(approvals.change_details(change))
        about = f"{change.digest} {approvals.change_details(change)}"
        me, number = matters.person_in(seen, page.viewer.name), change.number
        confirm = OfferedAct(
            key=f"confirm {number}",
            action="change.confirm",
            button=say("approvals.confirm"),
            will=say("approvals.confirm_change_will", what=approvals.change_title(change)),
            command=f"collegium people confirm {number} --home FOLDER --as KEYFILE",
            about=about,
        )
        withdraw = OfferedAct(
            key=f"withdraw {number}",
            action="change.withdraw",
            button=say("approvals.withdraw"),
            will=say("approvals.withdraw_will", number=number),
            command=f"collegium people withdraw {number} --home FOLDER --as KEYFILE",
            about=about,
        )
        why = None if me is None else matters.may_confirm(change, seen, me, utc_now())
        if why is None:
            offer_act(page.viewer, confirm, partial(_confirmed, change))
        else:
            st.caption(plain(why))
        with st.expander(say("approvals.withdraw_heading", number=number)):
            offer_act(page.viewer, withdraw, partial(_withdrawn, change))


def _confirmed(change: WaitingChange) -> ActRequest:
    return ActRequest(
        action="change.confirm", subject_kind="change", subject=str(change.number),
        details={"digest": change.digest},
    )  # fmt: skip


def _withdrawn(change: WaitingChange) -> ActRequest:
    return ActRequest(action="change.withdraw", subject_kind="change", subject=str(change.number))
