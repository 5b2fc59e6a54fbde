"""Cosigners of the log: hospitals and witnesses, how far each has signed, and the quorum."""

import streamlit as st

from coordinator.views.log.cosigners import CosignedLog
from dashboard.elements.pieces import show_lines, show_statement
from dashboard.rows import audit, words
from dashboard.texts import say


def show_cosigners(log: CosignedLog) -> None:
    """Shows whether a quorum has cosigned the newest head, and how far each cosigner has."""
    st.subheader(say("audit.cosigned"))
    for fault in log.faults:
        st.error(words.plain(fault), icon=":material/error:")
    show_statement(audit.cosigned_statement(log))
    if log.cosigners:
        show_lines(audit.cosigner_rows(log))
