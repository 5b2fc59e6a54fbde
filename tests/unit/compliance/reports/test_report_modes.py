"""A report says only what its mode supports, and heads with what all runs of a sweep cost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compliance.facts.dossier import Dossier, run_json
from compliance.privacy.claims import OWN_NOISE, PATIENTS, shared_noise
from compliance.reports.document import Document
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_csv, render_html, render_json
from coordinator.views.views import Views
from tests.support.machine.short_form import short_form
from tests.support.simulated import dossiers
from tests.support.simulated.federation import Federation
from tests.support.simulated.reports import privacy_report
from tests.support.simulated.studies import small_study

RENDERERS = [render_html, render_json, render_csv]
#: What is true of each hospital's own noise only.
ONLY_OF_OWN_NOISE = (
    "cryptographic assumption", "full noise before anything leaves", "does not depend on this",
    "mode per_site",
)  # fmt: skip


def with_sites(dossier: Dossier, **changes: object) -> Dossier:
    """The dossier with every hospital's summary changed."""
    sites = tuple(
        replace(site, privacy=replace(site.privacy, **changes))  # type: ignore[arg-type]
        for site in dossier.sites
    )
    return replace(dossier, sites=sites)


def shared() -> Dossier:
    return with_sites(dossiers.finished(), mode="distributed", fallback_epsilon=2.1)


@pytest.mark.parametrize("render", short_form(RENDERERS, len(RENDERERS)))
@pytest.mark.parametrize("words", short_form(ONLY_OF_OWN_NOISE, 2))
def test_a_report_of_shared_noise_says_nothing_that_only_own_noise_supports(
    render: Callable[[Document], str], words: str
) -> None:
    own = render(privacy_report(dossiers.finished()))
    assert words in own or render is render_csv  # csv has tables only
    for document in (privacy_report(shared()), run_page(shared(), ())):
        assert words not in render(document)


def test_a_report_of_shared_noise_says_what_it_rests_on() -> None:
    page = render_json(privacy_report(shared()))
    assert shared_noise(1) in page and OWN_NOISE not in page
    assert "The claim for training patients depends on this" in page
    for few in (0, 1, 2):
        said = shared_noise(few)
        assert "rests on the secure sum and on its cryptography" in said
        assert ("no hospital colludes" in said) == (few == 0)


def test_a_report_without_privacy_rests_on_the_sum_alone() -> None:
    page = render_json(privacy_report(dossiers.without_privacy()))
    assert "nothing else keeps single updates from being seen" in page
    assert "does not depend on this" not in page


def test_a_report_says_that_a_withdrawal_leaves_the_model_as_it_is() -> None:
    page = render_json(privacy_report(dossiers.finished()))
    assert "What this run's model has learned from the patient stays in it." in page


# --- what a patient is ----------------------------------------------------------------------------


@pytest.mark.parametrize("patient", list(PATIENTS))
def test_a_report_repeats_what_the_hospitals_state_of_their_patients(patient: str) -> None:
    page = render_json(privacy_report(with_sites(dossiers.finished(), patient=patient)))
    assert PATIENTS[patient] in page


def test_a_report_says_which_hospital_states_what_and_repeats_no_unknown_word() -> None:
    dossier = dossiers.finished()
    odd, *rest = dossier.sites
    odd = replace(odd, privacy=replace(odd.privacy, patient="certified by all authorities"))
    page = render_json(privacy_report(replace(dossier, sites=(odd, *rest))))
    assert f"at {odd.site}, not said in a known way" in page
    assert f"at {rest[0].site}, {PATIENTS['key']}" in page
    assert "certified" not in page


def test_a_report_says_whether_both_groups_pay_for_both() -> None:
    page = render_json(privacy_report(dossiers.finished()))
    assert "at east, north, south, west every patient's budget for life is charged both" in page
    page = render_json(privacy_report(with_sites(dossiers.finished(), sides="apart")))
    assert "charged both" not in page and "each group's budget is charged its own part" in page


# --- several runs on the same patients ------------------------------------------------------------


def test_a_run_of_a_sweep_heads_with_what_all_its_runs_cost() -> None:
    dossier = replace(dossiers.finished(), sweep="s-1", sweep_share=0.74)
    for document in (run_page(dossier, ()), privacy_report(dossier)):
        said = [f"{one.text} {one.detail}" for one in document.banner]
        assert "One of several runs on the same patients." in said[1]
        assert "At most 74 % of a patient's budget for life of ε = 10 was booked" in said[1]
        assert "differential privacy" in said[2]  # before this run's own ε
    assert "this run alone, δ = 1e-4" in render_html(run_page(dossier, ()))
    assert run_json(dossier)["sweep_share"] == 0.74


def test_a_run_on_its_own_says_nothing_of_a_sweep() -> None:
    page = render_html(run_page(dossiers.finished(), ()))
    assert "several runs" not in page and "this run alone" not in page


def test_the_share_of_a_sweep_is_the_most_that_any_of_its_runs_signed(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    signed = [site.privacy.budget_share for site in _dossier(federation).sites]
    assert _dossier(federation).sweep_share is None
    with federation.store.transaction() as transaction:
        transaction.run(federation.run_id).sweep = "s-1"
    assert _dossier(federation).sweep_share == max(share for share in signed if share)
    federation.close()


def _dossier(federation: Federation) -> Dossier:
    views = Views(federation.store, public_key=federation.workspace.public_key)
    return views.dossier(federation.run_id)
