"""The times of one attempt of a round: of its steps, and until each hospital's update was here."""

import time
from collections.abc import Callable

#: So exact are times kept, in digits behind the second.
_DIGITS = 3


class AttemptTimes:
    """Measures one attempt, from its opening; one thread uses it.

    A hospital's time says how long it takes from the round's opening until its update is here: the
    model's way there, the computation, and the update's way back. It does not depend on who was
    drawn (``docs/threat-model.md``), and the coordinator sees it anyway.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opened = self._step_began = clock()
        #: Seconds that each step took, by its name.
        self.steps: dict[str, float] = {}
        #: Seconds from the opening until each hospital's update was here.
        self.updates: dict[str, float] = {}

    def step_begins(self) -> None:
        """Takes note that a step begins."""
        self._step_began = self._clock()

    def step_ends(self, step: str) -> None:
        """Takes note that a step has ended."""
        self.steps[step] = round(self._clock() - self._step_began, _DIGITS)

    def update_came(self, site: str) -> None:
        """Takes note that a hospital's update is here; the first time counts."""
        self.updates.setdefault(site, round(self._clock() - self._opened, _DIGITS))
