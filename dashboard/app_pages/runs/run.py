"""One run: what came of it, what it cost, how it went, and where it lies."""

from dataclasses import replace
from functools import partial

import streamlit as st

from compliance.charts.descriptions import site_claim, unclaimed
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.facts.formatting import show as shown
from compliance.reports.sections import statements
from coordinator.views.opened.version import KeptVerification
from dashboard.app_pages.runs.columns import show_columns, show_shares
from dashboard.app_pages.runs.live import show_live
from dashboard.app_pages.runs.manifest import show_manifest
from dashboard.app_pages.runs.notes import show_notes
from dashboard.app_pages.runs.preregistration import show_preregistration
from dashboard.app_pages.runs.records import show_budget, show_rounds
from dashboard.elements.alerts import show_run_alerts
from dashboard.elements.figures import (
    show_calibration,
    show_fairness,
    show_groups,
    show_outcomes,
    show_thresholds,
    show_utility,
)
from dashboard.elements.pieces import show_metrics, show_statement
from dashboard.elements.run_drift import show_run_drift
from dashboard.page import Page
from dashboard.rows import runs, words
from dashboard.rows.runs import remedy_of
from dashboard.texts import say


def show_run(page: Page, name: str) -> None:
    """Shows the run that the address names; a unique beginning of its name is enough."""
    views = page.views
    found = views.verified()
    dossier = views.dossier(name)
    if found is not None:
        dossier = replace(dossier, verification=found.result)
        show_statement(statements.verification(dossier))
    _show_verified(dossier, found)
    _head(dossier)
    if dossier.state == "running":
        show_live(page, dossier)
    _headlines(dossier)
    show_preregistration(page, dossier)
    if dossier.drift is not None:
        show_run_drift(dossier.drift)
    first, second = st.columns(2, gap="large"), st.columns(2, gap="large")
    left, right = (
        (partial(show_utility, views), show_fairness)
        if dossier.has_model
        else (show_columns, show_shares)
    )
    with first[0]:
        left(dossier)
    with first[1]:
        right(dossier)
    with second[0]:
        show_budget(dossier)
    with second[1]:
        show_rounds(dossier)
    show_groups(dossier)
    if dossier.outcomes:
        show_outcomes(dossier)
    if dossier.operating_points:
        show_thresholds(dossier)
    if dossier.calibration:
        show_calibration(dossier)
    show_run_alerts(views.alerts(dossier.run_id, closed=True))
    show_notes(page, dossier.run_id)
    show_manifest(dossier)
    _show_places(dossier)


def _show_verified(dossier: Dossier, found: KeptVerification | None) -> None:
    """Says of which part of the log a verification is where it is not of all that is shown."""
    if found is None:
        st.caption(say("runs.not_verified"))
    elif found.size < dossier.audit.size:
        later = dossier.audit.size - found.size
        st.caption(say("runs.verified_before", size=found.size, number=later))


def _show_places(dossier: Dossier) -> None:
    """Shows where the model and the reports of a run lie."""
    st.subheader(say("runs.places"))
    if dossier.snapshot is not None:
        st.code(f"FOLDER/{dossier.snapshot}", language=None)
    elif dossier.has_model:
        st.caption(say("runs.no_model"))
    st.code(f"collegium report export {dossier.run_id} --out FOLDER", language=None)
    st.caption(say("runs.places_note"))


def _head(dossier: Dossier) -> None:
    st.title(words.plain(dossier.study_title))
    st.caption(words.plain(dossier.study_purpose))
    for statement in statements.banner(dossier):
        show_statement(statement)
    if dossier.failure is not None:
        kind = dossier.failure.split(":")[0]
        st.warning(say(f"runs.remedy_{remedy_of(kind)}"), icon=":material/build:")
    if dossier.trains:
        st.caption(say("runs.no_curve"))


def _headlines(dossier: Dossier) -> None:
    claims = [claim for s in dossier.sites if (claim := site_claim(s)) is not None]
    claimed = dossier.protected and claims
    items = [
        *((say("runs.figure_released", figure=kind.label),
           words.figure(dossier.released.get(kind.name), kind.form),
           words.interval_note(dossier.released.get(kind.name), kind.form))
          for kind in dossier.figures.pooled[:2]),
        (say("runs.epsilon"),
         shown(max(claims), Format.EPSILON) if claimed else say("runs.no_epsilon"),
         _claim_note(dossier) if claimed else unclaimed(dossier)),
        (say("runs.training_rounds"), str(dossier.rounds_trained),
         say("runs.of_planned", number=dossier.rounds_planned) if dossier.trains
         else say("runs.evaluated_only"))
        if dossier.has_model else runs.counted_figure(dossier),
    ]  # fmt: skip
    if dossier.simulation:
        headline = dossier.figures.headline
        exact = words.figure(dossier.exact.get(headline.name), headline.form)
        items.insert(
            0, (say("runs.figure_exact", figure=headline.label), exact, say("runs.simulation_only"))
        )
    show_metrics(items)


def _claim_note(dossier: Dossier) -> str:
    if dossier.sweep_share is None:
        return say("runs.worst_claim")
    return say("runs.worst_claim_alone")
