"""The audit trail of a run: its entries in the log, and the proof that one of them stands there."""

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format, show
from compliance.reports.evidence import entry_words
from dashboard.reading.views import DashboardViews
from dashboard.rows import audit, words


def show_trail(dossier: Dossier) -> None:
    """Shows the entries of a run in the log, which can be searched."""
    st.subheader("Audit trail")
    words = st.text_input("Search the entries of this run", placeholder="for example: result")
    found = audit.found_entries(dossier.audit.entries, words)
    st.caption(f"{len(found)} of {len(dossier.audit.entries)} entries; root {dossier.audit.root}")
    rows = [
        {
            "Index": entry.index,
            "Time": show(entry.time, Format.TIME),
            "Type": entry.type,
            "What was done": entry_words(entry.type),
            "Digest of the details": entry.payload,
            "Leaf": entry.leaf_hash,
        }
        for entry in found
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def show_proof(views: DashboardViews, dossier: Dossier, size: int) -> None:
    """Offers the proof that an entry stands in the log, for those who do not have the log.

    ``size`` is that of the log.
    """
    if not dossier.audit.entries:
        return
    st.subheader("Proof of one entry")
    index = st.number_input(
        "Entry",
        min_value=0,
        max_value=size - 1,
        value=audit.told_entry(dossier.audit),
        step=1,
        key=f"entry {dossier.run_id}",
    )
    made = views.proof(index)
    st.markdown(words.plain(audit.proof_sentence(made)))
    st.download_button(
        "Download the proof",
        data=made.proof.to_bytes,
        file_name=f"entry-{index}.tlog-proof",
        mime="text/plain",
        on_click="ignore",
    )
    st.caption(words.plain(audit.PROOF))
