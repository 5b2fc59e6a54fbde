"""Figures of attacks as people read them: with what they are compared with."""

import pytest

from compliance.facts.dossier.attack_facts import read_red_team
from tests.support.simulated.red_team_findings import findings


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ([0.36, 0.2], "0.360 (0 says nothing; claimed 1.19 at delta 1e-05)"),
        ([1.3, 0.4], "claimed 1.19 at delta 1e-05; the tests showed 1.300, 0.400: one above the"),
    ],
)
def test_a_bound_above_the_claim_is_told_with_what_it_was_tested_again_by(
    bounds: list[float], told: str
) -> None:
    audit = findings()["one_run"][0] | {"lower_bounds": bounds}
    said = read_red_team("run-1", "2026-11-30T00:00:00.000Z", findings(one_run=[audit]))
    (bound,) = (one for one in said.figures if one.kind.name == "epsilon")
    assert told in bound.text
    assert bound.shown_least == max(bounds)
