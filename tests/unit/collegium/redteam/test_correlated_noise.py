"""The red team examines correlated noise as it is, and says so where it is not what was priced."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import silos.training.steps.cycles as cycles
from collegium.redteam.adversary import views_of
from collegium.redteam.findings import Target
from collegium.redteam.noise.canaries import one_run_audit
from collegium.redteam.noise.checks import conformance
from compliance.privacy.noise import CorrelatedSums, NoiseMatrix
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.keystream import Keystream
from silos.training.trainer import Trainer
from tests.support.simulated.faults import Reused
from tests.support.simulated.studies import TABLE_STUDY
from tests.unit.collegium.redteam.test_redteam import attack_randomness

PER_SITE = "epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0"


def study(rate: float = 0.25, momentum: float = 0.5, hidden: int = 200, more: str = "") -> Study:
    return read_study(
        TABLE_STUDY.replace("hidden_channels: [4]", f"hidden_channels: [{hidden}]")
        .replace(
            PER_SITE,
            f"epsilon: 9, delta: 1e-3, clip: 0.7, sampling_rate: {rate}, "
            f"correlated_noise: {{bands: 4}}{more}",
        )
        .replace("local_steps: 2", f"local_steps: 8, momentum: {momentum}")
    )


def failed(of: Study, entropy: object = None) -> set[str]:
    """The names of the checks that fail twice, with fresh noise, as in a red team."""
    claims = Target.planned(of).claims
    views, found = views_of(of, claims["east"]), []
    for attempt in (0, 1):
        randomness = attack_randomness(entropy)  # type: ignore[arg-type]
        checks = conformance(of, claims, views, Trainer, randomness, attempt=attempt)
        found.append({check.name for check in checks if not check.passed})
        if not found[-1]:
            break
    return set.intersection(*found)


@pytest.mark.parametrize("rate", [0.25, pytest.param(0.1, marks=pytest.mark.long)])
def test_the_honest_trainer_passes(rate: float) -> None:
    assert failed(study(rate, more=", noise_multiplier: 1.5")) == set()


class _Independent(CorrelatedSums):
    """Adds the noise of each step and takes nothing back: not what the study says."""

    def noised(self, summed: NDArray[np.int64], stream: Keystream) -> NDArray[np.float64]:
        own = CorrelatedSums(NoiseMatrix(rows=((1,),), scale=1), self._noise.sigma / 64)
        return own.noised(summed, stream)


@pytest.mark.long
def test_noise_that_is_not_correlated_as_the_study_says_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cycles, "CorrelatedSums", _Independent)
    found = failed(study(more=", noise_multiplier: 1.5"))
    assert {"size of the noise", "independence of a round's 8 steps"} <= found


@pytest.mark.long
def test_noise_that_two_steps_share_is_caught() -> None:
    found = failed(study(more=", noise_multiplier: 1.5"), Reused(step=0))
    assert "independence of the releases" in found


@pytest.mark.long
def test_a_patient_in_two_steps_of_a_cycle_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def anybody(stream: Keystream, rate: float, count: int) -> NDArray[np.bool_]:
        return np.ones(count, dtype=np.bool_)

    honest = cycles.Cycles.drawn

    def twice(self, draw, entropy, sampling, count):  # type: ignore[no-untyped-def]
        drawn = honest(self, draw, entropy, sampling, count)
        return drawn | (np.arange(count) == 0)

    monkeypatch.setattr(cycles.Cycles, "drawn", twice)
    assert "inclusion of each patient" in failed(study(more=", noise_multiplier: 1.5"))


def test_the_audit_bounds_epsilon_below_the_claim_of_the_cycles() -> None:
    of = study(0.25, momentum=0.0, hidden=200, more=", noise_multiplier: 1.6")
    claim = Target.planned(of).claims["east"]
    (view,) = views_of(of, claim)
    audit = one_run_audit(of, claim, view, Trainer, attack_randomness())
    assert audit.event == replace(claim.event, steps=4)  # two rounds of two cycles
    assert not audit.contradicted and audit.bound <= audit.claim
