"""Scalars of a strategy: under the same mask, and nothing beside it."""

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StudyRefused, SumRefused
from protocol.secagg.messages import Advertise, Complaint, Consistency, Masked, Reveal, ShareHeader
from protocol.study.strategies.registry import STRATEGIES
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.study_file import read_study
from protocol.transport.steps import Reply
from protocol.vectors.ring_bounds import MAX_SCALARS, SCALAR_PART, require_sum_of_updates
from protocol.vectors.tensors import Layout
from protocol.vectors.update import UpdateVector
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study

LAYOUT = Layout(names=("w",), shapes=((3,),))


def vector_of(strategy: str) -> UpdateVector:
    return UpdateVector(parameters=LAYOUT, scalars=STRATEGIES[strategy].scalars)


def without_privacy() -> str:
    text = changed("rounds: 2", "rounds: 3, strategy: fedexp")
    start = text.index("privacy:")
    return (
        text[:start]
        + "privacy: {mode: none, sampling_rate: 1.0}\n"
        + text[text.index("aggregation:") :]
    )


@given(st.lists(st.floats(-9, 9), min_size=3, max_size=3), st.floats(0.1, 1.0))
def test_scalars_travel_behind_the_parameters_with_the_same_weight(
    update: list[float], weight: float
) -> None:
    vector = vector_of("fedexp")
    words = vector.encode(np.array(update), weight=weight, bound=4.0, frac_bits=20)
    assert words.shape == (4,)
    read, scalars = vector.read(words, bound=4.0, frac_bits=20)
    expected = min(1.0, float(np.linalg.norm(update)) / 4) ** 2 * weight
    assert scalars["squared_norm"] == pytest.approx(expected, abs=1e-5)
    plain = vector_of("fedavg")
    same = plain.encode(np.array(update), weight=weight, bound=4.0, frac_bits=20)
    assert np.array_equal(words[:3], same)


def test_layout_without_scalars_is_the_parameters_own() -> None:
    assert vector_of("fedavg").digest == LAYOUT.digest
    assert vector_of("fedexp").digest != LAYOUT.digest


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_its_keys_and_every_scalar_is_from_0_to_1(name: str) -> None:
    strategy = STRATEGIES[name]
    assert get_args(strategy.keys.model_fields["strategy"].annotation) == (name,)
    assert len(strategy.scalars) <= MAX_SCALARS
    for scalar in strategy.scalars.values():
        for update in (np.zeros(3), np.full(3, 0.1), np.full(3, 1e9)):
            assert 0 <= scalar(update, 4.0) <= 1


def test_longest_updates_with_all_scalars_are_an_honest_sum() -> None:
    one = np.zeros(100 + MAX_SCALARS, dtype=np.uint32)
    one[0] = 2**20
    one[100:] = 2**20 * SCALAR_PART
    require_sum_of_updates(one * np.uint32(5), sites=5, bound=1.0, frac_bits=20)
    one[1] = 2**19
    with pytest.raises(SumRefused):
        require_sum_of_updates(one * np.uint32(5), sites=5, bound=1.0, frac_bits=20)


def test_extrapolation_follows_the_spread_of_the_updates() -> None:
    training = small_study().training
    state = ServerState(parameters=np.zeros(2, dtype=np.float32))
    step = partial(STRATEGIES["fedexp"].apply, training, state)
    update = np.array([0.1, 0.0])
    alike = Mean(update=update, scalars={"squared_norm": 0.01}, bound=1.0)
    assert step(alike).parameters.tolist() == pytest.approx([0.1, 0.0])
    apart = Mean(update=update, scalars={"squared_norm": 0.11}, bound=1.0)
    assert step(apart).parameters[0] == pytest.approx(0.1 * 0.11 / 2 / 0.011)


def test_a_run_whose_strategy_needs_a_scalar_sends_one_number_more(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(without_privacy()))
    outcome = federation.run()
    assert len(federation.watch.rounds) == 4
    assert np.isfinite(outcome.model["weight"]).all()
    vectors = [reply for _, step, reply in federation.link.seen if step == "masked"]
    layout_size = outcome.model["weight"].size + outcome.model["bias"].size
    assert len(vectors[0].blob or b"") == 4 * (layout_size + 1)


def test_extrapolation_under_privacy_is_refused() -> None:
    with pytest.raises(StudyRefused, match="ruled by the noise: use fedavg"):
        read_study(changed("rounds: 2", "rounds: 2, strategy: fedexp"))


def test_nothing_about_a_site_is_sent_in_clear_beside_its_vector_but_its_noised_table() -> None:
    """Whoever adds a field to an answer of a silo has to come by here and say what it shows."""
    keys_and_digests = {
        Advertise: {"mask_public", "share_public", "self_commitment"},
        ShareHeader: {"adverts", "entries"},
        Masked: {"blob", "ledger_head", "table"},
        Complaint: {"against"},
        Consistency: {"adverts", "senders", "survivors"},
        Reveal: {"self_shares", "pair_shares"},
    }
    for message, expected in keys_and_digests.items():
        assert {field.name for field in fields(message)} == expected
    assert {field.name for field in fields(Reply)} == {"message", "blob", "refusal"}
