"""What secure aggregation costs a silo and the coordinator, without disk and network.

One honest round is carried through the real state machines. Its n silos give
up to eight samples of a silo's work; its recorded answers are then given to
new coordinators, again and again. The books are in memory: what durability
costs stands in the row of the whole round.

Rows on one thread are in CPU time. Rows with every core are in wall time,
beside the same baseline on one thread, as a person would wait for either.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from protocol.secagg.masking import apply_masks
from protocol.secagg.server import SecAggServer, Step
from protocol.vectors.fixed_point import encode
from protocol.vectors.keystream import fresh_key
from tests.bench import baseline
from tests.bench.measurement import (
    CPU,
    OURS,
    WALL,
    Clock,
    Row,
    Target,
    milliseconds,
    row_of,
    take_turns,
)
from tests.support.simulated.sum_federation import LEDGER_HEAD, Federation

AREA = "secure sum"
BASELINE, PLAIN = "baseline", "plaintext sum"
FRAC_BITS, BOUND = 20, 16.0
#: Distinct vectors for the plaintext sum: enough that no cache holds them.
_DISTINCT = 8
_SAMPLED_SILOS = 8
#: What the issue asks: with everything on, close to the bare arithmetic; small sums at once.
_NEAR = Target(most=1.3, against=BASELINE)
_AT_ONCE = Target(most=20.0)

Answers = dict[tuple[Step, str], tuple[bytes, bytes | None]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a row is run: on how many threads, and by which clock."""

    threads: int
    clock: Clock
    name: str


ALONE = Way(threads=1, clock=CPU, name="one thread")


def every_core() -> Way:
    """Returns the way of a person who waits: all cores, wall time."""
    cores = len(os.sched_getaffinity(0))
    return Way(threads=cores, clock=WALL, name=f"{cores} threads")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A finished round: every answer, and the milliseconds of the sampled silos by step."""

    federation: Federation
    answers: Answers
    silo: Mapping[str, list[float]] = field(default_factory=dict)


def rows(dims: Sequence[int], counts: Sequence[int], turns: int) -> Iterator[Row]:
    """Yields the rows of every size: masks, silo, coordinator with 0 and 1 drop."""
    _record(np.zeros(1000), 4, ALONE, lost=None)  # the first of everything is slow
    for dim in dims:
        update = np.random.default_rng(1).normal(0, 1e-3, dim)
        for count in counts:
            yield from _rows(update, count, _fewer(turns, dim * count))


def hundred_sites() -> Row:
    """Returns the memory of a whole round of 100 silos with 10**6 parameters in one process."""
    command = [sys.executable, "-m", "tests.bench.hundred"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return row_of(
        AREA,
        "100 silos and the server in one process, peak memory",
        "d=1e6 n=100, 1 drop",
        {OURS: [found["peak_gb"]]},
        target=Target(most=4.0),
        parts={"seconds": found["seconds"]},
        unit="GB",
        clock="wall",
    )


def _fewer(turns: int, words: int) -> int:
    """Large sizes vary less and take long."""
    return max(3, turns // 3) if words > 30_000_000 else turns


def _rows(update: np.ndarray, count: int, turns: int) -> Iterator[Row]:
    case = f"d={len(update):.0e} n={count}".replace("e+0", "e")
    vectors = [_encoded(update) for _ in range(min(count, _DISTINCT))]
    plain = partial(_plaintext_sum, vectors, count, np.zeros_like(vectors[0]))
    yield _masks(update, case, count, plain, turns)
    for way in (ALONE, every_core()):
        whole = _record(update, count, way, lost=None)
        yield _silo(whole, f"{case}, {way.name}", way)
        yield _coordinator(whole, f"{case}, 0 drop, {way.name}", way, plain, turns)
        del whole
        dropped = _record(update, count, way, lost=f"site-{count - 1:02d}")
        yield _coordinator(dropped, f"{case}, 1 drop, {way.name}", way, plain, turns)
        del dropped


def _encoded(update: np.ndarray) -> np.ndarray:
    words = np.zeros(len(update), dtype=np.uint32)
    baseline.encode(update, FRAC_BITS, words)
    return words


def _plaintext_sum(vectors: Sequence[np.ndarray], count: int, total: np.ndarray) -> None:
    total.fill(0)
    for place in range(count):
        total += vectors[place % len(vectors)]


def _keys(count: int) -> tuple[list[bytes], list[bytes]]:
    """Returns the keys of a site in the middle: self and half of the peers, the other half."""
    peers = [fresh_key() for _ in range(count - 1)]
    return [fresh_key(), *peers[::2]], peers[1::2]


def _masks(update: np.ndarray, case: str, count: int, plain: partial, turns: int) -> Row:
    add, subtract = _keys(count)
    words = _encoded(update)
    works = {
        OURS: lambda: apply_masks(words, add=add, subtract=subtract),
        BASELINE: lambda: baseline.mask(words, add, subtract),
        PLAIN: plain,
    }
    taken = take_turns(works, turns)
    return row_of(AREA, "masks of one vector", f"{case}, one thread", taken, target=_NEAR)


def _record(update: np.ndarray, count: int, way: Way, *, lost: str | None) -> Recorded:
    """Carries one round; a ``lost`` site is silent from its vector on."""
    federation = Federation(count, {"dim": len(update)})
    add, subtract = _keys(count)
    words, own = _encoded(update), _encoded(update)

    def upload() -> None:
        baseline.encode(update, FRAC_BITS, words)
        baseline.mask(words, add, subtract)

    sampled = federation.sites[:_SAMPLED_SILOS]
    taken: dict[str, dict[str, float]] = {site: {} for site in sampled}
    answers: Answers = {}
    for step in Step:
        for site in federation.coordinator.asked(step):
            if site == lost and step is Step.MASKED:
                continue
            request = federation.coordinator.request(step, site)
            beside = federation.coordinator.attachment(step, site) or b""
            started = way.clock()
            message, blob = _answer(federation, step, site, (request, beside), (update, own), way)
            if site in taken:
                taken[site][step.value] = (way.clock() - started) * 1000
            answers[step, site] = message, None if blob is None else bytes(blob)
            federation.coordinator.receive(step, site, *answers[step, site])
            if site in taken and step is Step.MASKED:
                taken[site][BASELINE] = milliseconds(upload, clock=way.clock)
        federation.coordinator.close(step)
    _check(federation, update)
    names = taken[sampled[0]]
    silo = {name: [taken[site].get(name, 0.0) for site in sampled] for name in names}
    return Recorded(federation=federation, answers=answers, silo=silo)


def _answer(
    federation: Federation,
    step: Step,
    site: str,
    asked: tuple[bytes, bytes],
    vectors: tuple[np.ndarray, np.ndarray],
    way: Way,
) -> tuple[bytes, bytes | memoryview | None]:
    """Returns a silo's answer; its update is encoded into last round's memory, as hospitals do."""
    (request, beside), (update, own) = asked, vectors
    if step is not Step.MASKED:
        return federation.answer(step, site, request, np.zeros(0, dtype=np.uint32))
    silo = federation.silos[site]
    silo.accept_shares(request, beside)
    vector = encode(update, weight=1.0, bound=BOUND, frac_bits=FRAC_BITS, out=own)
    blob = silo.mask(vector, threads=way.threads)
    return silo.masked_message(ledger_head=LEDGER_HEAD), blob


def _check(federation: Federation, update: np.ndarray) -> None:
    vector = encode(update, weight=1.0, bound=BOUND, frac_bits=FRAC_BITS)
    expected = vector * np.uint32(len(federation.coordinator.survivors))
    if not np.array_equal(federation.coordinator.total(), expected):
        raise ValueError("the measured round gave a wrong sum")


def _silo(recorded: Recorded, case: str, way: Way) -> Row:
    steps = {name: values for name, values in recorded.silo.items() if name != BASELINE}
    ours = [sum(values) for values in zip(*steps.values(), strict=True)]
    large = recorded.federation.context.dim > 10**6
    return row_of(
        AREA,
        "whole round of one silo",
        case,
        {OURS: ours, BASELINE: recorded.silo[BASELINE]},
        target=_NEAR if large else None,
        parts={name: statistics.median(values) for name, values in steps.items()},
        clock=_named(way),
    )


def _coordinator(recorded: Recorded, case: str, way: Way, plain: partial, turns: int) -> Row:
    federation, answers = recorded.federation, recorded.answers
    blobs = [blob for (step, _), (_, blob) in answers.items() if step is Step.MASKED and blob]
    lost = len(federation.sites) - len(blobs)
    keys = [fresh_key() for _ in range(len(blobs) * (1 + lost))]
    taking: dict[str, list[float]] = {step.value: [] for step in Step}
    total = np.zeros(federation.context.dim, dtype=np.uint32)
    works = {
        OURS: lambda: _replay(federation, answers, taking, way),
        BASELINE: lambda: baseline.unmask_sum(blobs, keys, total),
        PLAIN: plain,
    }
    taken = take_turns(works, turns, way.clock)
    parts = {name: statistics.median(values) for name, values in taking.items()}
    large = federation.context.dim > 10**6
    target = _NEAR if large else _AT_ONCE if federation.context.dim == 10**5 else None
    return row_of(
        AREA,
        "whole round of the server",
        case,
        taken,
        target=target,
        parts=parts,
        clock=_named(way),
    )


def _named(way: Way) -> str:
    return "cpu" if way.clock is CPU else "wall"


def _replay(
    federation: Federation, answers: Answers, taking: dict[str, list[float]], way: Way
) -> None:
    """Gives a new coordinator the answers of the round: keys and signatures are deterministic."""
    coordinator = SecAggServer(
        context=federation.context,
        roster=federation.roster,
        key=federation.coordinator_key,
        threads=way.threads,
    )
    for step in Step:
        started = way.clock()
        for site in coordinator.asked(step):
            coordinator.request(step, site)
            coordinator.attachment(step, site)
            if (step, site) in answers:
                coordinator.receive(step, site, *answers[step, site])
        coordinator.close(step)
        taking[step.value].append((way.clock() - started) * 1000)
