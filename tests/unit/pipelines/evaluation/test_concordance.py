"""The c-index of other libraries, and of patients by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation import concordance as module
from pipelines.evaluation.concordance import concordance

MADE = json.loads(Path(__file__).with_name("concordance.json").read_text())


@pytest.mark.parametrize("case", MADE["cases"])
@pytest.mark.parametrize("library", MADE["made"])
@pytest.mark.parametrize("at_once", [7, 1 << 22])
def test_it_is_that_of_other_libraries(
    case: dict, library: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    found = concordance(*(np.array(case[name]) for name in ("scores", "times", "events")))
    assert found == pytest.approx(case[library], abs=1e-6)


def test_without_a_comparable_pair_there_is_none() -> None:
    scores, times = np.array([1.0, 2.0]), np.array([1.0, 2.0])
    assert concordance(scores, times, np.array([False, False])) is None
    assert concordance(scores, times, np.array([False, True])) is None
    assert concordance(np.array([np.nan, 2.0]), times, np.array([True, True])) is None
