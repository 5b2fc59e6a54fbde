"""Strategies whose rounds send some coordinates only, as plain loops over coordinates.

``sent`` says of a round which coordinates are sent. What is not sent does not move, and nothing
that the server remembers of it does either.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tests.support.reference.strategies import Client, Settings, Vector

Sent = Callable[[int], Sequence[int]]


def _steps(client: Client, x: Vector, rate: float, pull: Vector | float = 0.0) -> Vector:
    y = x.copy()
    for _ in range(client.steps):
        y = y - rate * (client.gradient(y) + pull)
    return y


def fed_avg(clients: Sequence[Client], x: Vector, settings: Settings, sent: Sent) -> list[Vector]:
    """Each client adds what it could not send to its next update."""
    total, waiting, found = sum(c.weight for c in clients), [0.0 * x for _ in clients], []
    for number in range(settings.rounds):
        updates = []
        for at, client in enumerate(clients):
            updates.append(waiting[at] + _steps(client, x, settings.rate) - x)
        x = x.copy()
        for place in sent(number):
            x[place] += (
                sum(c.weight * u[place] for c, u in zip(clients, updates, strict=True)) / total
            )
        for at, update in enumerate(updates):
            waiting[at] = np.array(
                [0.0 if place in sent(number) else update[place] for place in range(len(x))]
            )
        found.append(x)
    return found


def fed_adam(
    clients: Sequence[Client], x: Vector, settings: Settings, sent: Sent, rate: float, floor: float
) -> list[Vector]:
    """The moments of a coordinate count the rounds in which it was sent."""
    total, waiting, found = sum(c.weight for c in clients), [0.0 * x for _ in clients], []
    first, second = 0.0 * x, 0.0 * x
    for number in range(settings.rounds):
        updates = []
        for at, client in enumerate(clients):
            updates.append(waiting[at] + _steps(client, x, settings.rate) - x)
        x = x.copy()
        for place in sent(number):
            mean = sum(c.weight * u[place] for c, u in zip(clients, updates, strict=True)) / total
            first[place] = 0.9 * first[place] - 0.1 * mean
            second[place] = 0.99 * second[place] + 0.01 * mean**2
            x[place] -= rate * first[place] / (np.sqrt(second[place]) + floor)
        for at, update in enumerate(updates):
            waiting[at] = np.array(
                [0.0 if place in sent(number) else update[place] for place in range(len(x))]
            )
        found.append(x)
    return found


def scaffold(clients: Sequence[Client], x: Vector, settings: Settings, sent: Sent) -> list[Vector]:
    """Control variates of a coordinate move in the rounds in which it is sent, on both sides."""
    total, found = sum(c.weight for c in clients), []
    own, everybody = [0.0 * x for _ in clients], 0.0 * x
    for number in range(settings.rounds):
        after = [
            _steps(client, x, settings.rate, everybody - own[at])
            for at, client in enumerate(clients)
        ]
        before, old = x, everybody.copy()
        x = x.copy()
        for place in sent(number):
            x[place] = sum(c.weight * y[place] for c, y in zip(clients, after, strict=True)) / total
            moved = 0.0
            for at, client in enumerate(clients):
                step = client.steps * settings.rate
                gradient = (before[place] - after[at][place]) / step
                moved += client.weight * (gradient - old[place]) / total
                own[at][place] += gradient - old[place]
            everybody[place] += moved
        found.append(x)
    return found
