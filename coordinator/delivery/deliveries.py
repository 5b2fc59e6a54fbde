"""The deliveries to hospitals and their answers, between the round's thread and the service.

Deliveries wait here until their hospital asks for them; it may ask again and
gets the same. A delivery that nobody waits for any longer is withdrawn. All of
it is in memory only: after a restart the rounds ask anew.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from protocol.errors import MessageRefused
from protocol.transport.requests import Answer, Delivery


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    site: str
    delivery: Delivery
    max_blob: int
    trace: str


class Mailbox:
    """Thread-safe; ``notify`` is called whenever a hospital has something new to fetch."""

    def __init__(self, notify: Callable[[str], None] = lambda site: None) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, _Waiting] = {}
        self._answers: dict[int, Answer] = {}
        self._number = time.time_ns() // 1_000_000  # rises over restarts too
        self.notify = notify

    def post(self, site: str, draft: Delivery, max_blob: int = 0, *, trace: str = "") -> int:
        """Leaves a delivery for a hospital; returns the number that it got.

        Args:
            site: whom it is for.
            draft: the delivery, its number still open.
            max_blob: how long a blob the answer may bring, in bytes.
            trace: the name of the span that waits for the answer; empty where none is recorded.
        """
        with self._changed:
            self._number += 1
            delivery = replace(draft, number=self._number)
            self._waiting[delivery.number] = _Waiting(
                site=site, delivery=delivery, max_blob=max_blob, trace=trace
            )
        self.notify(site)
        return delivery.number

    def next(self, site: str, after: int) -> Delivery | None:
        """Returns the oldest unanswered delivery of a hospital beyond a number, if any."""
        with self._changed:
            numbers = [
                number
                for number, waiting in self._waiting.items()
                if waiting.site == site and number > after and number not in self._answers
            ]
            return self._waiting[min(numbers)].delivery if numbers else None

    def trace_of(self, number: int) -> str:
        """Returns the name of the span that waits for a delivery's answer, if one is recorded."""
        with self._changed:
            waiting = self._waiting.get(number)
            return "" if waiting is None else waiting.trace

    def holds(self, site: str, number: int) -> Delivery | None:
        """Returns a hospital's delivery while somebody waits for its answer."""
        with self._changed:
            waiting = self._waiting.get(number)
            return waiting.delivery if waiting is not None and waiting.site == site else None

    def expects_blob(self, site: str, size: int) -> bool:
        """Whether some unanswered delivery of a hospital allows a blob of this size."""
        with self._changed:
            return any(
                waiting.site == site and 0 < size <= waiting.max_blob
                for number, waiting in self._waiting.items()
                if number not in self._answers
            )

    def offers_blob(self, site: str, digest: str) -> bool:
        """Whether a delivery of this hospital names a blob."""
        with self._changed:
            return any(
                waiting.site == site
                and waiting.delivery.blob is not None
                and waiting.delivery.blob.digest == digest
                for waiting in self._waiting.values()
            )

    def answer(self, site: str, answer: Answer) -> None:
        """Takes a hospital's answer; the first one counts.

        Raises:
            MessageRefused: nobody waits for this answer (any longer), its blob is longer than
                the delivery allows, or it differs from the first.
        """
        with self._changed:
            waiting = self._waiting.get(answer.number)
            if waiting is None or waiting.site != site:
                raise MessageRefused("nobody waits for this answer")
            if answer.blob is not None and answer.blob.size > waiting.max_blob:
                raise MessageRefused("the answer brings a blob that was not asked for")
            if self._answers.setdefault(answer.number, answer) != answer:
                raise MessageRefused("another answer was given before")
            self._changed.notify_all()

    def collect(
        self,
        numbers: Mapping[int, str],
        timeout: float,
        stop: threading.Event,
        idle: Callable[[], object] = lambda: None,
    ) -> Iterator[tuple[str, Answer]]:
        """Yields (site, answer) as they come in, for ``timeout`` seconds; then withdraws the rest.

        Args:
            numbers: the site of each delivery that is waited for.
            timeout: seconds.
            stop: set when nobody wants the answers any longer.
            idle: called about every second while none comes.
        """
        left, end = dict(numbers), time.monotonic() + timeout
        try:
            while left:
                with self._changed:
                    found = self._wait(left, end, stop)
                    answer = self._answers[found] if found is not None else None
                if found is not None and answer is not None:
                    yield left.pop(found), answer
                elif time.monotonic() >= end or stop.is_set():
                    return
                else:
                    idle()
        finally:
            self.withdraw(numbers)

    def _wait(self, left: Mapping[int, str], end: float, stop: threading.Event) -> int | None:
        """Returns a number that is answered; None if none comes within a second."""
        found = self._found(left)
        if found is None and not stop.is_set():
            self._changed.wait(max(0.0, min(end - time.monotonic(), 1.0)))
            found = self._found(left)
        return found

    def _found(self, left: Mapping[int, str]) -> int | None:
        return next((number for number in left if number in self._answers), None)

    def withdraw(self, numbers: Mapping[int, str]) -> None:
        """Removes deliveries and their answers."""
        with self._changed:
            for number in numbers:
                self._waiting.pop(number, None)
                self._answers.pop(number, None)
