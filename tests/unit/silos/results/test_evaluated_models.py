"""Models that a run under way may go back to: kept until its end, and then the right one."""

from pathlib import Path

import numpy as np

from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import Tensors, model_digest
from silos.results.kept_models import (
    evaluated_files,
    keep_announced,
    keep_model,
    model_file,
    read_model,
    require_about,
)
from tests.support.simulated.studies import changed, small_study

RUN = "20261126-101500-0a1b"


def study() -> Study:
    text = changed("{bins: 8}", "{bins: 8, every: 2, roll_back: 0.05}")
    return read_study(text.replace("rounds: 2", "rounds: 6"))


def model(value: float) -> Tensors:
    return {"weight": np.full(3, value, dtype=np.float32)}


def kept(home: Path) -> Tensors:
    path = model_file(home, RUN)
    assert path is not None
    return read_model(path)


def test_the_model_that_a_run_went_back_to_takes_the_place_of_the_last(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 3.0):
        keep_model(tmp_path, RUN, study(), model(value))
    assert model_digest(kept(tmp_path)) == model_digest(model(3.0))
    assert len(evaluated_files(tmp_path, RUN)) == 3
    keep_announced(tmp_path, RUN, study(), model_digest(model(2.0)))
    assert model_digest(kept(tmp_path)) == model_digest(model(2.0))
    require_about(tmp_path, RUN, study())
    assert evaluated_files(tmp_path, RUN) == ()
    assert sorted(path.name for path in (tmp_path / "results" / RUN).iterdir()) == [
        "model.json", "model.safetensors",
    ]  # fmt: skip


def test_a_run_that_ended_otherwise_leaves_the_last_model_alone(tmp_path: Path) -> None:
    keep_model(tmp_path, RUN, study(), model(1.0))
    for ended in (None, "f" * 64):
        keep_announced(tmp_path, RUN, study(), ended)
        assert model_digest(kept(tmp_path)) == model_digest(model(1.0))
    assert evaluated_files(tmp_path, RUN) == ()


def test_of_a_study_that_takes_nothing_back_one_model_is_kept(tmp_path: Path) -> None:
    keep_model(tmp_path, RUN, small_study(), model(1.0))
    assert evaluated_files(tmp_path, RUN) == ()
    keep_announced(tmp_path, RUN, small_study(), model_digest(model(1.0)))
    assert model_digest(kept(tmp_path)) == model_digest(model(1.0))
