"""Run: what its tables, charts, report and model say is what the records say."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

import collegium as cg
from collegium.api.inputs import QUIET
from collegium.output.summary import show_run
from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest
from coordinator.database.workspace import Workspace
from protocol.errors import MessageRefused, StoreBroken, StudyRefused, WorkspaceRefused
from tests.support.simulated.output_folder import RUNS, change


@pytest.fixture
def run(genuine: Path) -> cg.Run:
    return cg.open(genuine).run()


@pytest.fixture
def unfinished(folder: Path) -> cg.Run:
    """A run whose process was killed after its first rounds."""
    change(
        folder,
        "UPDATE run SET state = 'running', ended_at = NULL, model_digest = NULL, "
        "exact_json = NULL WHERE id = 'run-2'",
        "DELETE FROM release WHERE run_id = 'run-2'",
    )
    return cg.open(folder).run(RUNS[-1])


def test_the_summary_is_what_runs_show_says(run: cg.Run) -> None:
    shown = show_run(run.out, run.id, QUIET, as_json=True)
    summary = run.summary()
    assert summary.name == RUNS[-1]
    assert (summary["state"], summary["auroc"]) == ("finished", shown["auroc"])
    released = shown["auroc_released"]
    assert summary["auroc_released_note"] == released["note"]
    for name, part in (("auroc_released", "value"), ("auroc_released_high", "high")):
        assert summary[name] == released[part] or (
            released[part] is None and pd.isna(summary[name])
        )
    assert (summary["mode"], summary["epsilon"]) == ("per_site", 4)
    assert run.claim == summary["claim"] == shown["claim"]
    assert run.facts | {"alerts": []} == shown and json.dumps(run.facts, allow_nan=False)


def test_each_hospital_has_its_row_of_figures_and_of_privacy(run: cg.Run) -> None:
    sites, privacy = run.sites(), run.privacy()
    assert list(sites.index) == list(privacy.index) == ["east", "north", "south", "west"]
    for site in sites.index:
        told = run.facts["sites"][site]
        assert sites.loc[site, "auroc"] == told["auroc"]
        released = told["accuracy_released"]
        assert sites.loc[site, "accuracy_released_note"] == released["note"]
        assert pd.isna(sites.loc[site, "accuracy_released_low"]) == (released["low"] is None)
        assert privacy.loc[site, "epsilon"] == run.facts["epsilon"][site]["epsilon"]
    assert privacy["epsilon"].max() <= 4


def test_rounds_and_utility_are_tables(run: cg.Run) -> None:
    rounds = run.rounds()
    assert list(rounds["round_kind"]) == ["training", "training", "evaluation"]
    assert list(rounds["sites"]) == [4, 4, 4]
    assert str(rounds["opened_at"].dtype).startswith("datetime64")
    utility = run.utility()
    exact = utility[utility["kind"].str.startswith("exact")]
    assert sorted(exact["auroc"]) == [0.90, 0.91, 0.91]  # two runs and the pooled reference
    assert set(exact["mode"]) == {"per_site", "pooled"}
    withheld = utility[utility["note"] != ""]
    assert withheld["auroc"].isna().all()


@pytest.mark.parametrize("of", ["utility", "sites", "privacy", "rounds"])
def test_every_chart_is_an_svg_with_its_words(run: cg.Run, tmp_path: Path, of: str) -> None:
    chart = run.chart(of)
    assert chart._repr_svg_().startswith("<svg role=")
    assert escape(chart.description, quote=True) in chart.svg
    assert repr(chart) == f"Chart: {chart.description}"
    assert chart.save(tmp_path / "chart.svg").read_text() == chart.svg
    with pytest.raises(WorkspaceRefused, match="cannot be written: No such file"):
        chart.save(tmp_path / "no-such" / "chart.svg")


def test_an_unknown_chart_is_named_with_those_there_are(run: cg.Run) -> None:
    with pytest.raises(ValueError, match="'utilty': give one of utility, sites, privacy, rounds"):
        run.chart("utilty")


@pytest.mark.parametrize("name", ["report.html", "report.JSON", "report.csv"])
def test_the_report_is_the_one_that_the_command_writes(
    run: cg.Run, tmp_path: Path, name: str
) -> None:
    form = name.partition(".")[2].lower()
    export_report(run.out, ReportRequest(name=run.id), form, tmp_path / "by-command", QUIET)
    assert run.report(str(tmp_path / name)) == tmp_path / name
    assert (tmp_path / name).read_text() == (tmp_path / "by-command").read_text()


def test_a_report_of_no_form_is_refused_and_none_is_written(run: cg.Run, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match=r"one of pdf, html, json, csv, oscal: let"):
        run.report(tmp_path / "report.doc")
    assert not any(tmp_path.iterdir())
    assert run.report(tmp_path / "report", form="csv").is_file()


def test_a_report_of_changed_records_is_refused_with_its_watermark(
    folder: Path, tmp_path: Path
) -> None:
    change(folder, "UPDATE run SET exact_json = replace(exact_json, '0.9', '0.8')")
    with pytest.raises(StoreBroken, match="watermark NOT VERIFIED"):
        cg.open(folder).run().report(tmp_path / "report.html")
    assert "NOT VERIFIED" in (tmp_path / "report.html").read_text()


def test_the_model_is_the_file_of_its_digest(run: cg.Run) -> None:
    assert run.model.name == f"{run.summary()['model_digest']}.safetensors"
    assert set(load_file(run.model)) == {"weight", "bias"}


def test_parameters_of_another_network_than_the_studys_are_refused(run: cg.Run) -> None:
    """The hospitals in memory train a model of their own, not the study's network."""
    with pytest.raises(MessageRefused, match="not this network's parameters"):
        run.load_model()


def test_a_model_is_loaded_with_the_runs_own_study_only(run: cg.Run) -> None:
    other = cg.Study(run.study.document.with_split(77), Path())
    with pytest.raises(StudyRefused, match="is not this run's"):
        run.load_model(other)
    with pytest.raises(MessageRefused, match="not this network's parameters"):
        run.load_model(run.study)


def test_a_line_for_own_models_is_not_laid_on_the_global_one(
    run: cg.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    personalised = replace(run._dossier(), has_own_models=True)
    monkeypatch.setattr(cg.Run, "_dossier", lambda _: personalised)
    with pytest.raises(WorkspaceRefused, match="of the hospitals' own models, and this is the gl"):
        run.load_model(recalibrated=True)


def test_a_changed_model_is_refused(folder: Path) -> None:
    run = cg.open(folder).run()
    whole = run.model.read_bytes()
    run.model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StoreBroken, match="was changed: its parameters have another digest"):
        run.load_model()


def test_a_run_that_was_killed_says_so_and_has_no_model(unfinished: cg.Run) -> None:
    assert unfinished.state == "interrupted"
    assert repr(unfinished) == f"Run {RUNS[-1]} of small: interrupted, 2 of 2 rounds"
    assert pd.isna(unfinished.summary()["auroc"]) and unfinished.summary()["model_digest"] is None
    for wanted in (lambda: unfinished.model, unfinished.load_model):
        with pytest.raises(WorkspaceRefused, match="is interrupted: it has no final model"):
            wanted()
    shown = unfinished._repr_html_() or ""
    assert "The run was interrupted" in shown
    assert unfinished.sites()["accuracy_released"].isna().all()


def test_a_run_at_work_is_read_by_another_process(unfinished: cg.Run) -> None:
    with Workspace(unfinished.out).at_work():
        assert cg.open(unfinished.out).runs().loc[unfinished.id, "state"] == "running"
        assert unfinished.state == "running"
        assert "still at work" in (unfinished._repr_html_() or "")
    assert unfinished.state == "interrupted"


def test_a_notebook_shows_state_claim_figures_and_chart(run: cg.Run) -> None:
    shown = run._repr_html_() or ""
    assert "The run finished." in shown and "Patient-level differential privacy." in shown
    assert "Figures at each hospital" in shown and "<svg role=" in shown
    assert "<script" not in shown and "http-equiv" not in shown
    assert "AUROC released" in repr(run)


def test_what_is_gone_is_said_not_raised_where_it_is_shown(genuine: Path, tmp_path: Path) -> None:
    lost = cg.Run(tmp_path / "gone", "run-1")
    assert "holds no run" in repr(lost) and lost._repr_html_() is None
    with pytest.raises(WorkspaceRefused, match="holds no run"):
        lost.summary()
    unknown = cg.Run(genuine, "no-such")
    assert "there is no run 'no-such' here" in repr(unknown)


def test_the_registered_study_is_the_one_that_ran(run: cg.Run) -> None:
    assert run.study.digest == run.facts["study"]["digest"]
    assert run.study.document.training.rounds == 2
