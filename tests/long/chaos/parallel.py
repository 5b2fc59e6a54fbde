"""Plays several faults at a time, each in a process that has a consortium of its own."""

import logging
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.long.chaos.faults.every import FAULTS
from tests.long.chaos.run import Consortia, Ended


def played(places: Sequence[int], jobs: int) -> Iterator[tuple[int, Ended]]:
    """Yields faults as they end, by their place in the list."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, jobs), mp_context=context, initializer=_prepare) as pool:
        for done in as_completed([pool.submit(_play, place) for place in places]):
            place, outcome, seconds, problems = done.result()
            fault = FAULTS[place]
            yield place, Ended(fault=fault, outcome=outcome, seconds=seconds, problems=problems)


def _prepare() -> None:
    """Makes what a process needs for all its faults."""
    global _folder, _consortia  # a process has one of each
    logging.disable()  # every fault would tell its story at length; the table tells it
    _folder = tempfile.TemporaryDirectory(prefix="chaos-")
    _consortia = Consortia(Path(_folder.name))


def _play(place: int) -> tuple[int, str, float, tuple[str, ...]]:
    """Plays a fault; a fault itself cannot travel between processes, its place can."""
    found = _consortia.strike(FAULTS[place], Path(_folder.name) / f"fault-{place}")
    return place, found.outcome, found.seconds, found.problems
