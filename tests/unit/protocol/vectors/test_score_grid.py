"""Bins lie where a model's scores lie, wherever that is, and a figure that bins spoil is withheld.

On a grid fixed beforehand, [-4, 4] in four bins, an exact AUROC of 0.798 was once released
as 0.584 [0.521, 0.646]: nearly all scores lay in one bin.
"""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.estimates.binned_scores.auroc import TOO_CLOSE, auroc_from_histogram
from pipelines.evaluation.metrics import auroc, histogram
from pipelines.networks.reference_inputs import reference_inputs
from pipelines.records import Records
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid, agreed_grid
from silos.training.trainer import Trainer
from tests import ROOT
from tests.support.simulated.studies import changed, small_study

EXAMPLES = ROOT / "examples"


def scored(
    centre: float, spread: float, count: int = 4000, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of this centre and spread that rank with an AUROC of about 0.8, and who is ill."""
    random = np.random.default_rng(seed)
    ill = random.random(count) < 0.17
    raw = random.normal(size=count) + 1.2 * ill
    return centre + spread * (raw - raw.mean()) / raw.std(), ill


@pytest.mark.parametrize("bins", [4, 16])
@pytest.mark.parametrize(
    ("centre", "spread"), [(-5.0, 0.5), (0.0, 30.0), (7.0, 0.01), (-900.0, 40.0), (0.0, 1.0)]
)
def test_wherever_scores_lie_the_released_interval_holds_their_auroc(
    centre: float, spread: float, bins: int
) -> None:
    scores, ill = scored(centre, spread)
    grid = ScoreGrid.around(scores[:256])
    counts = histogram(scores, ill, grid.edges(bins)).astype(float)
    found, exact = auroc_from_histogram(counts, 0.0), auroc(scores, ill)
    assert found.note == "" and found.value is not None and exact is not None
    assert found.low < exact < found.high
    assert abs(found.value - exact) < (0.05 if bins == 4 else 0.01)


@pytest.mark.parametrize("bins", [4, 16])
@pytest.mark.parametrize(("centre", "spread"), [(9.0, 1.0), (200.0, 60.0), (-3.0, 0.5)])
def test_scores_that_fall_into_one_bin_are_withheld(
    centre: float, spread: float, bins: int
) -> None:
    scores, ill = scored(0.0, 1.0)
    counts = histogram(scores, ill, ScoreGrid(centre=centre, spread=spread).edges(bins))
    found = auroc_from_histogram(counts.astype(float), 0.0)
    exact = auroc(scores, ill)
    assert exact is not None and found.low < exact < found.high
    assert found.note == TOO_CLOSE


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_interval_reaches_over_what_the_bins_hide(seed: int, turned: bool) -> None:
    """Also of a model that ranks the wrong way round.

    How much bins hide follows from slopes between counts of patients, which are few in narrow
    bins: of 126 grids two may miss, as a 95 % interval may.
    """
    scores, ill = scored(0.0, 1.0, seed=seed)
    scores = -scores if turned else scores
    exact, held = auroc(scores, ill), []
    for centre, spread, bins in product(range(-3, 4), (0.2, 0.25, 0.5, 1, 2, 8), (4, 8, 16)):
        counts = histogram(scores, ill, ScoreGrid(centre=centre, spread=spread).edges(bins))
        found = auroc_from_histogram(counts.astype(float), 0.0)
        assert exact is not None
        held.append(found.low < exact < found.high)
    assert len(held) == 126 and sum(held) >= 124


def test_scores_of_the_grids_own_form_fill_its_bins_evenly() -> None:
    scores = np.random.default_rng(2).normal(-3.0, 0.7, 80_000)
    counts = histogram(scores, np.ones(80_000), ScoreGrid(centre=-3.0, spread=0.7).edges(8))[1]
    assert np.abs(counts / 10_000 - 1).max() < 0.04


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**40))
def test_a_grid_survives_being_signed(centre: int, spread: int) -> None:
    assert ScoreGrid.of_cells((centre, spread)).cells == (centre, spread)


@pytest.mark.parametrize("odd", [[math.nan, 1.0], [math.inf, 0.0], [1e308, -1e308], [3.0, 3.0]])
def test_a_model_of_whatever_scores_has_a_grid_whose_edges_rise(odd: list[float]) -> None:
    grid = ScoreGrid.around(np.array(odd))
    assert (np.diff(grid.edges(256)) > 0).all()


def test_one_hospital_that_signs_another_grid_moves_nothing() -> None:
    honest = ScoreGrid(centre=-2.0, spread=0.5)
    liar = ScoreGrid(centre=1e6, spread=1e6)
    assert agreed_grid([honest, liar, honest]) == agreed_grid([liar, honest, honest]) == honest


def test_reference_inputs_follow_from_declarations_and_seed_alone() -> None:
    study = read_study((EXAMPLES / "heart-disease" / "study.yaml").read_text())
    inputs = reference_inputs(study.cohort, 3)
    assert inputs.shape == (256, study.cohort.width)  # type: ignore[union-attr]
    assert np.array_equal(inputs, reference_inputs(study.cohort, 3))
    assert not np.array_equal(inputs, reference_inputs(study.cohort, 4))
    place = 0
    for column in study.cohort.features:  # type: ignore[union-attr]
        if isinstance(column, NumberColumn):
            low, high = ((end - column.centre) / column.scale for end in column.range)
            assert low - 1e-5 <= inputs[:, place].min() < inputs[:, place].max() <= high + 1e-5
            place += 1
        else:
            words = inputs[:, place : place + len(column.tokens) - 1]
            assert set(np.unique(words)) <= {0.0, 1.0} and set(words.sum(axis=1)) <= {0.0, 1.0}
            place += words.shape[1]


@pytest.mark.parametrize("shape", [[28, 28], [9, 20], [12, 10, 8], [1, 7]])
def test_reference_images_have_the_declared_form_and_range(shape: list[int]) -> None:
    image = {"shape": shape, "range": [0, 255], "centre": 127.5, "scale": 64}
    cohort = ImageCohort.model_validate(
        {"kind": "images", "patient_key": "row", "label": {"positive": [1], "negative": [0]},
         "image": image},
    )  # fmt: skip
    inputs = reference_inputs(cohort, 0)
    assert inputs.shape == (256, 1, *shape) and inputs.dtype == np.float32
    assert -2 <= inputs.min() < -1.5 and 1.5 < inputs.max() <= 2


def records_of(study_width: int, count: int, seed: int) -> Records:
    random = np.random.default_rng(seed)
    return Records(
        features=random.normal(size=(count, study_width)).astype(np.float32),
        labels=(random.random(count) < 0.5).astype(np.float32),
        patients=np.arange(count),
        patient_keys=tuple(map(str, range(count))),
        rows=np.arange(count),
    )


def test_hospitals_with_other_patients_count_on_one_grid() -> None:
    study = small_study()
    width = study.cohort.width  # type: ignore[union-attr]
    grids = set()
    for site, count in (("east", 30), ("west", 17)):
        records = records_of(width, count, seed=count)
        trainer = Trainer(study, site, records, records)
        model = {name: value + np.float32(0.3) for name, value in trainer.initial_model().items()}
        counts, table, grid = trainer.counts(model)
        assert counts.sum() == table.sum() == count * COUNT_UNITS
        grids.add(tuple(grid.tolist()))
    assert len(grids) == 1
    assert ScoreGrid.of_cells(grids.pop()) != ScoreGrid()


def test_the_range_of_a_grid_is_no_longer_declared() -> None:
    with pytest.raises(Exception, match="logit_range"):
        read_study(changed("bins: 8", "bins: 8, logit_range: 4.0"))
