"""Rounds that send some coordinates only: each strategy is a plain loop over those."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from protocol.study.strategies.local_steps import (
    UNSENT,
    LocalEnd,
    LocalStart,
    OwnState,
    with_unsent,
)
from protocol.study.strategies.registry import STRATEGIES, local_end, strategy_of
from protocol.study.strategies.server_state import next_state
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.vectors.update import chosen_coordinates
from tests.support.reference import random_coordinates as oracles
from tests.support.reference.strategies import Settings, Vector
from tests.unit.protocol.study.strategies.test_oracles import BOUND, LAYOUT, clients, section


def sent(number: int) -> list[int]:
    return chosen_coordinates(bytes([number]) * 32, 4, 2).tolist()


def ours(strategy: str, **keys: Any) -> list[Vector]:
    """Each round's parameters, by the functions that hospitals and coordinator call."""
    training = section(strategy, **keys)
    state = ServerState(parameters=np.zeros(4, np.float32))
    kept: list[OwnState] = [{}, {}, {}]
    total, found = sum(client.weight for client in clients()), []
    for number in range(training.rounds):
        places, updates = np.array(sent(number)), []
        for at, client in enumerate(clients()):
            start = LocalStart(
                layout=LAYOUT, round=number, parameters=state.parameters.astype(np.float64),
                steps=client.steps, bound=BOUND, own=kept[at], coordinates=places,
                sent={name: state.slots[name] for name in strategy_of(training).sends
                      if name in state.slots},
            )  # fmt: skip
            end = local_end(training, start, lambda _, x, one=client: one.gradient(x))
            kept[at] = end.own
            updates.append(client.weight / total * end.update[places])
        mean = Mean(update=sum(updates), scalars={}, bound=BOUND, coordinates=places)
        state = next_state(training, state, mean)
        found.append(state.parameters)
    return found


ORACLES: dict[str, tuple[dict[str, Any], Callable[..., list[Vector]], dict[str, Any]]] = {
    "fedavg": ({}, oracles.fed_avg, {}),
    "scaffold": ({}, oracles.scaffold, {}),
    "fedadam": (
        {"server_momentum": 0.9, "server_learning_rate": 0.3, "server_floor": 0.01},
        oracles.fed_adam,
        {"rate": 0.3, "floor": 0.01},
    ),
}


@pytest.mark.parametrize("strategy", ORACLES)
def test_every_round_is_that_of_the_plain_loop(strategy: str) -> None:
    keys, oracle, more = ORACLES[strategy]
    expected = oracle(clients(), np.zeros(4), Settings(6, 0.05), sent, **more)
    for own, theirs in zip(ours(strategy, **keys), expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "fedexp"])
def test_what_was_not_sent_stays_where_it_is_and_so_do_its_moments(strategy: str) -> None:
    more = {"own_layers": ["head"]} if strategy in ("fedper", "fedrep") else {}
    training = section(strategy, **more)
    slots = {name: np.arange(1.0, 5.0) for name in ("first", "second", "velocity", "control")}
    state = ServerState(parameters=np.arange(4, dtype=np.float32), slots=slots)
    places = np.array([0, 3])
    mean = Mean(update=np.array([0.5, -0.5]), scalars={}, bound=BOUND, coordinates=places)
    after = next_state(training, state, mean)
    assert after.parameters[[1, 2]].tolist() == [1.0, 2.0] != after.parameters[[0, 3]].tolist()
    assert all(slot[[1, 2]].tolist() == [2.0, 3.0] for slot in after.slots.values())


@pytest.mark.parametrize(("update", "waits"), [([1.0, 2.0], [0.0, 5.0]), ([0.0, 0.0], [0.0, 3.0])])
def test_what_is_not_sent_waits_for_a_round_with_an_update(
    update: Sequence[float], waits: list[float]
) -> None:
    start = LocalStart(
        layout=LAYOUT, parameters=np.zeros(2), round=1, steps=1, bound=1.0,
        own={UNSENT: np.array([0.0, 3.0])}, coordinates=np.array([0]),
    )  # fmt: skip
    end = with_unsent(start, LocalEnd(update=np.array(update)))
    found = end.own.get(UNSENT)
    assert found is not None and found.tolist() == waits
