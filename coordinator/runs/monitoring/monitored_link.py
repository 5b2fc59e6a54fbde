"""A link to hospitals whose steps are followed, and which a stopped run leaves in mid-step."""

from collections.abc import Callable, Collection, Iterator, Mapping

from coordinator.delivery.link import SiloLink
from coordinator.runs.monitoring.run_monitor import RunMonitor
from protocol.secagg.server import Step
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
        self._step = ""

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the link does; of a stopped run, nobody's silence is noted.

        Raises:
            Halted: the run was stopped.
        """
        self._begin({request.step for request in requests.values()})
        self._monitor.step_begins(requests, timeout)
        try:
            for site, reply in self._link.exchange(requests, timeout):
                self._monitor.step.answered(site)
                if self._step == Step.MASKED.value and reply.refusal is None:
                    self._monitor.update_came(site)
                yield site, reply
            self._require_going()
            self._monitor.step_ends()
        finally:
            self._monitor.step.stop()

    def _begin(self, steps: Collection[str]) -> None:
        """Takes note of the step; a round that is opened again to some hospitals stays opened."""
        before, self._step = self._step, next(iter(steps), "")
        if self._step == Step.ADVERTISE.value != before:
            self._monitor.round_opens()
        elif before == Step.MASKED.value:
            self._monitor.tell()
