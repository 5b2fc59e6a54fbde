"""Steers one run from outside its thread: pause, resume, stop, suspend.

The run asks here before each thing that it does. A pause that people ask for is a file:
a service that is restarted waits too.
"""

import threading
from pathlib import Path

from compliance.storage.atomic_file import remove, write_whole


class Halted(KeyboardInterrupt):
    """The run was stopped by the consortium's people, or the service ends."""


class RunControl:
    """Whether one run goes on, waits or ends; thread-safe.

    Args:
        pause_file: there while the run is paused by people.
    """

    def __init__(self, pause_file: Path) -> None:
        self._pause_file = pause_file
        self._going, self._suspended = threading.Event(), threading.Event()
        #: Set when the run shall end; waits that are given it end with it.
        self.stopped = threading.Event()
        if not pause_file.exists():
            self._going.set()

    @property
    def is_paused(self) -> bool:
        """Whether the run waits before its next round."""
        return not self._going.is_set()

    @property
    def is_suspended(self) -> bool:
        """Whether the thread shall end and the run go on when the service is back."""
        return self._suspended.is_set()

    def pause(self) -> None:
        """Lets the present round end, and waits then; a service that is restarted waits too."""
        self._going.clear()
        self._pause_file.parent.mkdir(exist_ok=True)
        write_whole(self._pause_file, b"")

    def hold(self) -> None:
        """Waits as when paused, in memory only: a service that is restarted tries again."""
        self._going.clear()

    def resume(self) -> None:
        """Goes on."""
        remove(self._pause_file)
        self._going.set()

    def stop(self) -> None:
        """Ends the run now: nobody is asked anything any more but to settle."""
        self.stopped.set()
        self._going.set()

    def suspend(self) -> None:
        """Ends the thread without ending the run: the service goes down and will come back."""
        self._suspended.set()
        self.stop()

    def require_going(self) -> None:
        """Raises where the run was stopped.

        Raises:
            Halted: it was.
        """
        if self.stopped.is_set():
            raise Halted("stopped by the consortium")

    def wait_while_paused(self) -> None:
        """Returns when the run goes on.

        Raises:
            Halted: it was stopped instead.
        """
        self._going.wait()
        self.require_going()

    def sleep(self, seconds: float) -> None:
        """Waits so long.

        Raises:
            Halted: the run was stopped meanwhile.
        """
        self.stopped.wait(seconds)
        self.require_going()
