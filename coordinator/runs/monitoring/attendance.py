"""The attendance of a run: hospitals that can be asked now, without those that went silent.

A hospital that does not answer a step may be gone, or still computing. The step
waits for it once, to its limit. From then on it is left out, until any request
of its own says that it is there; nobody waits for it a second time. One that has
made no request for a minute while nothing was asked of it is left out too:
a hospital at rest asks for its deliveries twice a minute.
"""

import time
from collections.abc import Callable, Collection, Mapping

#: Seconds without a request after which a hospital at rest counts as gone.
GONE_SECONDS = 60.0


class Attendance:
    """The hospitals of one run.

    Args:
        last_seen: when each site was last heard from, by ``clock``.
        clock: seconds.
    """

    def __init__(
        self, last_seen: Callable[[], Mapping[str, float]], clock: Callable[[], float] = time.time
    ) -> None:
        self._last_seen, self._clock = last_seen, clock
        self._missed: dict[str, float] = {}

    def missed(self, sites: Collection[str]) -> None:
        """Takes note of sites that have not answered a step to its limit."""
        self._missed |= dict.fromkeys(sites, self._clock())

    def silent(self, sites: Collection[str]) -> dict[str, float]:
        """Returns those of some sites that are not there now, and since when they are silent.

        0 stands for a site that was not heard from since the service began.
        """
        seen, now = self._last_seen(), self._clock()
        heard = {site: seen.get(site, 0.0) for site in sites}
        return {
            site: at
            for site, at in heard.items()
            if at <= self._missed.get(site, 0.0) or at < now - GONE_SECONDS
        }
