"""The study's threshold: decisions are counted at it, in tables, bins, groups and exact figures."""

import numpy as np
import pytest

from pipelines.tasks.registry import task_of
from protocol.errors import StudyRefused
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid, logit_of
from tests.support.simulated.evaluations import released_metrics
from tests.support.simulated.studies import changed, small_study

LOW = read_study(changed("task:\n", "task:\n  threshold: 0.1\n"))
REFERENCE = np.linspace(-3, 3, 60)[:, None]


@pytest.mark.parametrize("bins", [2, 5, 8, 16])
def test_decisions_are_those_at_the_risk_that_the_study_says(bins: int) -> None:
    random = np.random.default_rng(1)
    scores, labels = random.normal(-2, 1.5, 400), (random.random(400) < 0.2) * 1.0
    task, at = task_of(LOW.task, LOW.cohort), logit_of(0.1)
    called = 1 / (1 + np.exp(-scores)) > 0.1
    cells = task.own(scores, labels, REFERENCE, bins).reshape(2, bins) / COUNT_UNITS
    below = ScoreGrid.of_cells(tuple(map(int, task.grid(REFERENCE)))).bins_below(at, bins)
    assert cells[:, below:].sum() == called.sum()
    assert cells[1, below:].sum() == (called & (labels > 0)).sum()
    assert task.exact(scores, labels)["accuracy"] == pytest.approx((called == labels).mean())
    group = task.group(scores, labels, REFERENCE, bins)
    np.testing.assert_array_equal(group[:-1] / COUNT_UNITS, cells.reshape(-1))


def test_an_even_threshold_is_no_part_of_a_study() -> None:
    even = read_study(changed("task:\n", "task:\n  threshold: 0.5\n"))
    assert even.digest == small_study().digest != LOW.digest
    assert logit_of(0.5) == 0.0


@pytest.mark.parametrize("risk", ["0", "1", "1.5", ".nan"])
def test_a_threshold_is_a_risk(risk: str) -> None:
    with pytest.raises(StudyRefused, match="threshold"):
        read_study(changed("task:\n", f"task:\n  threshold: {risk}\n"))


def test_a_grid_far_from_the_threshold_has_it_as_its_outermost_border() -> None:
    grid = ScoreGrid(centre=5.0, spread=0.5)
    edges = grid.edges_through(0.0, 8)
    assert edges[0] == 0.0 and (np.diff(edges) > 0).all() and grid.bins_below(0.0, 8) == 1
    counts = np.zeros((2, 8))
    counts[0, 0], counts[1, 7] = 60, 40
    released = released_metrics(
        counts, 0.0, {"a": np.array([[54.0, 6.0], [4.0, 36.0]])}, {"a": 0.0}, grid=grid
    )
    assert released.sites["a"]["specificity"].value == pytest.approx(0.9)
