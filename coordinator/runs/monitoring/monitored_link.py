"""A link to hospitals whose steps are followed, and which a stopped run leaves in mid-step."""

from collections.abc import Callable, Iterator, Mapping

from coordinator.delivery.link import SiloLink
from coordinator.runs.monitoring.run_monitor import RunMonitor
from protocol.transport.steps import Reply, Request


class MonitoredLink:
    """Wraps another link.

    Args:
        link: carries the requests.
        monitor: is told of each step and answer.
        require_going: raises where the run was stopped.
    """

    def __init__(
        self, link: SiloLink, monitor: RunMonitor, require_going: Callable[[], None]
    ) -> None:
        self._link, self._monitor, self._require_going = link, monitor, require_going

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the link does; of a stopped run, nobody's silence is noted.

        Raises:
            Halted: the run was stopped.
        """
        self._monitor.step_begins(requests, timeout)
        try:
            for site, reply in self._link.exchange(requests, timeout):
                self._monitor.step.answered(site)
                yield site, reply
            self._require_going()
            self._monitor.step_ends()
        finally:
            self._monitor.step.stop()
