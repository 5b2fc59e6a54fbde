"""Costs and gains of another epsilon: asked in a form, computed when they are asked for."""

import json
from collections.abc import Sequence
from functools import lru_cache

import streamlit as st
from pydantic import ValidationError

from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.facts.dossier import Dossier
from compliance.facts.privacy_utility import NONE, UtilityPoint
from compliance.planning.what_if import SignedBudget, WhatIf, what_if
from dashboard.elements.pieces import show_lines
from dashboard.rows import words
from dashboard.rows.figures.what_if import conclusion, figure_rows, share_rows
from dashboard.texts import say
from protocol.errors import StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study

#: A hospital, the epsilon of its budget, and what a run took of it.
Signed = tuple[str, float, float | None]
#: The epsilons that can be asked about: beyond them nothing is learned, or nobody protected.
_LEAST, _MOST, _USUAL = 0.001, 100.0, 2.0
_LEAST_AUROC, _MOST_AUROC = 0.55, 0.99


def show_what_if(dossier: Dossier, points: Sequence[UtilityPoint]) -> None:
    """Shows the form, and what the epsilon that was asked about would cost and give."""
    st.subheader(say("what_if.title"))
    try:
        study = Study.model_validate(dossier.study)
    except ValidationError:
        st.info(say("what_if.unreadable"), icon=":material/info:")
        return
    if not isinstance(study.privacy, PatientPrivacy):
        st.info(say("what_if.needs_privacy"), icon=":material/info:")
        return
    st.caption(say("what_if.explained"))
    with st.form("what-if", border=False):
        first, second = st.columns(2)
        epsilon = first.number_input(say("what_if.asked"), _LEAST, _MOST, _USUAL, format="%.3g")
        auroc = second.number_input(
            say("what_if.without_noise"), _LEAST_AUROC, _MOST_AUROC, _known_auroc(points),
            step=0.01, format="%.2f", help=say("what_if.without_noise_help"),
        )  # fmt: skip
        if st.form_submit_button(say("what_if.calculate"), icon=":material/calculate:"):
            st.session_state["what if"] = (dossier.study_digest, epsilon, auroc)
    asked = st.session_state.get("what if")
    if asked is not None and asked[0] == dossier.study_digest:
        _show_answer(dossier, study.privacy.epsilon, asked[1], asked[2])


def _show_answer(dossier: Dossier, now: float, epsilon: float, auroc: float) -> None:
    text = json.dumps(dossier.study)
    signed = tuple(
        (s.site, s.privacy.budget_epsilon, s.privacy.run_share)
        for s in dossier.sites
        if s.privacy.budget_epsilon is not None
    )
    bar = st.progress(0.0, say("what_if.calculating"))
    try:
        own = _answer(text, now, auroc, signed)
        bar.progress(0.5, say("what_if.calculating"))
        asked = _answer(text, epsilon, auroc, signed)
    except StudyRefused as error:
        st.warning(words.plain(str(error)), icon=":material/block:")
        return
    finally:
        bar.empty()
    booked = {site.site: site.privacy.budget_share for site in dossier.sites}
    st.markdown(f"**{words.plain(conclusion(own, asked))}**")
    show_lines(figure_rows(own, asked))
    show_lines(share_rows(own, asked, booked))
    st.caption(say("what_if.assumed"))


@lru_cache(maxsize=256)
def _answer(study: str, epsilon: float, auroc: float, signed: tuple[Signed, ...]) -> WhatIf:
    """Returns the answer for one epsilon, computed once for all who ask."""
    budgets = {
        site: SignedBudget(epsilon=budget, run_share=share) for site, budget, share in signed
    }
    return what_if(Study.model_validate_json(study), epsilon, budgets, auroc=auroc)


def _known_auroc(points: Sequence[UtilityPoint]) -> float:
    """Returns what a run without privacy reached, if there is one; else the planner's guess."""
    known = [p.value for p in points if p.mode == NONE and p.figure.name == "auroc"]
    found = sum(known) / len(known) if known else ASSUMED_AUROC
    return round(min(_MOST_AUROC, max(_LEAST_AUROC, found)), 2)
