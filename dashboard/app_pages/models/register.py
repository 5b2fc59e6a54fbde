"""The register on the page: each model with its versions, gates and history."""

import streamlit as st

from coordinator.views.several_runs.models import ModelLineView
from dashboard.elements.pieces import show_lines
from dashboard.rows.figures import model_register as rows
from dashboard.texts import say


def show_register(lines: tuple[ModelLineView, ...]) -> ModelLineView | None:
    """Shows the model that is chosen; returns it, None where there is none."""
    st.subheader(say("models.register"), anchor=False)
    if not lines:
        st.info(say("models.empty"), icon=":material/info:")
        return None
    names = {line.line.name: line for line in lines}
    chosen = names[st.selectbox(say("models.name"), list(names), key="registered model")]
    st.dataframe(rows.version_rows(chosen), hide_index=True, width="stretch")
    judged, serving, history = st.tabs(
        [say("models.gates"), say("models.serving"), say("models.history")]
    )
    with judged:
        _show_gates(chosen)
    with serving:
        for sentence in rows.disagreement_lines(chosen):
            st.warning(sentence, icon=":material/warning:")
        show_lines(rows.serving_rows(chosen))
        st.caption(say("models.served_note"))
    with history:
        show_lines(rows.history_rows(chosen))
    return chosen


def _show_gates(line: ModelLineView) -> None:
    judged = [one for one in line.versions if one.gates]
    if not judged:
        st.caption(say("models.none_judged"))
        return
    labels = {one.snapshot.digest: rows.version_label(one) for one in judged}
    digest = st.selectbox(
        say("models.version"), list(labels), format_func=lambda one: labels[one], key="judged"
    )
    (chosen,) = (one for one in judged if one.snapshot.digest == digest)
    show_lines(rows.gate_rows(chosen.gates))
    st.caption(say("models.attacks_note"))
    show_lines(rows.attack_rows(chosen))
    if any(one.stand_in for one in chosen.attacks):
        st.warning(say("models.attacked_stand_in"), icon=":material/warning:")
