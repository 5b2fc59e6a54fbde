"""docs/inference.md keeps its claims: lines of its tables are measured again."""

import pytest

from tests import ROOT
from tests.long.extraction.measured import attack, wrong_alarms
from tests.long.extraction.series import ATTACKS
from tests.long.extraction.targets import heart_disease

PAGE = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8")
SEED = 11


def rows() -> dict[tuple[str, str], list[str]]:
    lines = PAGE[PAGE.index("| model | attack |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(model, name): others for model, name, *others in cells}


def test_every_attack_on_every_model_has_its_line() -> None:
    assert {name for _, name in rows()} == set(ATTACKS)
    assert len(rows()) == 3 * len(ATTACKS)


@pytest.mark.parametrize("name", ["one number swept", "columns shuffled apart"])
def test_an_attack_is_seen_when_the_page_says(name: str) -> None:
    target = heart_disease(0)
    found = attack(target, name, SEED)
    after, rules, at_alarm, at_end = rows()[target.name, name]
    assert (after, rules) == (str(found.alarm_after or "never"), ", ".join(found.rules) or "-")
    shown = "-" if found.at_alarm is None else f"{found.at_alarm:.0%}"
    assert (at_alarm, at_end) == (shown, f"{found.at_end:.0%}")


def test_few_ordinary_series_raise_an_alarm() -> None:
    found = wrong_alarms(heart_disease(0), 40, 256, SEED)
    assert found.with_alarm <= 3 and set(found.rules) <= {"one-input-pairs"}
