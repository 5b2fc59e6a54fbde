"""Reaches hospitals that are Ray actors on this machine: for simulations only.

A Ray cluster is one trust domain and never spans two hospitals
(``docs/architecture.md``); between real hospitals the link is HTTPS.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from protocol.transport.steps import Reply, Request


class RayLink:
    """A ``SiloLink`` over handles of actors (``silos.network.actor.ActorHandle``)."""

    def __init__(self, actors: Mapping[str, Any]) -> None:
        self._actors = actors

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the actors answer; an actor that died does not answer."""
        import ray  # here: the holder of the handles has started it, with its settings

        waiting = {
            self._actors[site].ask("answer", request): site for site, request in requests.items()
        }
        end = time.monotonic() + timeout
        while waiting:
            left = max(0.0, end - time.monotonic())
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=left)
            if not ready:
                return
            for reference in ready:
                site = waiting.pop(reference)
                try:
                    yield site, ray.get(reference)
                except ray.exceptions.RayError:
                    continue  # the hospital is gone: the round treats it as dropped
