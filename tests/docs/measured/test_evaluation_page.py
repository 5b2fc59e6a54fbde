"""The tables of docs/evaluation.md are those that its commands print."""

import re

import pytest

from tests import ROOT
from tests.long.evaluation.tables import KINDS, grid_errors, half_widths

PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


def rows(begin: str) -> list[list[str]]:
    """Returns the cells of the table whose head begins so."""
    table = PAGE.split(begin, 1)[1].split("\n\n", 1)[0]
    lines = [line for line in table.splitlines()[2:] if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("kind", "ill"), KINDS)
def test_without_noise_the_figures_are_within_the_errors_of_the_grid_that_the_page_states(
    kind: str, ill: float
) -> None:
    (said,) = [row[1:] for row in rows("| scores |") if row[0] == f"{kind}, {ill:.0%} ill"]
    found = grid_errors(kind, ill)
    assert [float(cell) for cell in said] == pytest.approx(list(found.values()), abs=1.5e-4)
    assert abs(found["auroc 32"]) < 0.005 and abs(found["auroc 64"]) < 0.0012
    assert abs(found["linear"]) > 5 * abs(found["auroc 64"])
    assert abs(found["auprc"]) < 0.001 and abs(found["brier"]) < 0.0001


@pytest.mark.parametrize("number", [0, 1, 4, 11, 17, 22, 28])
def test_half_widths_are_those_of_the_page(number: int) -> None:
    patients, epsilon, *said = rows("| test patients | epsilon | bins |")[number]
    count, ill = re.fullmatch(r"([\d,]+), (\d+)% ill", patients).groups()
    noise = None if epsilon == "none" else float(epsilon)
    found = half_widths(int(count.replace(",", "")), int(ill) / 100, noise)
    for cell, value in zip(said, found.values(), strict=True):
        assert cell == "—" if value is None else float(cell) == pytest.approx(value, abs=1e-3)


def test_intervals_of_the_page_hold_the_truth_and_are_narrow_but_for_those_it_names() -> None:
    shown = [row for row in rows("| patients | test patients | epsilon | figure |") if row[5]]
    assert len(shown) > 40
    assert [row for row in shown if float(row[5]) < 0.93] == []
    wide = {(row[0], row[1], row[3]): row[6] for row in shown if float(row[6]) > 1.5}
    skewed = [("skewed, 20% ill", "5,000", name) for name in ("ece", "calibration_intercept")]
    assert [*wide] == skewed
    assert f"{wide[skewed[1]]} times as wide" in " ".join(PAGE.split())


def test_intervals_of_other_tasks_hold_the_truth() -> None:
    shown = [row for row in rows("| figure | test patients | epsilon | shown |") if row[4]]
    assert len(shown) > 70
    # two deviations of a count of the drawings in which it is shown, below 93 of 100
    too_rarely = [
        row[:3] for row in shown
        if float(row[4]) < 0.93 - 2 * (0.93 * 0.07 / (500 * float(row[3]))) ** 0.5
    ]  # fmt: skip
    assert too_rarely == []
    hidden = ("share without the event at 4", "PPV of a class")
    assert all(float(row[6]) <= 1.5 for row in shown if not row[0].startswith(hidden))
