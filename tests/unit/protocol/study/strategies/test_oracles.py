"""Each strategy is its paper's algorithm, on three hospitals whose losses are quadratic."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.study.privacy import NoPrivacy
from protocol.study.strategies.local_steps import LocalEnd, LocalStart, OwnState
from protocol.study.strategies.registry import STRATEGIES, strategy_of
from protocol.study.strategies.server_state import next_state
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.strategies.training import Training
from protocol.vectors.tensors import Layout
from tests.support.reference import strategies as oracles
from tests.support.reference.strategies import Client, Settings, Vector

BOUND = 1e6
LAYOUT = Layout(names=("body", "head.weight"), shapes=((2,), (2,)))


def clients(steps: Sequence[int] = (3, 3, 3)) -> list[Client]:
    """Three hospitals with minima far apart, of unequal size."""
    random = np.random.default_rng(7)
    found = []
    for weight, own in zip((200.0, 90.0, 30.0), steps, strict=True):
        root = random.normal(size=(4, 4))
        slope, minimum = root @ root.T / 4 + np.eye(4) / 5, random.normal(size=4) * 3
        found.append(Client(weight, own, lambda x, a=slope, m=minimum: a @ (x - m)))
    return found


def section(strategy: str, **more: Any) -> Training:
    values = {"strategy": strategy, "rounds": 6, "local_steps": 3, "learning_rate": 0.05} | more
    return STRATEGIES[strategy].keys.model_validate(values)


def local_end(training: Training, start: LocalStart, client: Client) -> tuple[LocalEnd, int]:
    """The end of a hospital's round, and how many gradients it asked for."""
    rule, asked = strategy_of(training).local(training, start), 0
    wanted = next(rule)
    while True:
        asked += 1
        try:
            wanted = rule.send(client.gradient(wanted))
        except StopIteration as ended:
            return ended.value, asked


def ours(
    training: Training,
    hospitals: Sequence[Client],
    present: Callable[[int, int], bool] = lambda _round, _client: True,
) -> list[NDArray[np.float32]]:
    """Each round's global parameters, by the functions that hospitals and coordinator call."""
    return together(training, hospitals, present)[0]


def together(
    training: Training,
    hospitals: Sequence[Client],
    present: Callable[[int, int], bool] = lambda _round, _client: True,
) -> tuple[list[NDArray[np.float32]], list[Vector]]:
    """The global parameters after each round, and each hospital's own model in the end."""
    strategy, state = strategy_of(training), ServerState(parameters=np.zeros(4, np.float32))
    kept: dict[int, OwnState] = {}
    whole, found = sum(one.weight for one in hospitals), []
    for number in range(training.rounds):
        here = [(at, one) for at, one in enumerate(hospitals) if present(number, at)]
        weight = sum(one.weight for _, one in here)
        update: Vector = np.zeros(4)
        for at, one in here:
            start = LocalStart(
                layout=LAYOUT,
                round=number,
                parameters=state.parameters.astype(np.float64),
                steps=one.steps,
                bound=BOUND,
                own=kept.get(at, {}),
                sent={name: state.slots[name] for name in strategy.sends if name in state.slots},
            )
            end, asked = local_end(training, start, one)
            assert asked <= training.gradients_per_round
            kept[at] = end.own
            update = update + one.weight / weight * end.update
        mean = Mean(
            update=update,
            scalars={},
            bound=BOUND,
            local_steps=sum(one.weight * one.steps for _, one in here) / weight,
            attendance=weight / whole,
        )
        state = next_state(training, state, mean)
        found.append(state.parameters)
    final, rule = found[-1].astype(np.float64), strategy.personal
    own = [
        rule(training, LAYOUT, final, kept.get(at, {})) if rule else final
        for at in range(len(hospitals))
    ]
    return found, own


def absent_now_and_then(number: int, client: int) -> bool:
    return (number + client) % 3 != 1


ORACLES: dict[str, tuple[dict[str, Any], Callable[..., list[Vector]], dict[str, Any]]] = {
    "fedavg": ({"momentum": 0.5}, oracles.fed_avg, {}),
    "fedprox": ({"mu": 0.7, "momentum": 0.5}, oracles.fed_prox, {"mu": 0.7}),
    "scaffold": ({}, oracles.scaffold, {}),
    "fednova": ({}, oracles.fed_nova, {}),
    "fedavgm": (
        {"server_momentum": 0.8, "server_learning_rate": 0.6},
        oracles.server_optimised,
        {"kind": "avgm", "rate": 0.6, "beta": 0.8},
    ),
    **{
        f"fed{kind}": (
            {"server_momentum": 0.9, "server_learning_rate": 0.3, "server_floor": 0.01},
            oracles.server_optimised,
            {"kind": kind, "rate": 0.3, "beta": 0.9, "floor": 0.01},
        )
        for kind in ("adam", "yogi", "adagrad")
    },
}


@pytest.mark.parametrize("strategy", ORACLES)
@pytest.mark.parametrize("present", [None, absent_now_and_then])
def test_every_round_is_that_of_the_papers_algorithm(
    strategy: str, present: Callable[[int, int], bool] | None
) -> None:
    keys, oracle, more = ORACLES[strategy]
    training = section(strategy, **keys)
    everybody = present or (lambda _round, _client: True)
    settings = Settings(6, 0.05, training.momentum, everybody)
    steps = (3, 2, 1) if strategy == "fednova" else (3, 3, 3)
    expected = oracle(clients(steps), np.zeros(4), settings, **more)
    found = ours(training, clients(steps), everybody)
    for own, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=2e-5, atol=2e-6)


PERSONAL: dict[str, tuple[dict[str, Any], Callable[..., oracles.Personal], dict[str, Any]]] = {
    "mrmtl": (
        {"pull": 0.4, "last_pull": 0.3, "momentum": 0.5},
        oracles.mr_mtl,
        {"pull": 0.4, "last_pull": 0.3},
    ),
    "ditto": ({"pull": 0.4}, oracles.ditto, {"pull": 0.4}),
    "interpolation": ({"own_share": 0.3}, oracles.interpolation, {"share": 0.3}),
    "finetuning": ({"own_rounds": 2}, oracles.fine_tuning, {"own_rounds": 2}),
    "perfedavg": (
        {"own_rate": 0.03, "own_rounds": 1},
        oracles.per_fed_avg,
        {"alpha": 0.03, "own_rounds": 1},
    ),
    "fedper": ({"own_layers": ["head"], "momentum": 0.5}, oracles.fed_per, {"head": [2, 3]}),
    "fedrep": (
        {"own_layers": ["head"], "own_steps": 2},
        oracles.fed_rep,
        {"head": [2, 3], "own_steps": 2},
    ),
}


@pytest.mark.parametrize("strategy", PERSONAL)
def test_every_hospitals_own_model_is_that_of_the_papers_algorithm(strategy: str) -> None:
    keys, oracle, more = PERSONAL[strategy]
    training = section(strategy, **keys)
    settings = Settings(6, 0.05, training.momentum)
    expected_rounds, expected_own = oracle(clients(), np.zeros(4), settings, **more)
    found, own = together(training, clients())
    for here, theirs in zip([*found, *own], [*expected_rounds, *expected_own], strict=True):
        np.testing.assert_allclose(here, theirs, rtol=2e-5, atol=2e-6)
    assert np.ptp(own, axis=0).max() > 1e-3  # they differ from hospital to hospital


def test_every_strategy_has_an_oracle() -> None:
    """Of fedexp and fedsgd see test_averaging.py and the tests of distributed noise."""
    assert set(STRATEGIES) - set(ORACLES) - set(PERSONAL) == {"fedexp", "fedsgd"}


def test_the_pull_leads_from_models_trained_alone_to_one_for_all() -> None:
    ends = {
        pull: together(section("mrmtl", pull=pull, rounds=200), clients())[1]
        for pull in (0.0, 0.3, 15.0)
    }
    apart = {pull: float(np.ptp(own, axis=0).max()) for pull, own in ends.items()}
    assert apart[0.0] > 1.2 * apart[0.3] > 5 * apart[15.0]
    for own, client in zip(ends[0.0], clients(), strict=True):
        assert np.linalg.norm(client.gradient(own)) < 0.01  # each at its own minimum


def test_after_its_last_pull_an_own_model_is_the_mean_or_as_it_was() -> None:
    models = {
        last: together(section("mrmtl", pull=0.3, last_pull=last), clients()) for last in (0.0, 1.0)
    }
    means, own = models[1.0]
    for one in own:
        np.testing.assert_allclose(one, means[-1], rtol=1e-12)
    source_means, source = oracles.mr_mtl(clients(), np.zeros(4), Settings(6, 0.05), 0.3)
    for one, theirs in zip(models[0.0][1], source, strict=True):
        np.testing.assert_allclose(one, theirs, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(means[-1], source_means[-1], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("strategy", ["ditto", "interpolation", "perfedavg"])
def test_what_draws_patients_twice_in_a_step_is_priced_twice(strategy: str) -> None:
    training = section(strategy, rounds=4, local_steps=5)
    assert training.gradients_per_round == 10 and training.steps == 40
    start = LocalStart(layout=LAYOUT, round=0, parameters=np.ones(4), steps=5, bound=BOUND)
    assert local_end(training, start, clients()[0])[1] == 10


def minimum(hospitals: Sequence[Client]) -> Vector:
    """Where the weighted sum of the losses is least."""
    weights = [one.weight for one in hospitals]
    slope = sum(
        w * np.stack([one.gradient(e) - one.gradient(np.zeros(4)) for e in np.eye(4)], axis=1)
        for w, one in zip(weights, hospitals, strict=True)
    )
    pull = -sum(w * one.gradient(np.zeros(4)) for w, one in zip(weights, hospitals, strict=True))
    return np.linalg.solve(slope, pull)


def test_scaffold_ends_at_the_minimum_that_averaging_misses() -> None:
    aim = minimum(clients())
    apart = {
        name: float(np.linalg.norm(ours(section(name, rounds=400), clients())[-1] - aim))
        for name in ("fedavg", "scaffold")
    }
    assert apart["scaffold"] < 1e-3 < 0.02 < apart["fedavg"]


def test_normalised_averaging_is_nearer_the_minimum_where_hospitals_take_unequal_steps() -> None:
    unequal = clients((1, 3, 3))
    apart = {
        name: float(
            np.linalg.norm(
                ours(section(name, rounds=400, learning_rate=0.01), unequal)[-1] - minimum(unequal)
            )
        )
        for name in ("fedavg", "fednova")
    }
    assert apart["fednova"] < apart["fedavg"] / 5


@pytest.mark.parametrize("strategy", [*ORACLES, *PERSONAL])
def test_own_state_is_made_of_gradients_and_public_values_only(strategy: str) -> None:
    """A rule is told no patient: the same gradients give the same end, whoever they are of."""
    training = section(strategy, **{**ORACLES, **PERSONAL}[strategy][0])
    start = LocalStart(layout=LAYOUT, round=0, parameters=np.ones(4), steps=3, bound=BOUND)
    ends = [local_end(training, start, clients()[0])[0] for _ in range(2)]
    assert ends[0].update.tobytes() == ends[1].update.tobytes()
    assert {name: own.tobytes() for name, own in ends[0].own.items()} == {
        name: own.tobytes() for name, own in ends[1].own.items()
    }


@pytest.mark.parametrize(
    ("strategy", "key"), [("mrmtl", "pull"), ("ditto", "pull"), ("fedprox", "mu")]
)
def test_a_pull_past_the_global_model_is_refused(strategy: str, key: str) -> None:
    at_most, beyond = (section(strategy, **{key: weight}) for weight in (19.9, 20.0))  # rate 0.05
    privacy = NoPrivacy(mode="none", sampling_rate=1.0)
    assert not list(strategy_of(at_most).problems(at_most, privacy))
    ((path, problem),) = strategy_of(beyond).problems(beyond, privacy)
    assert path == f"training.{key}" and "keep it below 1" in problem
