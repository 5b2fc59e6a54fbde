"""People, their roles and keys, and the review of who may do what."""

from functools import partial

import streamlit as st

from compliance.facts.formatting import Format, show
from compliance.governance.acts import ActRequest
from coordinator.views.governance import GovernanceView
from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.elements.pieces import show_lines
from dashboard.page import Page
from dashboard.rows.consortium import approvals
from dashboard.rows.words import plain
from dashboard.texts import say


def show_people(page: Page, seen: GovernanceView) -> None:
    """Shows the access review's lines, and the form that signs it."""
    st.subheader(say("approvals.review"), anchor=False)
    if not seen.people:
        st.info(say("approvals.no_people"), icon=":material/info:")
        st.code(
            "collegium people key --to KEYFILE\n"
            "collegium people found NAME --home FOLDER --as KEYFILE",
            language=None,
            wrap_lines=True,
        )
        return
    show_lines(approvals.review_rows(seen.review))
    for note in seen.review.notes:
        st.warning(plain(note), icon=":material/warning:")
    if seen.reviewed_at is not None:
        when = show(seen.reviewed_at, Format.TIME)
        st.caption(plain(say("approvals.reviewed", when=when, who=seen.reviewed_by)))
    sign = OfferedAct(
        key="review",
        action="access.review",
        button=say("approvals.review_button"),
        will=say("approvals.review_will", number=len(seen.review.lines)),
        command="collegium people review --sign --note TEXT --home FOLDER --as KEYFILE",
        about=seen.review.digest,
    )
    with st.expander(say("approvals.sign_review")):
        offer_act(page.viewer, sign, partial(_reviewed, seen))


def _reviewed(seen: GovernanceView) -> ActRequest:
    note = st.text_area(
        say("acts.note"), max_chars=2000, help=say("acts.note_help"), key="reviewed"
    )
    return ActRequest(
        action="access.review", subject_kind="policy", subject=f"version {seen.policy.version}",
        details={"digest": seen.review.digest, "note": note.strip()},
    )  # fmt: skip
