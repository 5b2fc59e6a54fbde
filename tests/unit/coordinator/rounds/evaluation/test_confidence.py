"""How sure a classification into classes is, and how often it is right: counted and released."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.registry import released_of
from coordinator.rounds.evaluation.released import (
    NoisedCounts,
    Released,
    released_from,
    released_json,
)
from coordinator.views.one_run import dossiers
from pipelines.tasks.multiclass_classification import multiclass_classification
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS, OWN_CELLS
from protocol.vectors.score_grid import ScoreGrid
from tests.unit.coordinator.rounds.evaluation.test_task_figures import study_of

Floats = NDArray[np.float64]
KIND, CLASSES, BINS = "multiclass_classification", 3, 16
TASK = multiclass_classification(CLASSES, confidence=True)
REFERENCE = np.random.default_rng(0).normal(size=(200, CLASSES)) * 1.5


def study(bins: int | str = BINS) -> Study:
    plain = study_of(KIND).model_dump(mode="json")
    plain["task"]["confidence"], plain["evaluation"]["bins"] = True, bins
    return Study.model_validate(plain)


def drawn(random: np.random.Generator, count: int, sure: float = 1.0) -> tuple[Floats, Floats]:
    """Returns logits and labels: right as often as the logits over ``sure`` say."""
    logits = random.normal(size=(count, CLASSES)) * 1.5
    heights = softmax(logits, axis=1).cumsum(axis=1)
    labels = (random.random((count, 1)) > heights).sum(axis=1).astype(np.float64)
    return logits * sure, np.minimum(labels, CLASSES - 1)


def released(scores: Floats, labels: Floats, noise: float, random: np.random.Generator) -> Released:
    counts, own = (one(scores, labels, REFERENCE, BINS) for one in (TASK.counts, TASK.own))
    noised = NoisedCounts(
        pooled=counts / COUNT_UNITS + random.normal(0, noise, len(counts)),
        deviation=noise,
        tables={"east": own / COUNT_UNITS + random.normal(0, noise, 4)},
        table_deviations={"east": noise},
        grids={"east": ScoreGrid.of_cells(tuple(map(int, TASK.grid(REFERENCE))))},
        groups=(),
    )
    return released_of(study(), noised)


def test_a_patient_adds_one_to_the_table_and_one_to_a_bin_of_confidence() -> None:
    vector = study().evaluation_vector
    assert vector.shape == (CLASSES**2 + 2 * BINS,) and vector.influence == 2**0.5
    assert vector.own_influence == 1.0 and vector.own_cells == OWN_CELLS
    assert study_of(KIND).evaluation_vector.digest != vector.digest
    random = np.random.default_rng(1)
    scores, labels = drawn(random, 60)
    scores[0], scores[1] = np.nan, 900.0  # no number, and no power that overflows
    each = [
        TASK.counts(scores[[at]], labels[[at]], REFERENCE, BINS) / COUNT_UNITS for at in range(60)
    ]
    assert {float(np.linalg.norm(one)) for one in each} == {2**0.5}
    assert np.array_equal(sum(each), TASK.counts(scores, labels, REFERENCE, BINS) / COUNT_UNITS)


def test_without_noise_figures_of_the_table_stay_and_the_error_is_that_of_confidence() -> None:
    random = np.random.default_rng(2)
    scores, labels = drawn(random, 40_000, sure=2.0)
    found, exact = released(scores, labels, 0.0, random), TASK.exact(scores, labels)
    for name in ("balanced_accuracy", "accuracy", "macro_f1"):
        assert found.figures[name].value == pytest.approx(exact[name])
    confidence, right = softmax(scores, axis=1).max(axis=1), scores.argmax(axis=1) == labels
    groups = np.array_split(np.argsort(confidence), 8)
    plain = sum(abs((right[one] - confidence[one]).sum()) for one in groups) / len(right)
    assert exact["ece"] == pytest.approx(plain, abs=1e-3) and plain > 0.1
    assert found.figures["ece"].value == pytest.approx(plain, abs=0.01)
    assert found.figures["ece"].low <= plain <= found.figures["ece"].high
    assert len(found.calibration) == 8
    assert all(point.risk.value > point.ill.value for point in found.calibration[4:])  # too sure
    assert released_from(released_json(found)) == found


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_model_that_is_as_often_right_as_it_says_has_an_error_whose_interval_begins_at_0(
    noise: float,
) -> None:
    random, low = np.random.default_rng(3), []
    for _ in range(40):
        low.append(released(*drawn(random, 1500), noise, random).figures["ece"].low)
    assert np.mean(np.array(low) == 0) >= 0.93


def test_what_noise_drowns_is_withheld_and_other_studies_have_no_such_figure() -> None:
    random = np.random.default_rng(4)
    found = released(*drawn(random, 60), 60.0, random)
    assert found.figures["ece"].note == TOO_FEW
    assert study_of(KIND).digest == read_study(study_of(KIND).canonical_bytes.decode()).digest
    assert "confidence" not in study_of(KIND).model_dump(mode="json")["task"]


def test_bins_are_chosen_for_the_noise_of_both_counts() -> None:
    assert study("auto").evaluation_vector.size - CLASSES**2 in (8, 16, 32, 64, 128)


def test_the_exact_error_of_a_simulation_stands_beside_the_released_one() -> None:
    found = dict(TASK.exact(*drawn(np.random.default_rng(5), 200)))
    assert dossiers._exact(study(), found) == found and "ece" in found
    assert "ece" not in dossiers._exact(study_of(KIND), dict.fromkeys(("accuracy",), 0.9))
