"""The strategies as their papers write them: loops over hospitals, nothing shared, nothing masked.

A hospital is its weight, its number of local steps and the gradient of its loss. Each function
returns the global parameters after every round. ``present`` says which hospitals take part in a
round; weights are theirs over those present.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
