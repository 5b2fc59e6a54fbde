"""The coordinator's link to the hospitals, defined by the side that uses it.

Ray actors (simulation) and HTTPS (network) are two ways to have it. A site
that does not answer in time is simply not in what comes back: the round treats
it as dropped.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from protocol.transport.steps import Reply, Request


class SiloLink(Protocol):
    """Carries requests to sites and brings their replies back."""

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the replies arrive, for ``timeout`` seconds at most."""
