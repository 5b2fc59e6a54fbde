"""The watch on the database: whether it answered at the last look, told once when that changes."""

import logging

from dashboard.server.metrics import DashboardMetrics
from protocol.errors import StoreSilent

log = logging.getLogger("collegium.dashboard")


class DatabaseWatch:
    """Whether the database answered at the last look; the log and the metrics are told.

    Args:
        metrics: of the server.
    """

    def __init__(self, metrics: DashboardMetrics) -> None:
        self._metrics, self._answers = metrics, True

    @property
    def answers(self) -> bool:
        """Whether it answered."""
        return self._answers

    def saw(self, silence: StoreSilent | None) -> None:
        """Notes what came of a look: an answer, or none."""
        answered, self._answers = self._answers, silence is None
        self._metrics.database_up.set(self._answers)
        if silence is not None and answered:
            log.error("pages show nothing until the database answers: %s", silence)
        elif silence is None and not answered:
            log.warning("the database answers again: pages are shown")
