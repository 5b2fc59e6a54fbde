"""Among released figures, 95 % intervals hold the truth in at least 93 of 100 cases."""

import pytest

from tests.long.evaluation.coverage import auroc_coverage, share_coverage


@pytest.mark.parametrize(
    ("patients", "ill", "auroc", "bins", "epsilon", "times"),
    [
        pytest.param(1000, 0.05, 0.95, 8, 1.0, 1000, marks=pytest.mark.long),
        (1000, 0.05, 0.95, 8, 1.0, 200),
        (400, 0.2, 0.9, 8, 1.0, 200),
        (254, 0.05, 0.99, 4, None, 200),
        (100, 0.05, 0.99, 4, None, 200),
    ],
)
def test_released_auroc(
    patients: int, ill: float, auroc: float, bins: int, epsilon: float | None, times: int
) -> None:
    found = auroc_coverage(patients, ill, auroc, bins, epsilon, times)
    assert found.shown and found.share >= 0.93


@pytest.mark.parametrize(
    ("patients", "share", "epsilon"),
    [(20, 0.95, 3.0), (40, 0.95, 1.0), (40, 0.9, 3.0), (60, 0.8, 1.0), (20, 0.98, 8.0)],
)
def test_released_share_of_a_hospital(patients: int, share: float, epsilon: float) -> None:
    found = share_coverage(patients, share, epsilon, 1000)
    assert found.shown < 0.01 * found.drawn or found.share >= 0.93
