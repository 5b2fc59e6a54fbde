"""Released intervals hold the truth in 93 of 100 drawings, and are no wider than 1.5 oracles'."""

import pytest

from tests.long.evaluation.tables import coverage

#: Population, share of the ill, test patients, epsilon.
CASES = [
    ("well spread", 0.3, 1000, 3.0),
    ("too sure", 0.3, 5000, 1.0),
    ("well spread", 0.05, 5000, 3.0),
]


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_of_every_released_figure_in_500_drawings(case: tuple[str, float, int, float]) -> None:
    for name, found in coverage(*case, 500).items():
        if found.shown > 0.02 * found.drawn:
            assert found.share >= 0.93 and found.width <= 1.5, name


def test_of_every_released_figure_in_few_drawings() -> None:
    found = coverage("well spread", 0.3, 1000, 3.0, 15)
    assert {"auroc", "auprc", "brier", "ece", "sensitivity", "group's ill"} <= found.keys()
    assert sum(one.held for one in found.values()) >= 0.9 * sum(one.shown for one in found.values())
