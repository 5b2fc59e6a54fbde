"""Limits on the messages of one websocket: whoever sends more than a page does is made to wait.

A page sends one for each thing that a person does, and one for each look at what changes. Streamlit
handles each beside everybody else's, so ten thousand in a row would keep all others waiting.
"""

import asyncio
from collections.abc import Callable

#: Messages that may come at once, and how many a second after that.
AT_ONCE, A_SECOND = 30, 15.0


class MessageLimits:
    """The messages of one websocket.

    Args:
        clock: seconds, never going back; those of the running loop when None.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._left, self._at = float(AT_ONCE), self._clock()

    def seconds_to_wait(self) -> float:
        """Takes a message; returns how long whoever sent it waits before it is handled."""
        now = self._clock()
        self._left = min(AT_ONCE, self._left + (now - self._at) * A_SECOND) - 1
        self._at = now
        return max(0.0, -self._left / A_SECOND)
