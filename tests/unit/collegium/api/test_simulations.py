"""Simulate and sweep: what is refused before anything starts, and what a sweep's runs say."""

import os
from pathlib import Path

import numpy as np
import pytest

import collegium as cg
from collegium.api.inputs import QUIET
from collegium.output.sweep_summary import show_sweep
from coordinator.database.workspace import Workspace
from protocol.errors import CohortRefused, StudyRefused, WorkspaceRefused
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.output_folder import RUNS
from tests.support.simulated.studies import TABLE_STUDY, small_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "records").mkdir()
    write_hospitals(tmp_path / "records", small_study())
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    return tmp_path / "study.yaml"


def test_what_cannot_run_is_refused_before_a_folder_is_made(study: Path, tmp_path: Path) -> None:
    out, records = tmp_path / "out", tmp_path / "records"
    with pytest.raises(StudyRefused, match="cannot be read"):
        cg.simulate(tmp_path / "no.yaml", out=out)
    with pytest.raises(CohortRefused, match="--data is missing"):
        cg.simulate(study, out=out)
    with pytest.raises(CohortRefused, match="holds no file east.csv"):
        cg.simulate(study, out=out, data=tmp_path)
    with pytest.raises(WorkspaceRefused, match="give a number above zero"):
        cg.simulate(study, out=out, data=records, budget=0)
    with pytest.raises(WorkspaceRefused, match="--processes 0: give 1 to 64"):
        cg.simulate(study, out=out, data=records, processes=0)
    with pytest.raises(WorkspaceRefused, match="--processes 0: give 1 to 64"):
        cg.sweep(study, out=out, data=records, epsilon=4, processes=0)
    assert not out.exists()


def test_a_folder_of_something_else_is_refused_and_untouched(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(WorkspaceRefused, match="already holds other files"):
        cg.simulate(study, out=out, data=tmp_path / "records")
    assert os.listdir(out) == ["thesis.txt"]


def test_a_folder_at_work_is_refused(study: Path, folder: Path, tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with (
            Workspace(folder).at_work(),
            pytest.raises(WorkspaceRefused, match="in use by another collegium process"),
        ):
            cg.simulate(study, out=folder, data=tmp_path / "records")
        assert os.umask(0o022) == 0o022  # as the notebook had it
    finally:
        os.umask(mask)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"epsilon": [1, -2]}, "must lie between"),
        ({"epsilon": []}, "neither a number nor none"),
        ({"epsilon": 1, "seeds": [1, -1]}, "whole numbers or ranges"),
        ({"epsilon": 1, "seeds": np.arange(500)}, "a sweep of more than 400 runs"),
        ({"epsilon": 1, "modes": ["lokal"]}, "'lokal' is not one of per_site, distributed, pooled"),
        ({"epsilon": 1, "modes": "pooled"}, "name per_site or distributed beside it"),
        ({"epsilon": (0.5, None), "data": "nowhere"}, "nowhere is no folder: name the one"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(
    study: Path, tmp_path: Path, asked: dict[str, object], said: str
) -> None:
    with pytest.raises((StudyRefused, CohortRefused), match=said):
        cg.sweep(study, out=tmp_path / "out", **asked)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_sweep_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="name at least one study"):
        cg.sweep([], out=tmp_path / "out", epsilon=1)


def test_a_sweeps_summary_is_what_the_command_says(genuine: Path) -> None:
    swept = cg.Sweep(genuine, RUNS)
    told = show_sweep(Workspace(genuine), [small_study()], RUNS, QUIET)
    summary = swept.summary()
    assert list(summary["mode"]) == [level["mode"] for level in told["levels"]]
    assert list(summary["mean"]) == [level["auroc"]["mean"] for level in told["levels"]]
    assert summary["low"].isna().all()  # two runs have no interval
    assert list(swept.runs().index) == [*RUNS]
    assert swept.chart().svg.startswith("<svg") and len(swept.utility()) >= 3
    assert repr(swept).startswith("Sweep of 2 runs in ")
    assert "Sweep of 2 runs" in swept._repr_html_()
