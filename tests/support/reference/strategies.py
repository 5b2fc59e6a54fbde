"""The strategies as their papers write them: loops over hospitals, nothing shared, nothing masked.

A hospital is its weight, its number of local steps and the gradient of its loss. Each function
returns the global parameters after every round. ``present`` says which hospitals take part in a
round; weights are theirs over those present.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Client:
    weight: float
    steps: int
    gradient: Callable[[Vector], Vector]


@dataclass(frozen=True)
class Settings:
    rounds: int
    rate: float
    momentum: float = 0.0
    present: Callable[[int, int], bool] = lambda _round, _client: True


def _here(clients: Sequence[Client], settings: Settings, number: int) -> list[tuple[int, Client]]:
    return [(at, one) for at, one in enumerate(clients) if settings.present(number, at)]


def _mean(weights: Sequence[float], values: Sequence[Vector]) -> Vector:
    total = sum(weights)
    return np.asarray(sum(w * v for w, v in zip(weights, values, strict=True)) / total)


def _local(client: Client, x: Vector, settings: Settings, mu: float = 0.0) -> Vector:
    """SGD with heavy-ball momentum on the loss plus mu / 2 |y - x|**2."""
    y, v = x.copy(), np.zeros_like(x)
    for _ in range(client.steps):
        v = settings.momentum * v + client.gradient(y) + mu * (y - x)
        y = y - settings.rate * v
    return y


def fed_avg(clients: Sequence[Client], x: Vector, settings: Settings) -> list[Vector]:
    """McMahan et al. 2017, algorithm 1."""
    return fed_prox(clients, x, settings, mu=0.0)


def fed_prox(
    clients: Sequence[Client], x: Vector, settings: Settings, mu: float = 0.01
) -> list[Vector]:
    """Li et al. 2020, algorithm 2."""
    found = []
    for number in range(settings.rounds):
        here = _here(clients, settings, number)
        x = _mean([c.weight for _, c in here], [_local(c, x, settings, mu) for _, c in here])
        found.append(x)
    return found


def scaffold(clients: Sequence[Client], x: Vector, settings: Settings) -> list[Vector]:
    """Karimireddy et al. 2020, algorithm 1, option II, server rate 1, clients by their weights."""
    whole, c = sum(client.weight for client in clients), np.zeros_like(x)
    own = [np.zeros_like(x) for _ in clients]
    found = []
    for number in range(settings.rounds):
        here, moved_x, moved_c = _here(clients, settings, number), [], []
        for at, client in here:
            y = x.copy()
            for _ in range(client.steps):
                y = y - settings.rate * (client.gradient(y) - own[at] + c)
            new = own[at] - c + (x - y) / (client.steps * settings.rate)
            moved_x.append(y - x)
            moved_c.append(new - own[at])
            own[at] = new
        weights = [client.weight for _, client in here]
        x = x + _mean(weights, moved_x)
        c = c + sum(weights) / whole * _mean(weights, moved_c)
        found.append(x)
    return found


def fed_nova(clients: Sequence[Client], x: Vector, settings: Settings) -> list[Vector]:
    """Wang et al. 2020, equation 9 with plain gradient descent: a_i is all ones."""
    found = []
    for number in range(settings.rounds):
        here = _here(clients, settings, number)
        weights = np.array([c.weight for _, c in here])
        p = weights / weights.sum()
        normalised = [(x - _local(c, x, settings)) / c.steps for _, c in here]
        effective = sum(share * c.steps for share, (_, c) in zip(p, here, strict=True))
        x = x - effective * sum(share * d for share, d in zip(p, normalised, strict=True))
        found.append(x)
    return found


def server_optimised(
    clients: Sequence[Client],
    x: Vector,
    settings: Settings,
    *,
    kind: str,
    rate: float,
    beta: float,
    floor: float = 1e-3,
) -> list[Vector]:
    """Reddi et al. 2021, algorithm 2, moments from 0; ``avgm``: Hsu et al. 2019."""
    m, v, found = np.zeros_like(x), np.zeros_like(x), []
    for number in range(settings.rounds):
        here = _here(clients, settings, number)
        delta = _mean([c.weight for _, c in here], [_local(c, x, settings) - x for _, c in here])
        if kind == "avgm":
            m = beta * m + delta
            x = x + rate * m
        else:
            m = beta * m + (1 - beta) * delta
            if kind == "adagrad":
                v = v + delta**2
            elif kind == "yogi":
                v = v - 0.01 * delta**2 * np.sign(v - delta**2)
            else:
                v = 0.99 * v + 0.01 * delta**2
            x = x + rate * m / (np.sqrt(v) + floor)
        found.append(x)
    return found


#: The global parameters after each round, and each hospital's own model in the end.
Personal = tuple[list[Vector], list[Vector]]


def mr_mtl(
    clients: Sequence[Client], x: Vector, settings: Settings, pull: float, last_pull: float = 0.0
) -> Personal:
    """Liu et al. 2022, algorithm 1: w_i on F_i + pull / 2 |w_i - mean|**2, then the mean again.

    In the end each goes last_pull of the way to the last mean.
    """
    own, found = [x.copy() for _ in clients], []
    for _ in range(settings.rounds):
        for at, client in enumerate(clients):
            w, v = own[at], np.zeros_like(x)
            for _step in range(client.steps):
                v = settings.momentum * v + client.gradient(w) + pull * (w - x)
                w = w - settings.rate * v
            own[at] = w
        x = _mean([c.weight for c in clients], own)
        found.append(x)
    return found, [(1 - last_pull) * w + last_pull * x for w in own]


def ditto(clients: Sequence[Client], x: Vector, settings: Settings, pull: float) -> Personal:
    """Li et al. 2021, algorithm 1: v_i after the global model's local steps, towards w^t."""
    own, found = [x.copy() for _ in clients], []
    for _ in range(settings.rounds):
        for at, client in enumerate(clients):
            for _step in range(client.steps):
                v = own[at]
                own[at] = v - settings.rate * (client.gradient(v) + pull * (v - x))
        x = _mean([c.weight for c in clients], [_local(c, x, settings) for c in clients])
        found.append(x)
    return found, own


def interpolation(
    clients: Sequence[Client], x: Vector, settings: Settings, share: float
) -> Personal:
    """Mansour et al. 2020, section 5: share x local + (1 - share) x global."""
    alone = [_descended(client, x, settings, settings.rounds * client.steps) for client in clients]
    found = fed_avg(clients, x, settings)
    return found, [share * w + (1 - share) * found[-1] for w in alone]


def fine_tuning(
    clients: Sequence[Client], x: Vector, settings: Settings, own_rounds: int
) -> Personal:
    """Averaging, then own_rounds x steps of plain descent at each hospital."""
    found = fed_avg(clients, x, replace(settings, rounds=settings.rounds - own_rounds))
    own = [_descended(c, found[-1], settings, own_rounds * c.steps) for c in clients]
    return [*found, *[found[-1]] * own_rounds], own


def per_fed_avg(
    clients: Sequence[Client], x: Vector, settings: Settings, alpha: float, own_rounds: int
) -> Personal:
    """Fallah et al. 2020, algorithm 1, first order, then plain descent at each hospital."""
    found = []
    for _ in range(settings.rounds - own_rounds):
        ends = []
        for client in clients:
            w = x.copy()
            for _step in range(client.steps):
                w = w - settings.rate * client.gradient(w - alpha * client.gradient(w))
            ends.append(w)
        x = _mean([c.weight for c in clients], ends)
        found.append(x)
    own = [_descended(client, x, settings, own_rounds * client.steps) for client in clients]
    return [*found, *[x] * own_rounds], own


def fed_per(
    clients: Sequence[Client], x: Vector, settings: Settings, head: Sequence[int]
) -> Personal:
    """Arivazhagan et al. 2019, algorithm 1: all layers by SGD, the base averaged."""
    first, heads, found = x.copy(), [x[list(head)].copy() for _ in clients], []
    for _ in range(settings.rounds):
        ends = []
        for at, client in enumerate(clients):
            w = _local(client, _with_head(x, heads[at], head), settings)
            heads[at] = w[list(head)]
            ends.append(w)
        x = _with_head(_mean([c.weight for c in clients], ends), first[list(head)], head)
        found.append(x)
    return found, [_with_head(x, own, head) for own in heads]


def fed_rep(
    clients: Sequence[Client], x: Vector, settings: Settings, head: Sequence[int], own_steps: int
) -> Personal:
    """Collins et al. 2021, algorithm 1: own_steps on the head, the other steps on the base."""
    first, heads, found = x.copy(), [x[list(head)].copy() for _ in clients], []
    base = [place for place in range(x.size) if place not in head]
    for _ in range(settings.rounds):
        ends = []
        for at, client in enumerate(clients):
            w = _with_head(x, heads[at], head)
            for step in range(client.steps):
                moved = list(head) if step < own_steps else base
                w[moved] = (w - settings.rate * client.gradient(w))[moved]
            heads[at] = w[list(head)].copy()
            ends.append(w)
        x = _with_head(_mean([c.weight for c in clients], ends), first[list(head)], head)
        found.append(x)
    return found, [_with_head(x, own, head) for own in heads]


def _descended(client: Client, w: Vector, settings: Settings, steps: int) -> Vector:
    for _ in range(steps):
        w = w - settings.rate * client.gradient(w)
    return w


def _with_head(x: Vector, own: Vector, head: Sequence[int]) -> Vector:
    whole = x.copy()
    whole[list(head)] = own
    return whole
