"""Hospitals of equal quality are rarely called unequal, and a large gap is found."""

from dataclasses import replace

import numpy as np
import pytest

from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap, largest_gap
from compliance.estimates.proportion import proportion
from compliance.facts.dossier import run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html
from tests.support.machine.short_form import short_form
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report

DRAWS = 500


def drawn(
    random: np.random.Generator, sizes: tuple[int, ...], shares: tuple[float, ...], noise: float
) -> dict[str, Interval]:
    """What hospitals release of a share, each with its patients and its noise."""
    found = {}
    for place, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        right = random.binomial(size, share)
        cells = np.array([right, size - right]) + random.normal(0, noise, 2)
        found[f"hospital {place}"] = proportion(float(cells[0]), float(cells[1]), noise)
    return found


def gaps(
    sizes: tuple[int, ...], shares: tuple[float, ...], noise: float = 1.0
) -> list[LargestGap | None]:
    random = np.random.default_rng(1)
    return [largest_gap(drawn(random, sizes, shares, noise)) for _ in range(DRAWS)]


@pytest.mark.parametrize(
    ("sizes", "share"),
    [((12, 900), 0.8), ((12, 900), 0.95), ((40, 40, 40, 40, 40, 40), 0.8), ((400,) * 8, 0.7)],
)
@pytest.mark.parametrize("noise", short_form([0.0, 2.0], 2))
def test_hospitals_of_equal_quality_are_called_unequal_at_most_once_in_twenty(
    sizes: tuple[int, ...], share: float, noise: float
) -> None:
    found = gaps(sizes, (share,) * len(sizes), noise)
    assert sum(gap is not None and gap.is_shown for gap in found) <= 0.05 * DRAWS


def test_a_large_gap_between_large_hospitals_is_found() -> None:
    found = gaps((400, 400, 400, 400), (0.85, 0.85, 0.85, 0.70), noise=2.0)
    shown = [gap for gap in found if gap is not None and gap.is_shown]
    assert len(shown) >= 0.8 * DRAWS
    assert all(gap.lowest == "hospital 3" for gap in shown)


@pytest.mark.parametrize("shares", [(0.8, 0.8, 0.8), (0.9, 0.8, 0.7)])
def test_the_interval_holds_the_largest_true_gap(shares: tuple[float, ...]) -> None:
    true = max(shares) - min(shares)
    found = gaps((300, 200, 60), shares, noise=2.0)
    held = [gap is not None and gap.low <= true <= gap.high for gap in found]
    assert np.mean(held) >= 0.95


def test_the_detectable_gap_is_found_in_four_of_five() -> None:
    (first, *_) = [gap for gap in gaps((400, 400), (0.8, 0.8)) if gap is not None]
    apart = first.detectable / 2
    found = gaps((400, 400), (0.8 + apart, 0.8 - apart))
    assert np.mean([gap is not None and gap.is_shown for gap in found]) == pytest.approx(
        0.8, abs=0.07
    )


def test_one_known_figure_has_no_gap() -> None:
    withheld = Interval(value=None, low=None, high=None, note="too few patients")
    known = Interval(value=0.5, low=0.4, high=0.6)
    assert largest_gap({"a": known, "b": withheld}) is None
    assert largest_gap({}) is None


def test_page_report_and_json_say_what_may_be_concluded() -> None:
    dossier = dossiers.finished()
    few = "Accuracy: the largest gap, between north and south, is 0.172 (95 %: "
    for document in (privacy_report(dossier), run_page(dossier, [])):
        page = render_html(document)
        assert few in page and "for all 3 hospitals together). The interval is that of" in page
    found = run_json(dossier)["largest_gaps_released"]["accuracy"]
    assert found["is_shown"] is True and found["value"] == pytest.approx(0.172)
    assert "find out why before the model is used" in page
    wide = Interval(value=0.7, low=0.4, high=0.9)
    sites = (*dossier.sites[:2], replace(dossier.sites[2], released={"accuracy": wide}))
    page = render_html(privacy_report(replace(dossier, sites=sites)))
    assert "to be shown in 80 of 100 evaluations" in page and "find out why" not in page


def test_the_pair_of_which_a_gap_is_shown_is_named_where_another_lies_further_apart() -> None:
    """A and B lie furthest apart, and are of few patients: between C and D a gap is shown."""
    figures = {
        "A": Interval(value=0.92, low=0.60, high=1.0),
        "B": Interval(value=0.55, low=0.25, high=0.85),
        "C": Interval(value=0.85, low=0.83, high=0.87),
        "D": Interval(value=0.65, low=0.63, high=0.67),
    }
    gap = largest_gap(figures)
    assert gap is not None and gap.is_shown
    assert (gap.highest, gap.lowest, gap.shown_between) == ("A", "B", ("C", "D"))
    alone = largest_gap({name: figures[name] for name in "AB"})
    assert alone is not None and not alone.is_shown and alone.shown_between is None
