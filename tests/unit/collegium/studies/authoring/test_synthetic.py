"""``study synthetic``: hospitals differ in what the benchmark says, and in nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from collegium.cli.main import app
from collegium.simulation.baselines.scoring import TestPatients
from collegium.simulation.comparison.plan import variants
from collegium.simulation.records import read_hospitals
from collegium.studies.authoring.synthetic import (
    FEWEST,
    KINDS,
    DrawnHospital,
    SyntheticOptions,
    synthetic_files,
)
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study_file import read_study, read_study_file
from tests.long.results.choosing import figures

LARGE = SyntheticOptions(kind="alike", hospitals=5, patients=4000, strength=1.0, seed=3)
#: What hospitals differ in, by benchmark.
DIFFERS = {
    "alike": set(),
    "label-skew": {"odds"},
    "feature-shift": {"gain", "offset"},
    "quantity-skew": {"patients"},
    "concept-shift": {"weights"},
}


def hospitals(kind: str, strength: float = 1.0) -> list[DrawnHospital]:
    options = replace(LARGE, kind=kind, strength=strength)
    return KINDS[kind](options, np.random.default_rng(options.seed))


def apart(some: list[DrawnHospital]) -> set[str]:
    """What is not the same at all hospitals."""
    return {
        name
        for name in vars(some[0])
        if any(not np.array_equal(getattr(some[0], name), getattr(one, name)) for one in some)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_hospitals_differ_in_what_the_name_says_and_with_strength_0_in_nothing(kind: str) -> None:
    assert apart(hospitals(kind)) == DIFFERS[kind]
    assert apart(hospitals(kind, strength=0.0)) == set()


def tables(kind: str) -> list[pd.DataFrame]:
    files = synthetic_files(replace(LARGE, kind=kind))
    return [
        pd.DataFrame([line.split(",") for line in text.splitlines()[1:]]).astype({9: int})
        for name, text in files.items()
        if name.endswith(".csv")
    ]


def test_the_records_show_what_hospitals_differ_in() -> None:
    alike, skewed, shifted = (tables(kind) for kind in ("alike", "label-skew", "feature-shift"))
    ill = [[one[9].mean() for one in some] for some in (alike, skewed)]
    assert np.ptp(ill[0]) < 0.06 < 0.2 < np.ptp(ill[1])
    means = [[one[1].astype(float).mean() for one in some] for some in (alike, shifted)]
    assert np.ptp(means[0]) < 0.1 < 0.5 < np.ptp(means[1])
    assert len({len(one) for one in tables("quantity-skew")}) == LARGE.hospitals


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_arguments_give_the_same_files_and_another_seed_others(kind: str) -> None:
    options = SyntheticOptions(kind=kind, epsilon=2.0)
    files = synthetic_files(options)
    assert files == synthetic_files(options) != synthetic_files(replace(options, seed=2))
    study = read_study(files["study.yaml"])
    assert (study.privacy.epsilon, len(study.sites)) == (2.0, options.hospitals)
    assert [f"{site.name}.csv" in files for site in study.sites] == [True] * options.hospitals


def test_the_command_writes_a_study_that_is_checked_with_its_records(tmp_path: Path) -> None:
    to = tmp_path / "own"
    given = ["study", "synthetic", "quantity-skew", "--to", str(to), "--hospitals", "4", "--json"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    study = read_study_file(to / "study.yaml")
    parts = read_hospitals(study, None, to)
    assert told["patients"] == {site: train.num_patients for site, (train, _) in parts.items()}
    assert told["name"] == study.name and len(parts) == 4
    again = CliRunner().invoke(app, given)
    assert isinstance(again.exception, WorkspaceRefused)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "labelskew"}, "did you mean 'label-skew'"),
        ({"hospitals": 2}, "3 hospitals or more"),
        ({"patients": FEWEST - 1}, f"{FEWEST} patients in each or more"),
        ({"strength": float("nan")}, "a strength from 0 to 10"),
    ],
)
def test_what_is_no_benchmark_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(StudyRefused, match=said):
        synthetic_files(replace(LARGE, **options))  # type: ignore[arg-type]


@pytest.mark.long
def test_own_models_lead_where_measurements_mean_something_else_and_nowhere_else(
    tmp_path: Path,
) -> None:
    leads = {}
    for kind in ("alike", "concept-shift"):
        folder = tmp_path / kind
        folder.mkdir()
        for name, text in synthetic_files(SyntheticOptions(kind=kind)).items():
            (folder / name).write_text(text)
        study = read_study_file(folder / "study.yaml")
        parts = read_hospitals(study, None, folder)
        patients, means = TestPatients(study, parts), []
        for strategy in ("fedavg", "mrmtl:pull=0.1"):
            (variant, *_) = variants(study, [strategy], 1)
            found = figures(study, parts, patients, variant)[1]
            means.append(np.mean([found[site]["auroc"] or 0.5 for site in parts]))
        leads[kind] = means[1] - means[0]
    assert leads["alike"] < 0 < 0.03 < leads["concept-shift"]
