"""Models on the same patients: figures, and leads that are paired."""

import numpy as np
import pytest

from compliance.facts.figures import AUROC, BALANCED_ACCURACY, C_INDEX, MAE, MEAN_AUROC
from pipelines.evaluation.compared_models import FEWEST_DRAWN, compared_models, why_not_available
from pipelines.evaluation.exact_intervals import (
    DRAWS,
    FEWEST_OF_A_CLASS,
    auroc_difference,
    auroc_interval,
)
from pipelines.evaluation.metrics import auroc
from tests.support.simulated.tasks import DEFINITIONS


def error(scores, labels):
    return {"mae": float(np.abs(scores - labels).mean()) if len(labels) else None}


def drawn(seed=0, count=60):
    random = np.random.default_rng(seed)
    labels = random.normal(size=count)
    return {"near": labels + random.normal(0, 0.5, count), "far": labels + 2.0}, labels


def each(scores):
    """Every model trained once."""
    return {name: [own] for name, own in scores.items()}


def test_a_bootstraps_leads_and_figures_are_those_of_the_same_patients_drawn_again():
    scores, labels = drawn()
    found = compared_models(
        each(scores), labels, exact=error, headline=MAE, pairs=[("near", "far")], seed=3
    )
    random, leads, near = np.random.default_rng(3), [], []
    for _ in range(DRAWS):
        places = random.integers(len(labels), size=len(labels))
        own = [float(np.abs(scores[m][places] - labels[places]).mean()) for m in ("near", "far")]
        leads.append(own[1] - own[0])  # of an error the smaller is the better
        near.append(own[0])
    lead, figure = found.leads["near", "far"], found.figures["near"]["mae"]
    assert (lead.low, lead.high) == pytest.approx(tuple(np.quantile(leads, (0.025, 0.975))))
    assert (figure.low, figure.high) == pytest.approx(tuple(np.quantile(near, (0.025, 0.975))))
    assert lead.low > 0  # the nearer is the better one


def test_a_lead_of_a_model_over_itself_is_nothing():
    scores, labels = drawn()
    found = compared_models(
        {"one": [scores["near"]], "two": [scores["near"]]},
        labels, exact=error, headline=MAE, pairs=[("one", "two")], seed=3,
    )  # fmt: skip
    lead = found.leads["one", "two"]
    assert (lead.value, lead.low, lead.high) == (0.0, 0.0, 0.0)


def test_aurocs_are_led_by_delongs_difference():
    random = np.random.default_rng(1)
    labels = (random.random(80) < 0.4).astype(float)
    scores = {name: labels + random.normal(0, 1, 80) for name in ("a", "b")}
    found = compared_models(
        each(scores),
        labels,
        exact=DEFINITIONS["binary_classification"].exact,
        headline=AUROC,
        pairs=[("a", "b")],
        seed=0,
    )
    assert found.leads["a", "b"] == auroc_difference(scores["a"], scores["b"], labels)
    ill = int(labels.sum())
    area = auroc(scores["a"], labels)
    assert found.figures["a"]["auroc"] == auroc_interval(area, ill, 80 - ill)


def test_of_several_trainings_it_is_the_mean_and_the_interval_holds_what_they_vary_by():
    random = np.random.default_rng(4)
    labels = (random.random(100) < 0.4).astype(float)
    fixed = labels + random.normal(0, 1, 100)
    noised = [labels + random.normal(0, spread, 100) for spread in (0.5, 1.0, 1.5, 2.0)]
    found = compared_models(
        {"fixed": [fixed], "noised": noised}, labels,
        exact=DEFINITIONS["binary_classification"].exact, headline=AUROC,
        pairs=[("fixed", "noised")], seed=0, random={"noised"},
    )  # fmt: skip
    areas = [auroc(own, labels) for own in noised]
    lead, figure = found.leads["fixed", "noised"], found.figures["noised"]["auroc"]
    assert lead.value == pytest.approx(auroc(fixed, labels) - np.mean(areas))
    assert figure.value == pytest.approx(np.mean(areas))
    half = 3.182446 * np.std(areas, ddof=1) / 2  # Student's t with three degrees of freedom
    patients = auroc_difference(fixed, np.stack(noised), labels)
    expected = np.hypot(patients.high - patients.value, half)
    assert lead.high - lead.value == pytest.approx(expected, rel=1e-5)
    own = auroc_interval(figure.value, int(labels.sum()), 100 - int(labels.sum()))
    assert figure.value - figure.low == pytest.approx(
        np.hypot(figure.value - own.low, half), rel=1e-5
    )
    assert figure.high <= 1.0


def test_the_difference_of_mean_aurocs_varies_with_patients_as_their_mean_placements_do():
    """DeLong's covariance over all four models gives the variance of any mean of their AUROCs."""
    random = np.random.default_rng(6)
    labels = (random.random(90) < 0.5).astype(float)
    scores = np.stack([labels + random.normal(0, 1, 90) for _ in range(4)])
    kernel = [(np.sign(s[labels > 0][:, None] - s[labels == 0][None, :]) + 1) / 2 for s in scores]
    by_ill, by_well = (np.array([k.mean(axis=axis) for k in kernel]) for axis in (1, 0))
    weights = np.array([0.5, 0.5, -0.5, -0.5])
    covariance = np.cov(by_ill) / by_ill.shape[1] + np.cov(by_well) / by_well.shape[1]
    found = auroc_difference(scores[:2], scores[2:], labels)
    deviation = np.sqrt(weights @ covariance @ weights)
    assert found.high - found.value == pytest.approx(1.959964 * deviation, rel=1e-5)


def test_a_lead_of_too_few_trainings_has_no_interval_and_one_that_always_comes_out_alike_has():
    scores, labels = drawn()
    trainings = {"near": [scores["near"]] * 2, "far": [scores["far"]]}
    for random, has in (({"near"}, False), ((), True)):
        found = compared_models(
            trainings, labels, exact=error, headline=MAE, pairs=[("near", "far")], seed=3,
            random=random,
        )  # fmt: skip
        assert (found.leads["near", "far"].low is not None) == has


def left_out(trials, leads):
    """How often the interval of a lead that is truly nothing leaves out 0."""
    return sum(lead.low > 0 or lead.high < 0 for lead in (leads() for _ in range(trials))) / trials


def test_where_models_do_not_differ_intervals_of_aurocs_leave_out_0_about_as_often_as_they_say():
    random = np.random.default_rng(0)
    labels = np.r_[np.zeros(FEWEST_OF_A_CLASS), np.ones(60)]

    def lead():
        hard = labels * 1.2 + random.normal(size=len(labels))
        ours, theirs = (hard + random.normal(size=len(labels)) for _ in range(2))
        return auroc_difference(ours, theirs, labels)

    assert left_out(800, lead) < 0.085


@pytest.mark.long
def test_where_noise_alone_differs_intervals_leave_out_0_about_as_often_as_they_say():
    """Each training has an error of its own that all patients share, as a noised model has."""
    random, of_patients = np.random.default_rng(1), []
    labels = np.r_[np.zeros(60), np.ones(60)]
    exact = DEFINITIONS["binary_classification"].exact

    def lead():
        hard = labels + random.normal(size=len(labels))
        other = random.normal(size=len(labels))  # another direction than that of the illness
        scores = {
            name: [hard + abs(random.normal(0, 1.5)) * other for _ in range(5)] for name in "ab"
        }
        found = compared_models(
            scores, labels, exact=exact, headline=AUROC, pairs=[("a", "b")], seed=0, random=scores
        )
        of_patients.append(auroc_difference(*map(np.stack, scores.values()), labels))
        return found.leads["a", "b"]

    assert left_out(300, lead) < 0.085
    alone = iter(of_patients)
    assert left_out(300, lambda: next(alone)) > 0.5  # what the patients alone would say


@pytest.mark.long
def test_where_models_do_not_differ_drawn_intervals_leave_out_0_about_as_often_as_they_say():
    random = np.random.default_rng(2)

    def lead():
        labels = random.normal(size=FEWEST_DRAWN)
        hard = random.normal(size=FEWEST_DRAWN)
        scores = {name: [labels + hard + random.normal(size=FEWEST_DRAWN)] for name in ("a", "b")}
        found = compared_models(
            scores, labels, exact=error, headline=MAE, pairs=[("a", "b")], seed=0
        )
        return found.leads["a", "b"]

    assert left_out(300, lead) < 0.11


def test_a_lead_over_too_few_patients_has_no_interval():
    scores, labels = drawn(count=FEWEST_DRAWN - 1)
    found = compared_models(
        each(scores), labels, exact=error, headline=MAE, pairs=[("near", "far")], seed=3
    )
    lead = found.leads["near", "far"]
    assert lead.value is not None and (lead.low, lead.high) == (None, None)
    figure = found.figures["near"]["mae"]
    assert figure.value is not None and (figure.low, figure.high) == (None, None)


@pytest.mark.parametrize(
    ("headline", "few", "enough"),
    [
        (C_INDEX, np.r_[np.ones(9), -np.ones(51)], np.r_[np.ones(10), -np.ones(50)]),
        (BALANCED_ACCURACY, np.r_[np.ones(9), np.zeros(51)], np.r_[np.ones(10), np.zeros(50)]),
        (MEAN_AUROC, np.eye(60)[:, [3, 4]], np.tile([[1.0, 0.0], [0.0, 1.0]], (30, 1))),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_an_interval_needs_ten_patients_with_each_class_or_an_event(headline, few, enough):
    def exact(scores, labels):
        return {headline.name: float(scores.mean())}

    for labels, has in ((few, False), (enough, True)):
        scores = {"a": [np.random.default_rng(0).normal(size=(60, 2))]}
        found = compared_models(scores, labels, exact=exact, headline=headline, pairs=[], seed=0)
        assert (found.figures["a"][headline.name].low is not None) == has


def test_what_is_not_available_has_no_lead():
    none = compared_models(
        {"a": [np.zeros((30, 2))], "b": [np.zeros((30, 2))]},
        np.zeros(30),
        exact=lambda scores, labels: {"balanced_accuracy": None},
        headline=BALANCED_ACCURACY,
        pairs=[("a", "b")],
        seed=0,
    )
    assert none.leads["a", "b"].value is None
    assert none.figures["a"]["balanced_accuracy"].value is None


@pytest.mark.parametrize(
    ("kind", "scores", "labels", "why"),
    [
        ("regression", [], [], "no test patient"),
        ("regression", [np.nan], [1.0], "diverged"),
        ("binary_classification", [1.0, 2.0], [1.0, 1.0], "one class only"),
        ("survival", [1.0, 2.0], [-1.0, -1.0], "who had the event first"),
    ],
)
def test_why_a_figure_is_not_available_is_said(kind, scores, labels, why):
    assert why in why_not_available(kind, np.array(scores), np.array(labels))
