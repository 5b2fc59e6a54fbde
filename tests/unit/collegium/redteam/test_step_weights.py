"""By how much each gradient of a round moves the update that an attacker sees."""

from typing import Any

import pytest

from collegium.redteam.adversary import LocalHospital
from protocol.study.study_file import read_study
from tests.support.simulated.studies import changed


@pytest.mark.parametrize(
    ("keys", "weights"),
    [
        ("local_steps: 2", (1, 1)),
        ("local_steps: 3, momentum: 0.5", (1.75, 1.5, 1)),
        ("local_steps: 2, strategy: fedprox, mu: 0.5", (0.75, 1)),  # rate 0.5: 1 - 0.25 is left
        ("local_steps: 2, strategy: mrmtl, pull: 0.5", (0.75, 1)),
        ("local_steps: 2, strategy: scaffold", (1, 1)),
        ("local_steps: 2, strategy: ditto, pull: 0.5", (1, 1, 0, 0)),
        ("local_steps: 2, strategy: perfedavg", (0, 1, 0, 1)),
    ],
)
def test_weights_are_those_of_the_strategys_own_steps(keys: str, weights: tuple[Any, ...]) -> None:
    study = read_study(changed("local_steps: 2", keys))
    hospital = LocalHospital(study=study, site="east", trainer=None, entropy=None)  # type: ignore[arg-type]
    assert hospital.weights == pytest.approx(weights)
