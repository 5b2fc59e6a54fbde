"""``collegium baselines``: from a study and its records to a page, JSON and CSV."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collegium.simulation.baselines import run
from collegium.simulation.baselines.plan import Baseline, baselines_of
from compliance.facts.comparison.baselines import BaselineFindings
from protocol.errors import CohortRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.machine.commands import ask, start
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import (
    STATISTICS_STUDY,
    TABLE_STUDY,
    changed,
    small_study,
)

PRIVACY = next(line for line in TABLE_STUDY.splitlines() if line.startswith("privacy:"))
#: The class behind the Ray actor.
Trainer: Any = run.BaselineTrainer.__ray_metadata__.modified_class  # type: ignore[attr-defined]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    (tmp_path / "data").mkdir()
    write_hospitals(tmp_path / "data", small_study())
    return tmp_path


def in_this_process(
    study: Study,
    trainings: Sequence[tuple[Baseline, int]],
    data: Path,
    index: bytes | None,
    progress: Any,
) -> BaselineFindings:
    trainer = Trainer(study, data, index)
    scored = []
    for baseline, draw in trainings:
        error, one = trainer.train(baseline, draw)
        assert error is None
        scored.append(one)
        progress.run_finished(baseline.text)
    found: BaselineFindings = trainer.found(*scored)
    return found


def test_one_command_writes_the_page_and_equal_seeds_give_equal_figures(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "study.yaml").write_text(changed(PRIVACY, "privacy: {mode: none, sampling_rate: 1.0}"))
    monkeypatch.setattr(run, "simulation_ray", lambda _settings: nullcontext())
    monkeypatch.setattr(run, "_trained", in_this_process)

    def baselines(out: str, *options: object) -> dict[str, Any]:
        done = ask(
            "baselines", home / "study.yaml", "--data", home / "data", "--out", home / out,
            "--json", *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "10 of 10 done" in done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    first, again = baselines("one"), baselines("two")
    assert first == again == json.loads((home / "one" / "baselines.json").read_text())
    for ending in ("html", "csv"):
        pages = [(home / out / f"baselines.{ending}").read_bytes() for out in ("one", "two")]
        assert pages[0] == pages[1]
    other = baselines("three", "--seed", 7)
    assert other["seed"] == 7 and other["models"] != first["models"]


def test_a_refusal_in_the_trainer_comes_back_as_a_value(home: Path) -> None:
    (home / "data" / "west.csv").write_text("age,ward,patient,ill\n")
    trainer = Trainer(small_study(), home / "data", None)
    error, scored = trainer.train(baselines_of(small_study())[0], 0)
    assert isinstance(error, CohortRefused) and scored is None


def test_a_real_institutions_folder_takes_no_simulated_figures(home: Path) -> None:
    (home / "hospital").mkdir()
    (home / "hospital" / "site.yaml").write_text("")
    done = ask(
        "baselines", home / "study.yaml", "--data", home / "data", "--out", home / "hospital"
    )
    assert done.returncode == 2 and "is a hospital's folder" in done.stderr


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (STATISTICS_STUDY, ("--data", "data"), "trains nothing"),
        (TABLE_STUDY, (), "--data is missing"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_starts(
    home: Path, text: str, options: Sequence[str], told: str
) -> None:
    (home / "study.yaml").write_text(text)
    done = ask("baselines", home / "study.yaml", *options, "--out", home / "out")
    assert done.returncode == 2 and told in done.stderr
    assert not (home / "out").exists()


def test_what_draws_noise_or_batches_is_trained_again_and_what_does_not_once() -> None:
    found = run.trainings_of(baselines_of(small_study()), 3)
    assert len(found) == 10 + 3 * 10
    assert {draw for baseline, draw in found if baseline.noised} == {0, 1, 2}
    assert {draw for baseline, draw in found if not baseline.noised} == {0}
    batches = baselines_of(read_study(changed("sampling_rate: 1.0", "sampling_rate: 0.5")))
    assert len(run.trainings_of(batches, 3)) == 3 * 20


def test_two_draws_have_noise_of_their_own(home: Path) -> None:
    trainer = Trainer(small_study(), home / "data", None)
    noised = next(b for b in baselines_of(small_study()) if b.noised)
    first, again, other = (trainer.train(noised, draw)[1].scores["east"] for draw in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.long
def test_the_command_trains_in_processes_of_their_own(home: Path) -> None:
    done = start(
        "baselines", home / "study.yaml", "--data", home / "data", "--out", home / "out", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "60 of 60 done" in done.stderr
    told = json.loads(done.stdout)
    assert {one["model"] for one in told["models"]} == {
        baseline.key for baseline in baselines_of(small_study())
    }
