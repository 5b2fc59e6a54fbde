"""The page Models: released models, what each comes from, and how it is loaded."""

from dataclasses import replace

from compliance.estimates.withholding import TOO_FEW
from dashboard.rows.figures.models import lineage
from tests.support.simulated import dossiers
from tests.support.simulated.shown_page import again, sentences, show
from tests.support.simulated.stored_runs import StoredRuns


def test_a_store_without_a_model_says_so() -> None:
    for views in (StoredRuns(), StoredRuns(dossiers.failed(), dossiers.running())):
        page = show(views, "models")
        assert "No run has finished yet, so there is no model." in sentences(page)
        assert not page.dataframe and not page.button


def test_each_model_has_its_run_date_figure_with_interval_and_price() -> None:
    older = replace(dossiers.finished(), run_id="older", started_at="2026-11-20T10:00:00.000Z")
    page = show(StoredRuns(older, dossiers.finished()), "models")
    shown = page.dataframe[0].value
    assert list(shown["Date"]) == ["2026-11-21", "2026-11-20"]
    assert list(shown["How good"]) == ["AUROC 0.868 (0.837 to 0.899)"] * 2
    assert list(shown["Cost to one patient"]) == ["ε = 1"] * 2
    assert "2 runs have finished" in sentences(page)


def test_what_was_withheld_unprotected_or_a_test_is_said_so() -> None:
    withheld = replace(dossiers.finished(), run_id="a", released={"auroc": dossiers.NOTHING})
    noise = replace(dossiers.finished(), run_id="b", test_noise=True)
    views = StoredRuns(withheld, noise, replace(dossiers.without_privacy(), run_id="c"))
    shown = show(views, "models").dataframe[0].value.set_index("Run")
    assert TOO_FEW in shown["How good"]["a"]
    assert shown["Cost to one patient"]["b"] == "no privacy: fixed test noise"
    assert shown["Cost to one patient"]["c"] == "no privacy is claimed"


def test_a_model_is_traced_to_its_study_hospitals_log_and_file() -> None:
    run = dossiers.finished()
    facts = dict(lineage(run))
    said = sentences(show(StoredRuns(run), "models"))
    assert f"Digest of the model: `{run.model_digest}`" in said
    assert facts["Digest of the model"] == run.model_digest
    assert facts["File, in the coordinator's folder"] == f"snapshots/{run.model_digest}.safetensors"
    assert facts["Digest of the study"] == run.study_digest
    assert facts["Started from"] == "drawn parameters, public seed 7"
    assert facts["Hospitals"] == "east, north, south, west"
    assert facts["Roster, in the log"].startswith("entry 1, digest ")
    assert facts["ε for one patient, at the worst hospital"] == "1"


def test_a_model_that_began_with_another_names_its_file() -> None:
    run = dossiers.finished()
    task = {**run.study["task"], "pretrained": {"file": "m.safetensors", "sha256": "c" * 64}}
    warm = replace(run, study={**run.study, "task": task})
    said = sentences(show(StoredRuns(warm), "models"))
    assert f"Started from: pretrained parameters, file digest `{'c' * 64}`" in said


def test_the_lines_that_load_a_model_name_its_run_and_another_can_be_chosen() -> None:
    older = replace(dossiers.finished(), run_id="older", started_at="2026-11-20T10:00:00.000Z")
    page = show(StoredRuns(older, dossiers.finished()), "models")
    assert f'cg.open("OUT").run("{dossiers.finished().run_id}")' in page.code[0].value
    page.selectbox[0].set_value("older")
    assert 'run("older")' in again(page).code[0].value


def test_there_is_no_button_that_does_nothing() -> None:
    page = show(StoredRuns(dossiers.finished()), "models")
    assert not page.button and not page.get("download_button")
