"""A run with a model for each hospital says so, wherever its figures stand."""

from dataclasses import replace

from collegium.output.summary import _own_models
from compliance.estimates.binned_scores.calibration_line import Recalibration
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier, run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html
from compliance.reports.sections.two_classes.calibration import recalibration_sentence
from tests.support.simulated import dossiers


def personalised(*, simulation: bool) -> Dossier:
    found = dossiers.finished()
    if not simulation:
        return replace(found, has_own_models=True)
    sites = tuple(replace(site, by_global={"auroc": 0.6125}) for site in found.sites)
    return replace(found, has_own_models=True, by_global={"auroc": 0.7125}, sites=sites)


def text_of(dossier: Dossier) -> str:
    return render_html(run_page(dossier, ())).replace("&#x27;", "'").replace("&#39;", "'")


def test_the_page_of_a_run_with_one_model_for_all_says_nothing_of_own_models() -> None:
    assert "A model for each hospital" not in text_of(dossiers.finished())
    assert "global_model" not in run_json(dossiers.finished())


def test_a_simulation_shows_the_global_models_exact_figures_beside_them() -> None:
    dossier = personalised(simulation=True)
    page, told = text_of(dossier), run_json(dossier)["global_model"]
    assert "A model for each hospital" in page and "hospitals' own models" in page
    assert "global model" in page and page.count("0.613") + page.count("0.612") >= len(
        dossier.sites
    )
    assert told["auroc"] == 0.7125
    assert set(told["sites"]) == {site.site for site in dossier.sites}


def test_a_real_run_says_whose_figures_they_are_and_knows_no_others() -> None:
    dossier = personalised(simulation=False)
    page = text_of(dossier)
    assert "A model for each hospital" in page
    assert "Own models and the global one" not in page
    assert run_json(dossier)["global_model"] is None


def test_the_terminal_says_by_which_models_figures_are() -> None:
    told = _own_models(run_json(personalised(simulation=True)))
    assert "hospitals' own models" in told and "AUROC is 0.71" in told
    assert "global" not in _own_models(run_json(personalised(simulation=False)))


def test_what_is_said_against_own_models_is_not_said_of_the_global_one() -> None:
    chance = Interval(value=0.5, low=0.45, high=0.55)
    useless = replace(personalised(simulation=False), exact={}, released={"auroc": chance})
    (said,) = useless.warnings
    assert said.endswith("of the hospitals' own models, all together, and not of the global one.")
    (other,) = replace(useless, has_own_models=False).warnings
    assert "own models" not in other
    assert "More test patients" in text_of(useless)  # a sentence of its own on the page


def test_a_recalibration_of_own_models_is_not_offered_for_the_global_one() -> None:
    line = Recalibration(intercept=-1.2, slope=0.5, is_needed=True)
    said = recalibration_sentence(replace(personalised(simulation=False), recalibration=line))
    assert "the output of a hospital's own model" in said and "load_model" not in said


def test_the_claim_is_said_to_cover_own_models_where_there_is_one() -> None:
    covered = "so the claim covers it too"
    private = personalised(simulation=False)
    assert covered in text_of(private)
    assert covered not in text_of(replace(dossiers.without_privacy(), has_own_models=True))
