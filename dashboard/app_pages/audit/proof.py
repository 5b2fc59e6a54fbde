"""The proof that one entry stands in the log, for those who do not have the log."""

import streamlit as st

from dashboard.reading.views import DashboardViews
from dashboard.rows import audit, words
from dashboard.texts import say


def show_proof(views: DashboardViews, chosen: int | None, size: int) -> None:
    """Offers the proof of an entry: of the one that was chosen in the table, else by its number.

    Args:
        views: of the store.
        chosen: the number of the entry that was chosen.
        size: that of the log.
    """
    if not size:
        return
    st.subheader(say("audit.proof"), anchor=False)
    index = st.number_input(
        say("audit.entry"),
        min_value=0,
        max_value=size - 1,
        value=size - 1 if chosen is None else chosen,
        step=1,
        key=f"entry {chosen}",
    )
    made = views.proof(index)
    st.markdown(words.plain(audit.proof_sentence(made)))
    st.caption(words.plain(audit.digests_sentence(made)))
    st.download_button(
        say("audit.download_proof"),
        data=made.proof.to_bytes,
        file_name=f"entry-{index}.tlog-proof",
        mime="text/plain",
        on_click="ignore",
    )
    st.caption(words.plain(say("audit.about_proof")))
