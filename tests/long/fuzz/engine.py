"""Runs a target on numbered inputs and reports what must not happen.

Rules:

1. Only the refusals that a decoder's docstring names may leave it.
2. No input keeps it busy for more CPU time than the target allows, nor takes
   more memory than a multiple of the input's size and a constant.
3. Input ``number`` under ``seed`` is always the same, whatever came before it.
"""

import signal
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType, TracebackType

from protocol.errors import FederationError, MessageRefused
from tests import ROOT

_ROOT = ROOT
#: Every so many inputs the memory is watched; that is slow.
WATCHED = 61
#: What a decoder may take whatever the input: tables, caches, error messages.
_MEMORY_FLOOR = 1 << 20
_SHOWN = 400


class Broken(Exception):
    """A decoder took an input and what it gave back breaks a promise."""


class TookTooLong(BaseException):
    """The CPU time of one input is used up. No decoder catches this."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One input, for the report, and what gives it to the decoder."""

    data: bytes
    act: Callable[[], object]


#: Makes the attempt that belongs to one input's own generator.
Make = Callable[[Random], Attempt]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A decoder: how its inputs are made, and what may leave it.

    ``weight`` is its part of the inputs of a whole run; ``memory`` how many
    bytes it may take for each byte of the input.
    """

    name: str
    prepare: Callable[[], Make]
    refusals: tuple[type[FederationError], ...] = (MessageRefused,)
    weight: int = 10
    memory: int = 200
    seconds: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something else than a refusal: enough to repeat it."""

    target: str
    seed: int
    number: int
    escaped: str
    where: str
    detail: str
    data: bytes

    def __str__(self) -> str:
        return (
            f"{self.target}: {self.escaped} in {self.where} ({self.detail:.200}); "
            f"python -m tests.long.fuzz --only {self.target} --seed {self.seed} "
            f"--number {self.number}; {len(self.data)} bytes: {self.data[:_SHOWN]!r}"
        )


@dataclass(kw_only=True)
class Report:
    """What a target did with its inputs; ``said`` counts the refusals by their words."""

    target: str
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    worst_memory: float = 0.0
    said: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """How many inputs were given."""
        return self.accepted + self.refused + len(self.findings)


def fuzz(target: Target, seed: int, numbers: Iterable[int]) -> Report:
    """Gives a target the inputs of these numbers."""
    make, report = target.prepare(), Report(target=target.name)
    begun = time.perf_counter()
    with _counting(target.seconds):
        for number in numbers:
            _give(target, make, seed, number, report)
    report.seconds = time.perf_counter() - begun
    return report


def _give(target: Target, make: Make, seed: int, number: int, report: Report) -> None:
    attempt = make(Random(f"{seed}/{target.name}/{number}"))
    watched = number % WATCHED == 0
    if watched:
        tracemalloc.start()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, target.seconds * (4 if watched else 1))
        attempt.act()
    except target.refusals as refusal:
        report.refused += 1
        report.said[_words(str(refusal))] += 1
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever else escapes is the finding
        report.findings.append(_finding(target, seed, number, attempt, error))
    else:
        report.accepted += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if watched:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            _weigh(target, seed, number, attempt, peak, report)


def _weigh(
    target: Target, seed: int, number: int, attempt: Attempt, peak: int, report: Report
) -> None:
    share = max(0, peak - _MEMORY_FLOOR) / (len(attempt.data) + 1)
    report.worst_memory = max(report.worst_memory, share)
    if share > target.memory:
        error = MemoryError(f"{peak} bytes for an input of {len(attempt.data)}")
        report.findings.append(_finding(target, seed, number, attempt, error))


def _finding(
    target: Target, seed: int, number: int, attempt: Attempt, error: BaseException
) -> Finding:
    return Finding(
        target=target.name,
        seed=seed,
        number=number,
        escaped=type(error).__name__,
        where=_where(error.__traceback__),
        detail=str(error),
        data=attempt.data,
    )


def _where(trace: TracebackType | None) -> str:
    """Returns the innermost function of ours, as ``module.function``."""
    found = "unknown"
    while trace is not None:
        code = trace.tb_frame.f_code
        path = Path(code.co_filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] not in (
            ".venv",
            "tests",
        ):
            found = f"{path.stem}.{code.co_name}"
        trace = trace.tb_next
    return found


def _words(message: str) -> str:
    """Returns a message without what differs from input to input."""
    plain = "".join(" " if character.isdigit() else character for character in message[:80])
    return " ".join(plain.split())


@contextmanager
def _counting(seconds: float) -> Iterator[None]:
    """Raises ``TookTooLong`` when a timer of this process's own CPU time runs out.

    Not the wall clock: the machine is shared, and pytest has that timer.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"more than {seconds} seconds of CPU time")

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)
