"""Figures of several classes, findings and regression: exact without noise, honest with it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.registry import released_of
from coordinator.rounds.evaluation.released import NoisedCounts, Released
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid
from tests.support.machine.short_form import short_form
from tests.support.simulated.studies import TABLE_STUDY
from tests.support.simulated.tasks import CLASSES, DEFINITIONS

Floats = NDArray[np.float64]

FINDINGS = ", ".join(
    f"{name}: {{column: {column}, positive: [1], negative: [0]}}"
    for name, column in (("a", "ill"), ("b", "ward2"), ("c", "ward3"))
)
LABELS = {
    "multilabel_classification": f"{{findings: {{{FINDINGS}}}}}",
    "multiclass_classification": "{column: ill, classes: {a: [0], b: [1], c: [2]}}",
    "regression": "{column: ill, range: [20, 120], centre: 70, scale: 20}",
}


def study_of(kind: str, bins: int = 8) -> Study:
    text = TABLE_STUDY.replace("{column: ill, positive: [1], negative: [0]}", LABELS[kind])
    text = text.replace(
        "- {name: ill, kind: other}",
        "- {name: ill, kind: other}\n    - {name: ward2, kind: other}\n"
        "    - {name: ward3, kind: other}",
    )
    text = text.replace("bins: 8", f"bins: {bins}")
    return read_study(text.replace("task:\n", f"task:\n  kind: {kind}\n"))


def drawn(kind: str, random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Returns scores and labels of patients of one population."""
    if kind == "multilabel_classification":
        ill = (random.random((count, CLASSES)) < (0.5, 0.3, 0.4)).astype(np.float64)
        return 1.5 * ill + random.normal(size=(count, CLASSES)), ill
    labels = random.integers(CLASSES, size=count).astype(np.float64)
    if kind == "multiclass_classification":
        return random.normal(size=(count, CLASSES)) + np.eye(CLASSES)[labels.astype(int)], labels
    values = np.clip(random.normal(0, 0.8, count), -2.5, 2.5)
    return np.clip(0.8 * values + random.normal(0, 0.3, count), -2.5, 2.5), values


def reference(outputs: int) -> Floats:
    """Outputs of reference inputs, spread like the scores of findings."""
    return np.linspace(-2, 3, 50)[:, None].repeat(outputs, axis=1)


def released(
    kind: str,
    scores: Floats,
    labels: Floats,
    noise: float,
    random: np.random.Generator,
    bins: int = 8,
) -> Released:
    """What an evaluation of one hospital releases, with this noise in each number."""
    study, task = study_of(kind, bins), DEFINITIONS[kind]
    given = scores, labels, reference(task.outputs), bins
    counts, own = task.counts(*given), task.own(*given)
    shape = study.evaluation_vector.shape
    noised = NoisedCounts(
        pooled=counts.reshape(shape) / COUNT_UNITS + random.normal(0, noise, shape),
        deviation=noise,
        tables={"east": own.reshape(-1) / COUNT_UNITS + random.normal(0, noise, 4)},
        table_deviations={"east": noise},
        grids={"east": ScoreGrid()},
        groups=(),
    )
    return released_of(study, noised)


@pytest.mark.parametrize("kind", LABELS)
def test_without_noise_released_figures_are_the_exact_ones(kind: str) -> None:
    random, task = np.random.default_rng(2), DEFINITIONS[kind]
    scores, labels = drawn(kind, random, 400)
    exact, found = task.exact(scores, labels), released(kind, scores, labels, 0.0, random)
    assert list(found.figures) == list(exact)
    for name, value in exact.items():
        figure = found.figures[name]
        close = 0.02 if name == "mean_auroc" else 2e-3  # bins hide an order, parts are rounded
        assert figure.value == pytest.approx(value, rel=close)
        assert figure.low <= value <= figure.high
    for name, figure in found.sites["east"].items():
        assert name not in exact or figure.value == pytest.approx(exact[name], rel=2e-3)


@pytest.mark.parametrize("kind", short_form(LABELS, 3))
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_intervals_hold_the_populations_figures(kind: str, noise: float) -> None:
    random, task = np.random.default_rng(3), DEFINITIONS[kind]
    truth = task.exact(*drawn(kind, random, 200_000))
    shown, held = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(200):
        found = released(kind, *drawn(kind, random, 300), noise, random).figures
        for name, value in truth.items():
            low, high = found[name].low, found[name].high
            if low is not None and high is not None:
                shown[name] += 1
                held[name] += low <= value <= high
    assert min(shown.values()) > 190, shown
    assert min(held[name] / shown[name] for name in truth) >= 0.92, (held, shown)


@pytest.mark.parametrize("kind", LABELS)
def test_figures_that_noise_drowns_are_withheld_with_the_reason(kind: str) -> None:
    random = np.random.default_rng(5)
    found = released(kind, *drawn(kind, random, 40), 60.0, random)
    figures = [*found.figures.values(), *found.sites["east"].values()]
    assert {(one.value, one.note) for one in figures} == {(None, TOO_FEW)}


def test_a_class_without_patients_has_no_balanced_accuracy() -> None:
    random = np.random.default_rng(6)
    scores, labels = drawn("multiclass_classification", random, 50)
    some = labels < 2
    found = released("multiclass_classification", scores[some], labels[some], 0.0, random)
    assert found.figures["balanced_accuracy"].value is None
    assert found.figures["accuracy"].value is not None
