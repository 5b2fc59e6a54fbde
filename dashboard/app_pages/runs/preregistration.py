"""The preregistration of a run: what was decided, deviations, and a form to declare one."""

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.facts.dossier.preregistration import (
    PreregistrationOutcome,
    preregistration_outcome,
)
from compliance.governance.acts import ActRequest
from compliance.reports.run_tables import criteria_table, earlier_runs_table
from coordinator.governance.run_deviations import MOST_LETTERS
from coordinator.views.one_run.preregistered import DEVIATE
from dashboard.elements.pieces import show_small_table, show_table
from dashboard.page import Page
from dashboard.rows.words import plain
from dashboard.texts import say
from protocol.errors import FederationError


def show_preregistration(page: Page, dossier: Dossier) -> None:
    """Shows what became of a run's preregistration; nothing of a study without one."""
    said = preregistration_outcome(dossier)
    if said is None:
        return
    st.subheader(say("runs.preregistration"))
    st.markdown(plain(said.sentence))
    st.caption(plain(said.timing))
    for one in said.hypotheses:
        st.markdown(f"**{plain(one.hypothesis.name)}**: {plain(one.words)}")
        st.caption(plain(one.hypothesis.text))
    show_small_table(criteria_table(said))
    _show_deviations(said)
    if said.facts.earlier:
        show_table(earlier_runs_table(said))
    if page.viewer.may(DEVIATE):
        _form(page, dossier.run_id)
    else:
        st.caption(say("runs.deviations_need_people"))


def _show_deviations(said: PreregistrationOutcome) -> None:
    st.subheader(say("runs.deviations"))
    for planned in said.contingencies:
        st.caption(plain(planned.words))
    for found in said.found:
        st.markdown(f"- {plain(found.text)}")
    for declared in said.declared:
        st.markdown(plain(declared.text))
        st.caption(plain(said.declared_text(declared)))
    if not said.found and not said.declared:
        st.caption(say("runs.no_deviations"))


def _form(page: Page, run: str) -> None:
    with st.form("run.deviate", clear_on_submit=True):
        text = st.text_area(say("runs.deviation"), max_chars=MOST_LETTERS)
        pressed = st.form_submit_button(say("runs.declare"), disabled=not page.viewer.signs)
    if not pressed or not text.strip():
        return
    details = {"text": " ".join(text.split())}
    request = ActRequest(action=DEVIATE, subject_kind="run", subject=run, details=details)
    try:
        page.viewer.perform(request)
    except FederationError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()
