"""The section communication: what it chooses, what it refuses, and that noise stays what it is."""

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from protocol.errors import StudyRefused
from protocol.study.privacy import DistributedPrivacy
from protocol.study.rounds.noise_shares import LEAST_DEVIATION, NoiseShares, units_for, units_of
from protocol.study.rounds.round_vector import ring_of, round_vector
from protocol.study.study import Communication, Study
from protocol.study.study_file import read_study
from protocol.vectors.fixed_point import decode, encode
from protocol.vectors.keystream import Keystream
from tests.support.simulated.studies import TABLE_STUDY, small_study

DISTRIBUTED = (
    "privacy: {mode: distributed, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 0.25, "
    "noise_multiplier: 1.5}"
)


def study_with(privacy: str | None = None, bound: float = 16.0, **keys: Any) -> Study:
    lines = TABLE_STUDY.splitlines()
    if privacy is not None:
        lines = [privacy if line.startswith("privacy") else line for line in lines]
        lines = [line.replace("{rounds: 2, local_steps: 2", "{strategy: fedsgd, rounds: 2, "
                              "local_steps: 1") for line in lines]  # fmt: skip
    text = "\n".join(lines).replace("{threshold: 3,", f"{{bound: {bound}, threshold: 3,")
    study = read_study(text + "\n")
    return study.replaced(communication=Communication(**keys)) if keys else study


def test_a_study_without_the_section_keeps_its_digest_and_its_vector() -> None:
    study = small_study()
    assert "communication" not in study.model_dump(mode="json")
    vector = round_vector(study, {"w": np.zeros(5, np.float32)}, 0)
    assert (vector.ring_bits, vector.frac_bits, vector.size) == (32, 20, 5)
    assert vector.coordinates is None and vector.rounding is None


@pytest.mark.parametrize(
    ("sent", "bound", "chosen"),
    [(1000, 16.0, (16, 8)), (10**6, 16.0, (16, 8)), (2 * 10**6, 16.0, (32, 20)),
     (1000, 100.0, (16, 6)), (1000, 1e5, (32, 12)), (10**8, 1e9, (64, 20))],
)  # fmt: skip
def test_auto_takes_the_narrowest_ring_whose_step_is_fine(
    sent: int, bound: float, chosen: tuple[int, int]
) -> None:
    assert ring_of(study_with(bound=bound, ring_bits="auto"), sent) == chosen


def test_a_ring_that_cannot_hold_the_bound_is_refused_where_it_stands() -> None:
    with pytest.raises(ValidationError, match="lower aggregation.bound below 8192") as refused:
        study_with(bound=9000.0, ring_bits=16)
    (error,) = refused.value.errors()
    assert error["ctx"]["path"] == "communication.ring_bits"


def test_a_ring_whose_step_is_too_coarse_for_the_network_is_refused_with_the_numbers() -> None:
    study = study_with(ring_bits=16)
    with pytest.raises(StudyRefused, match=r"communication.ring_bits: .* 2\^-8; 4000000 coord"):
        ring_of(study, 4_000_000)
    with pytest.raises(StudyRefused, match="2000000 parameters need 5657"):
        NoiseShares.of(*shared(ring_bits=16), 2_000_000)


def shared(**keys: Any) -> tuple[Study, DistributedPrivacy]:
    study = study_with(DISTRIBUTED, **keys)
    assert isinstance(study.privacy, DistributedPrivacy)
    return study, study.privacy


@pytest.mark.parametrize("keys", [{"ring_bits": 16}, {"ring_bits": "auto"}])
def test_shared_noise_in_a_narrow_ring_has_coarser_units_and_the_same_multiplier(
    keys: dict[str, Any],
) -> None:
    study, privacy = shared(**keys)
    narrow, usual = NoiseShares.of(study, privacy, 14), NoiseShares.of(*shared(), 14)
    assert (narrow.ring_bits, usual.ring_bits, usual.units) == (16, 32, units_for(14))
    assert narrow.multiplier == usual.multiplier and narrow.units < usual.units
    assert narrow.units >= 4 * math.sqrt(14)
    assert narrow.multiplier * narrow.units >= LEAST_DEVIATION
    assert 4 * math.ceil(narrow.bound) < 2**15
    assert units_of(study, 14) == narrow.units
    assert units_of(study_with(), 14) == units_for(14)


def test_more_parameters_take_a_wider_ring_where_the_study_leaves_it_open() -> None:
    assert NoiseShares.of(*shared(ring_bits="auto"), 10_000).ring_bits == 32


def test_a_round_sends_its_own_part_and_the_next_round_another() -> None:
    study, model = study_with(ring_bits=16, coordinates=0.5), {"w": np.zeros(100, np.float32)}
    first, again, second = (round_vector(study, model, number) for number in (0, 0, 1))
    assert first.size == 50 and first.digest == again.digest != second.digest
    other = round_vector(study, {"w": np.ones(100, np.float32)}, 0)
    assert other.digest != first.digest
    assert round_vector(study.with_seed(9), model, 0).digest != first.digest


def test_rounding_at_random_is_right_in_the_mean_and_each_sites_own() -> None:
    study, model = study_with(ring_bits=16), {"w": np.zeros(4000, np.float32)}
    vector, update = round_vector(study, model, 0), np.full(4000, 0.3 / 256)
    east, again, west = (vector.encode(site, update) for site in ("east", "east", "west"))
    assert east.tobytes() == again.tobytes() != west.tobytes()
    assert set(decode(east, frac_bits=8) * 256) == {0.0, 1.0}
    assert decode(east, frac_bits=8).mean() * 256 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_rounding_at_random_never_leaves_the_bound(value: float) -> None:
    found = encode(
        np.array([value]), weight=1.0, bound=1.0, frac_bits=3, ring_bits=16,
        rounding=Keystream(bytes(32)),
    )  # fmt: skip
    assert decode(found, frac_bits=3).tolist() == [value]


@pytest.mark.parametrize(
    ("keys", "match"),
    [({"ring_bits": 24}, "ring_bits"), ({"coordinates": 0}, "greater than 0"),
     ({"coordinates": 1.5}, "less than or equal to 1"), ({"bits": 16}, "bits")],
)  # fmt: skip
def test_other_keys_and_values_are_refused(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        Communication(**keys)
