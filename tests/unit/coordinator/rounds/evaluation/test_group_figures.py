"""Figures of groups and of hospitals with bins: exact without noise, and honest with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from compliance.estimates.groups import COMPLEMENTARY
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import largest_gap
from compliance.facts.figures import TASK_FIGURES
from compliance.facts.groups import GroupFacts, group_gaps
from coordinator.rounds.evaluation.registry import APART, released_of, site_figures
from coordinator.rounds.evaluation.released import NoisedCounts, Released
from pipelines.evaluation.metrics import auroc, histogram
from pipelines.tasks.binary_classification import binary_classification
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid
from tests.support.machine.short_form import short_form
from tests.support.simulated.studies import changed

Floats = NDArray[np.float64]
TASK = binary_classification(None)
REFERENCE = np.linspace(-3, 3, 60)[:, None]
STUDY = read_study(
    changed(
        "{bins: 8}",
        "{bins: 8, site_bins: 8, groups: {age: {column: age, edges: [50, 65]}, "
        "sex: {column: sex, values: {women: F, men: M}}}}",
    )
)
KINDS = TASK_FIGURES["binary_classification"].group
#: A false alarm in twenty, of so many.
ALARMS = 0.05


@dataclass(frozen=True)
class Patients:
    """Test patients: score and label, and the place in each grouping, -1 for none."""

    scores: Floats
    labels: Floats
    groups: NDArray[np.int64]


def drawn(
    random: np.random.Generator, count: int, *, ill: float = 0.4, aurocs: tuple[float, ...] = ()
) -> Patients:
    """Returns patients in three bands of age and two sexes; ``aurocs`` are those of the bands."""
    labels = (random.random(count) < ill).astype(np.float64)
    ages, sexes = random.choice(3, count, p=[0.4, 0.4, 0.2]), random.choice(2, count, p=[0.3, 0.7])
    apart = np.array([NormalDist().inv_cdf(one) * 2**0.5 for one in aurocs or (0.8,) * 3])
    scores = random.normal(size=count) + apart[ages] * (labels - 0.5)
    return Patients(scores, labels, np.stack([ages, sexes], axis=1))


def counted(patients: Patients, noise: float, random: np.random.Generator) -> NoisedCounts:
    """Returns the noised counts of an evaluation of these, as if all were of one hospital."""
    vector, evaluation = STUDY.evaluation_vector, STUDY.evaluation
    given = patients.scores, patients.labels, REFERENCE
    groups = []
    for at, size in enumerate(vector.groups):
        chosen = [patients.groups[:, at] == place for place in range(size)]
        cells = np.array(
            [TASK.group(*(one[c] for one in given[:2]), REFERENCE, evaluation.group_bins)
             for c in chosen]
        )  # fmt: skip
        groups.append(cells / COUNT_UNITS + random.normal(0, noise, cells.shape))
    pooled = TASK.counts(*given, evaluation.bins).reshape(vector.shape) / COUNT_UNITS
    own = TASK.own(*given, evaluation.site_bins).reshape(vector.own_shape) / COUNT_UNITS
    return NoisedCounts(
        pooled=pooled + random.normal(0, noise, pooled.shape),
        deviation=noise,
        groups=tuple(groups),
        tables={"east": own + random.normal(0, noise, own.shape)},
        table_deviations={"east": noise},
        grids={"east": ScoreGrid.of_cells(tuple(map(int, TASK.grid(REFERENCE))))},
    )


def released(patients: Patients, noise: float, random: np.random.Generator) -> Released:
    """Returns what such an evaluation releases."""
    return released_of(STUDY, counted(patients, noise, random))


def of_hospital(
    random: np.random.Generator, count: int, *, aurocs: tuple[float, ...] = ()
) -> Mapping[str, Interval]:
    """Returns the figures of a hospital's own counts of so many patients."""
    noised = counted(drawn(random, count, aurocs=aurocs), 1.0, random)
    return site_figures(STUDY, noised.sites["east"])


def facts(found: Released) -> list[GroupFacts]:
    return [
        GroupFacts(grouping=one.grouping, group=one.group, released=one.figures, exact={})
        for one in found.groups
    ]


def test_without_noise_figures_of_a_group_are_those_of_its_patients_alone() -> None:
    random = np.random.default_rng(1)
    patients = drawn(random, 2000)
    for one in released(patients, 0.0, random).groups:
        at = [*STUDY.evaluation.groups].index(one.grouping)
        place = STUDY.evaluation.groups[one.grouping].groups.index(one.group)
        chosen = patients.groups[:, at] == place
        scores, labels = patients.scores[chosen], patients.labels[chosen]
        called, said = scores > 0, {name: found.value for name, found in one.figures.items()}
        tn, fp, fn, tp = confusion_matrix(labels, called).ravel()
        assert said["patients"] == len(labels) == tn + fp + fn + tp
        assert said["sensitivity"] == pytest.approx(recall_score(labels, called))
        assert said["specificity"] == pytest.approx(tn / (tn + fp))
        assert said["ppv"] == pytest.approx(precision_score(labels, called))
        assert said["flagged"] == pytest.approx(called.mean())
        assert said["ill"] == pytest.approx(labels.mean())
        risks = 1 / (1 + np.exp(-scores))
        assert said["lacking"] == pytest.approx((labels - risks).mean(), abs=2e-3)
        exact = auroc(scores, labels)
        assert exact is not None
        assert said["auroc"] == pytest.approx(exact, abs=0.02)
        interval = one.figures["auroc"]
        assert interval.low <= exact <= interval.high


def test_a_hospitals_own_bins_give_its_auroc_and_the_same_decisions_as_a_table() -> None:
    random = np.random.default_rng(2)
    patients = drawn(random, 500)
    found = released(patients, 0.0, random).sites["east"]
    right = ((patients.scores > 0) == (patients.labels > 0)).mean()
    assert found["accuracy"].value == pytest.approx(right)
    exact = auroc(patients.scores, patients.labels)
    assert exact is not None
    assert found["auroc"].low <= exact <= found["auroc"].high


DRAWS = [
    pytest.param(50, id="quick"),
    pytest.param(500, marks=pytest.mark.long, id="long"),
]


@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("noise", short_form([1.5, 0.0], 2))
def test_overlapping_groups_of_equal_quality_are_rarely_called_unequal(
    noise: float, draws: int
) -> None:
    """In at most one of twenty evaluations any gap of a figure, of both groupings together."""
    random = np.random.default_rng(3)
    alarms = dict.fromkeys((kind.name for kind in KINDS), 0)
    for _ in range(draws):
        gaps = group_gaps(facts(released(drawn(random, 900), noise, random)), KINDS)
        for name in alarms:
            alarms[name] += any(
                gap[name] is not None and gap[name].is_shown for gap in gaps.values()
            )
    allowed = ALARMS * draws + (2 * (draws * ALARMS * (1 - ALARMS)) ** 0.5 if draws < 500 else 0)
    assert max(alarms.values()) <= allowed, alarms


@pytest.mark.parametrize("draws", DRAWS)
def test_intervals_of_a_group_hold_the_populations_figures(draws: int) -> None:
    random = np.random.default_rng(4)
    truth = {
        (one.grouping, one.group): {name: f.value for name, f in one.figures.items()}
        for one in released(drawn(random, 400_000), 0.0, random).groups
    }
    for figures in truth.values():
        figures["auroc"] = 0.8  # exactly, and not that of the bins
    held, shown = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(draws):
        for one in released(drawn(random, 900), 1.5, random).groups:
            key = (one.grouping, one.group)
            for name, found in one.figures.items():
                if name == "patients" or found.low is None or found.high is None:
                    continue
                shown[key] += 1
                held[key] += found.low <= truth[key][name] <= found.high
    assert min(held[key] / shown[key] for key in truth) >= 0.93, (held, shown)


@pytest.mark.parametrize("draws", DRAWS)
def test_two_hospitals_of_equal_auroc_are_rarely_called_unequal_and_a_gap_is_found(
    draws: int,
) -> None:
    """Of 12 and of 900 patients; and 0.85 against 0.70 at 400 patients each."""
    random = np.random.default_rng(5)
    alarms = seen = 0
    for _ in range(draws):
        equal = [of_hospital(random, size) for size in (12, 900)]
        far = [of_hospital(random, 400, aurocs=(one,) * 3) for one in (0.85, 0.70)]
        for name in ("auroc", "accuracy", "sensitivity", "specificity"):
            gap = largest_gap({"small": equal[0][name], "large": equal[1][name]})
            alarms += gap is not None and gap.is_shown
        gap = largest_gap({"good": far[0]["auroc"], "bad": far[1]["auroc"]})
        seen += gap is not None and gap.is_shown
    assert alarms <= 4 * ALARMS * draws
    assert seen >= 0.8 * draws


def test_an_empty_group_and_a_small_one_have_reasons_and_no_figures() -> None:
    random = np.random.default_rng(6)
    patients = drawn(random, 300)
    patients.groups[:, 0] = np.where(np.arange(300) < 5, 1, 0)  # none in the third band
    by_name = {one.group: one.figures for one in released(patients, 0.0, random).groups}
    assert by_name["65 and above"]["auroc"].note == "fewer than 10 patients"
    assert by_name["50 to below 65"]["patients"].value is None
    assert by_name["below 50"]["auroc"].note == COMPLEMENTARY  # all but five
    gaps = group_gaps(facts(released(patients, 0.0, random)), KINDS)
    assert set(gaps["age"].values()) == {None}


def test_scores_that_are_no_numbers_and_one_class_give_figures_or_reasons() -> None:
    random = np.random.default_rng(7)
    patients = drawn(random, 300)
    patients.scores[::7], patients.labels[:] = np.nan, 0.0
    for one in released(patients, 0.0, random).groups:
        assert one.figures["auroc"].value is None and one.figures["auroc"].note
        assert one.figures["sensitivity"].note == "no patients"
        assert one.figures["specificity"].value is not None


def test_hospitals_whose_machines_place_the_threshold_apart_keep_their_decisions() -> None:
    """A unit's rounding of the grid may move it by a bin: decisions add up, groups are withheld."""
    random, bins = np.random.default_rng(8), STUDY.evaluation.site_bins
    near = [ScoreGrid.of_cells((units, 10_000)) for units in range(4000, 6500)]
    apart = next(
        (one, other)
        for one, other in zip(near, near[1:], strict=False)
        if one.bins_below(0.0, bins) != other.bins_below(0.0, bins)
    )
    grids = dict(zip(("east", "west"), apart, strict=True))
    patients = drawn(random, 600)
    vector = STUDY.evaluation_vector
    tables = {
        site: histogram(
            patients.scores, patients.labels, grid.edges_through(0.0, bins), side="left"
        ).astype(float)
        for site, grid in grids.items()
    }
    noised = NoisedCounts(
        pooled=np.ones(vector.shape),
        deviation=0.0,
        groups=tuple(np.full((count, *vector.group_shape), 20.0) for count in vector.groups),
        tables=tables,
        table_deviations=dict.fromkeys(grids, 0.0),
        grids=grids,
    )
    found = released_of(STUDY, noised)
    right = ((patients.scores > 0) == (patients.labels > 0)).mean()
    assert found.figures["accuracy"].value == pytest.approx(right)
    assert {figure.note for one in found.groups for figure in one.figures.values()} == {APART}
    alike = replace(noised, grids=dict.fromkeys(grids, apart[0]))
    again = released_of(STUDY, alike).groups
    assert APART not in {figure.note for one in again for figure in one.figures.values()}
