"""Figures of each class and finding: scikit-learn's without noise, honest and withheld with it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_fscore_support, roc_auc_score

from compliance.estimates.outcomes.class_figures import figures_of_classes, macro_f1
from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import TOO_FEW
from coordinator.rounds.evaluation.released import released_from, released_json
from tests.support.machine.short_form import short_form
from tests.unit.coordinator.rounds.evaluation.test_task_figures import drawn, released

Floats = NDArray[np.float64]
CLASS, FINDING = "multiclass_classification", "multilabel_classification"


def test_of_classes_they_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    scores, labels = drawn(CLASS, random, 400)
    found, told = released(CLASS, scores, labels, 0.0, random), scores.argmax(axis=1)
    ppv, sensitivity, f1, sizes = precision_recall_fscore_support(labels, told)
    assert [one.outcome for one in found.outcomes] == ["a", "b", "c"]
    for place, one in enumerate(found.outcomes):
        values = {name: figure.value for name, figure in one.figures.items()}
        others = labels != place
        assert values == pytest.approx(
            {
                "sensitivity": sensitivity[place],
                "specificity": (told[others] != place).mean(),
                "ppv": ppv[place],
                "f1": f1[place],
                "patients": sizes[place],
            }
        )
    assert found.figures["macro_f1"].value == pytest.approx(f1_score(labels, told, average="macro"))


def test_of_findings_they_are_those_of_scikit_learn_but_for_the_bins() -> None:
    random = np.random.default_rng(2)
    scores, labels = drawn(FINDING, random, 600)
    found = released(FINDING, scores, labels, 0.0, random).outcomes
    assert [one.outcome for one in found] == ["a", "b", "c"]
    for place, one in enumerate(found):
        exact = roc_auc_score(labels[:, place], scores[:, place])
        auroc = one.figures["auroc"]
        assert auroc.value == pytest.approx(exact, abs=0.02)
        assert auroc.low <= exact <= auroc.high
        assert one.figures["ill"].value == pytest.approx(labels[:, place].mean())


@pytest.mark.parametrize("kind", [CLASS, FINDING])
def test_they_are_kept_and_an_earlier_version_kept_none(kind: str) -> None:
    random = np.random.default_rng(3)
    found = released(kind, *drawn(kind, random, 300), 1.0, random)
    kept = released_json(found)
    assert released_from(kept) == found
    del kept["outcomes"]
    assert released_from(kept).outcomes == ()


@pytest.mark.parametrize("kind", [CLASS, FINDING])
def test_figures_that_noise_drowns_are_withheld_with_the_reason(kind: str) -> None:
    random = np.random.default_rng(4)
    found = released(kind, *drawn(kind, random, 40), 60.0, random)
    notes = {
        (figure.value, figure.note)
        for one in found.outcomes
        for name, figure in one.figures.items()
        if name != "patients"
    }
    assert notes == {(None, TOO_FEW)}


def test_without_noise_what_nobody_has_or_is_given_says_so() -> None:
    none, other, last = figures_of_classes(np.array([[0, 0, 0], [0, 4, 0], [0, 2, 0]]) * 1.0, 0.0)
    assert none["sensitivity"].note == "no patient has this class"
    assert none["ppv"].note == last["ppv"].note == "nobody is given this class"
    assert none["f1"].note == "no patient has this class or is given it"
    assert none["specificity"].value == 1.0
    assert last["f1"].value == 0.0 and other["f1"].value == pytest.approx(0.8)
    assert macro_f1(np.array([[0, 0], [0, 4]]) * 1.0, 0.0).note.startswith(
        "a class that no patient"
    )
    alone = figures_of_classes(np.array([[3, 1], [0, 0]]) * 1.0, 0.0)[0]
    assert alone["specificity"].note == "every patient has this class"


#: A population: (classes, classes) shares, by how often a class is found and how many have it.
POPULATIONS = {
    "three alike": (0.8, (1, 1, 1)),
    "one rare": (0.9, (90, 7, 3)),
    "eight classes": (0.8, (1,) * 8),
    "nearly perfect": (0.97, (2, 1, 1)),
}


def shares(population: str) -> Floats:
    found, sizes = POPULATIONS[population]
    table = np.full((len(sizes), len(sizes)), (1 - found) / (len(sizes) - 1))
    np.fill_diagonal(table, found)
    return table * np.array(sizes)[:, None] / sum(sizes)


def held(population: str, patients: int, noise: float, draws: int) -> dict[str, tuple[int, int]]:
    """How many draws released a figure, and how many of these intervals held the truth."""
    random, table = np.random.default_rng(7), shares(population)
    exact = [{k: f.value for k, f in one.items()} for one in figures_of_classes(table, 0.0)]
    macro, counted = macro_f1(table, 0.0).value, dict[str, tuple[int, int]]()
    for _ in range(draws):
        seen = random.multinomial(patients, table.ravel()).reshape(table.shape)
        cells = seen + random.normal(0, noise, table.shape)
        found = {"macro": (macro_f1(cells, noise), macro)}
        for place in (0, len(table) - 1):
            figures = figures_of_classes(cells, noise)[place]
            for name in ("sensitivity", "specificity", "ppv", "f1"):
                found[f"{name} {place}"] = (figures[name], exact[place][name])
        for name, (figure, truth) in found.items():
            if figure.value is not None:
                shown, right = counted.get(name, (0, 0))
                counted[name] = shown + 1, right + (figure.low <= truth <= figure.high)
    return counted


@pytest.mark.parametrize("population", short_form(POPULATIONS, 2))
@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_intervals_hold_the_populations_figures(population: str, noise: float) -> None:
    found = held(population, 400, noise, 100)
    assert found["macro"][0] > 60
    for name, (shown, right) in found.items():
        assert shown < 30 or right / shown >= 0.89, (name, shown, right)


@pytest.mark.long
@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize(
    ("patients", "noise"),
    [(100, 0.0), (400, 0.0), (400, 2.0), (400, 5.0), (2000, 10.0), (2000, 25.0)],
)
def test_intervals_hold_them_in_500_draws_where_noise_withholds_some_too(
    population: str, patients: int, noise: float
) -> None:
    for name, (shown, right) in held(population, patients, noise, 500).items():
        # two deviations of a count of draws below 93 of 100
        least = 0.93 - 2 * math.sqrt(0.93 * 0.07 / shown)
        assert right / shown >= least, (name, shown, right)


def test_to_choose_by_the_size_chooses_no_draw_of_the_share() -> None:
    random, shown, right = np.random.default_rng(8), 0, 0
    for _ in range(400):
        found = random.binomial(40, 0.5)
        noised = found + random.normal(0, 1.8), 40 - found + random.normal(0, 1.8 * 3)
        figure = proportion(*noised, 1.8, cells=(1, 9))
        if figure.value is not None:
            shown += 1
            right += figure.low <= 0.5 <= figure.high
    assert 20 < shown < 300  # the border, where noise decides
    assert right / shown >= 0.93
