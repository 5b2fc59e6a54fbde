"""The demo says which hospitals train together, and repeats no run."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from collegium.cli.demos.demo import EPSILON, OTHERS, demo_study, other_runs, print_hospitals
from collegium.cli.main import app
from collegium.studies.bundled import BUNDLED_STUDIES, BundledStudy, bundled_study
from collegium.studies.forecast import forecast_text
from collegium.studies.planning.settings import assumed_auroc
from protocol.errors import CohortRefused, FederationError, StudyRefused

HEART = bundled_study("heart-disease")
every = pytest.mark.parametrize("bundled", BUNDLED_STUDIES.values(), ids=BUNDLED_STUDIES)


def test_the_demo_names_four_hospitals_their_patients_and_the_source_of_the_records() -> None:
    screen = StringIO()
    print_hospitals(HEART, Console(file=screen, width=100))
    said = screen.getvalue()
    for line in (
        "4 hospitals train a model together, with 740 real patients",
        "cleveland     303  Cleveland Clinic Foundation",
        "hungarian     261  Hungarian Institute of Cardiology, Budapest",
        "switzerland    46  University Hospitals, Zurich and Basel",
        "va            130  V.A. Medical Center, Long Beach",
        "CC BY 4.0",
    ):
        assert line in said


def test_hospitals_that_a_bundled_study_made_up_are_said_to_be_invented() -> None:
    screen = StringIO()
    print_hospitals(bundled_study("breast-cancer"), Console(file=screen, width=100))
    assert "with 569 real patients" in screen.getvalue()
    assert screen.getvalue().count("invented") == 4


@every
def test_the_demo_repeats_no_run_and_ends_at_the_epsilon_that_it_shows(
    bundled: BundledStudy,
) -> None:
    study = demo_study(bundled)
    runs = [study, *(job.study for job in other_runs(study))]
    assert len({run.digest for run in runs}) == len(runs) == 1 + len(OTHERS)
    promised = [run.evaluation_epsilon for run in runs]
    assert promised[0] == promised[-1] == EPSILON and None in promised


def test_the_demos_epsilon_lets_every_hospital_but_switzerland_expect_its_own_figure() -> None:
    study = demo_study(HEART)
    assert "would be released as about" in forecast_text(study, auroc=assumed_auroc(study))[0]
    (last,) = forecast_text(study)[1:]
    assert last == "too few test patients for figures of their own: switzerland"


def refusal(*words: str) -> FederationError | None:
    """What a command is refused with."""
    error = CliRunner().invoke(app, words).exception
    return error if isinstance(error, FederationError) else None


def test_a_demo_of_records_that_are_not_bundled_is_refused_before_a_folder_is_made(
    tmp_path: Path,
) -> None:
    found = refusal("demo", "--data", "diabetes", "--out", str(tmp_path / "out"))
    assert isinstance(found, StudyRefused) and "heart-disease, breast-cancer" in str(found)
    assert not (tmp_path / "out").exists()


def test_a_network_demo_of_ones_own_study_needs_its_records(tmp_path: Path) -> None:
    found = refusal("network-demo", str(HEART.document), "--out", str(tmp_path / "out"))
    assert isinstance(found, CohortRefused) and "--data is missing" in str(found)


def test_study_copy_writes_a_study_whose_records_pass_its_check(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    made = CliRunner().invoke(app, ["study", "copy", "heart-disease", "--to", str(mine)])
    assert made.exit_code == 0 and f"collegium study check {mine}/study.yaml" in made.output
    words = ["study", "check", str(mine / "study.yaml"), "--data", str(mine)]
    checked = CliRunner().invoke(app, words)
    assert checked.exit_code == 0 and "cleveland     303" in checked.output
