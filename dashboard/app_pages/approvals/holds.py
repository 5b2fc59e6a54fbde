"""Legal holds: placed by one person with a reason, lifted by two."""

from functools import partial

import streamlit as st

from compliance.governance.acts import ActRequest
from compliance.governance.retention import Hold
from coordinator.views.governance import GovernanceView
from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.elements.pieces import show_lines
from dashboard.page import Page
from dashboard.rows.consortium import approvals
from dashboard.texts import say


def show_holds(page: Page, seen: GovernanceView) -> None:
    """Shows what is held and was, and the forms that place and lift."""
    st.subheader(say("approvals.holds"), anchor=False)
    if seen.holds:
        show_lines(approvals.hold_rows(seen.holds))
    else:
        st.info(say("approvals.no_hold"), icon=":material/info:")
    held = [one for one in seen.holds if one.lifted_at is None]
    with st.expander(say("approvals.place_hold")):
        place = OfferedAct(
            key="place hold",
            action="hold.place",
            button=say("approvals.place_button"),
            will=say("approvals.place_will"),
            command="collegium coordinator hold place --run RUN --reason TEXT --home FOLDER --as "
            "KEYFILE",
        )
        offer_act(page.viewer, place, partial(_placed, page))
    if held:
        with st.expander(say("approvals.lift_hold")):
            lift = OfferedAct(
                key="lift hold",
                action="hold.lift",
                button=say("approvals.lift_button"),
                will=say("approvals.lift_will"),
                command="collegium coordinator hold lift --run RUN --home FOLDER --as KEYFILE",
                about="\n".join(f"{one.kind} {one.subject} {one.reason}" for one in held),
            )
            offer_act(page.viewer, lift, partial(_lifted, held))


def _placed(page: Page) -> ActRequest:
    runs = page.views.approvals()
    studies = {one.study_digest: one.study_name for one in runs}
    subjects = [("run", one.run_id) for one in runs]
    subjects += [("study", digest) for digest in studies]
    labels = {
        ("run", one.run_id): f"{say('approvals.run')} {one.run_id} · {one.study_name}"
        for one in runs
    } | {
        ("study", digest): f"{say('approvals.study')} {name} · {digest[:16]}"
        for digest, name in studies.items()
    }
    chosen = st.selectbox(
        say("approvals.held"), subjects, format_func=lambda one: labels[one], key="held subject"
    )
    reason = st.text_area(
        say("approvals.reason"), max_chars=2000, help=say("acts.note_help"), key="held reason"
    )
    kind, subject = chosen or ("run", "")
    return ActRequest(
        action="hold.place", subject_kind=kind, subject=subject, details={"reason": reason.strip()}
    )


def _lifted(held: list[Hold]) -> ActRequest:
    labels = {(one.kind, one.subject): f"{one.kind} {one.subject[:32]}" for one in held}
    kind, subject = st.selectbox(
        say("approvals.held"), list(labels), format_func=lambda one: labels[one], key="lifted"
    )
    return ActRequest(action="hold.lift", subject_kind=kind, subject=subject)
