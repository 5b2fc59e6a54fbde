"""docs/communication.md keeps its claims: bytes as measured, and a point lost at most."""

import pytest

from protocol.study.study import Communication
from tests import ROOT
from tests.long.communication.forms import FORMS, measured
from tests.long.communication.utility import STUDIES, hospitals_of, reached

PAGE = (ROOT / "docs" / "communication.md").read_text(encoding="utf-8")
HALF = "16 bits, half of the coordinates"
SEGMENTATION = "177,658"


def table(head: str) -> list[list[str]]:
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_a_shipped_study_sends_3_5_times_fewer_bytes_of_everything_that_crosses() -> None:
    rows = {form: cells for size, _, form, *cells in table("parameters") if size == SEGMENTATION}
    before, after = (sum(map(number, rows[form][:2])) for form in ("as it is", HALF))
    assert rows[HALF][2] == f"{before / after:.2f}" and before / after >= 3.5


@pytest.mark.parametrize("form", ["as it is", HALF])
def test_bytes_of_the_page_are_what_is_measured(form: str) -> None:
    (row,) = [row for row in table("parameters") if row[0] == "2,033" and row[2] == form]
    assert measured(2033, 4, FORMS[form]) == (number(row[3]), number(row[4]))


def test_no_study_loses_more_than_a_point_in_any_form() -> None:
    rows = table("study")
    assert [(name, figure, int(seeds)) for name, figure, seeds, *_ in rows] == [
        (name, one.figure, one.seeds) for name, one in STUDIES.items()
    ]
    for _, _, _, as_it_is, *others in rows:
        assert all(float(one) >= float(as_it_is) - 0.01 for one in others)


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_a_line_of_the_page_is_what_the_study_reaches(form: str) -> None:
    name = "heart disease without privacy"
    (row,) = [row for row in table("study") if row[0] == name]
    found = reached(name, hospitals_of(name), form, STUDIES[name].seeds)
    assert found == pytest.approx(float(row[3 + list(FORMS).index(form)]), abs=2e-3)


def test_the_forms_are_those_of_the_page() -> None:
    assert FORMS[HALF] == Communication(ring_bits=16, coordinates=0.5)
    assert [row[2] for row in table("parameters")[:4]] == list(FORMS)
