"""A federated tabular round with everything on, beside the bare loop, and where its time goes.

Four hospitals and the coordinator share one process and one thread; messages
are the real ones, the link is a function call. Everything durable is on: each
hospital's ledger and signing record, the kept blobs, the coordinator's store and
audit log. The clock is the wall's, for fsync sleeps.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from compliance.ledger.ledger import Ledger
from compliance.privacy.noise import DiscreteGaussian
from coordinator.database.store import Store
from protocol.study.strategies.registry import changed
from protocol.study.study import Study
from silos.database.database import SiteDatabase, SqlEquivocationGuard
from silos.rounds.silo import Silo
from silos.training.trainer import Trainer
from tests.bench import studies
from tests.bench.bare_loop import BareLoop
from tests.bench.measurement import CPU, OURS, WALL, Clock, Row, Target, milliseconds, row_of
from tests.support.simulated.federation import Federation

AREA = "federated round"
FLOOR = "bare loop"
_BUDGET = 50.0


class TrainedFederation(Federation):
    """The tests' federation with the real medicine in its silos."""

    def _silo(self, site: str, budget: float) -> Silo:
        home = self.workspace.silos / site
        home.mkdir()
        key = site.encode().ljust(32)
        silo = Silo(site, home, Trainer, simulated=True, split_key=key)
        silo.grant(budget, 1e-3)
        return silo


class Spans:
    """Adds up the time spent in named parts, a part inside another counted once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._open: list[list[float]] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Times a block, less what its own parts take."""
        inside = [0.0]
        self._open.append(inside)
        started = self.clock()
        try:
            yield
        finally:
            whole = self.clock() - started
            self._open.pop()
            if self._open:
                self._open[-1][0] += whole
            self.seconds[name] = self.seconds.get(name, 0.0) + whole - inside[0]
            self.calls[name] = self.calls.get(name, 0) + 1

    @contextmanager
    def watch(self, owner: type, method: str, name: str) -> Iterator[None]:
        """Times a method of a class while the block lasts."""
        original: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.span(name):
                return original(*args, **kwargs)

        setattr(owner, method, timed)
        try:
            yield
        finally:
            setattr(owner, method, original)

    @contextmanager
    def watch_block(self, owner: type, method: str, name: str) -> Iterator[None]:
        """Times the blocks of a method that returns a context manager."""
        original: Callable[..., AbstractContextManager[Any]] = getattr(owner, method)

        @contextmanager
        def timed(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with self.span(name), original(*args, **kwargs) as value:
                yield value

        setattr(owner, method, timed)
        try:
            yield
        finally:
            setattr(owner, method, original)


class Stopwatch:
    """Watches a run: when each training round was committed, and what the parts had taken then."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self.ends: list[float] = []
        self.seconds: list[dict[str, float]] = []
        self.calls: list[dict[str, int]] = []

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Remembers the end of a training round."""
        if round_kind == "training":
            self.ends.append(self._spans.clock())
            self.seconds.append(dict(self._spans.seconds))
            self.calls.append(dict(self._spans.calls))

    def rolled_back(self, after: int, to: int) -> None:
        """Remembers nothing of it."""

    @property
    def rounds(self) -> list[float]:
        """The milliseconds of every round but the first."""
        return [float(gap) * 1000 for gap in np.diff(self.ends)]


def rows(jobs: int, rounds: int) -> Iterator[Row]:
    """Yields the round and the whole job in one process."""
    study = studies.tabular(rounds=rounds)
    ours_rounds, ours_jobs, bare_rounds, bare_jobs = [], [], [], []
    bare = BareLoop(study)
    bare.run()  # the first optimizer costs a second of imports
    _federate(study)
    for _ in range(jobs):
        job, watched = _federate(study)
        ours_jobs.append(job)
        ours_rounds.append(statistics.median(watched.rounds))
        job, bare_gaps = bare.run()
        bare_jobs.append(job)
        bare_rounds.append(statistics.median(bare_gaps))
    case = f"4 silos, 5 steps of about 32 patients, {rounds} rounds"
    yield row_of(
        AREA, "one training round", case, {OURS: ours_rounds, FLOOR: bare_rounds},
        target=Target(most=60.0), parts=_breakdown(study), clock="wall",
    )  # fmt: skip
    yield _scaffold(study, jobs, case)
    yield row_of(
        AREA, "join, train, evaluate; one process, no Ray", case,
        {OURS: ours_jobs, FLOOR: bare_jobs}, clock="wall",
    )  # fmt: skip


def _scaffold(study: Study, jobs: int, case: str) -> Row:
    """Returns a round of SCAFFOLD beside one of FedAvg, with the same study otherwise."""
    training = changed(study.training, strategy="scaffold")
    studied = {OURS: study.replaced(training=training), "fedavg": study}
    found: dict[str, list[float]] = {name: [] for name in studied}
    for _ in range(jobs):
        for name, one in studied.items():
            found[name].append(statistics.median(_federate(one)[1].rounds))
    return row_of(
        AREA, "one training round, SCAFFOLD", case, found,
        target=Target(most=2.0, against="fedavg"), clock="wall",
    )  # fmt: skip


def _federate(study: Study, *, parts_by: Clock | None = None) -> tuple[float, Stopwatch]:
    """Returns the milliseconds of a whole job, and what was watched of its rounds."""
    spans = Spans(parts_by or WALL)
    stopwatch = Stopwatch(spans)
    with tempfile.TemporaryDirectory(prefix="collegium-bench-") as folder, ExitStack() as stack:
        started = WALL()
        federation = TrainedFederation(Path(folder), study, budget=_BUDGET)
        studies.write_hospitals(federation.data, study)  # in place of the tests' own records
        federation.watch = stopwatch
        if parts_by is not None:
            _instrument(spans, stack)
        federation.run()
        job = (WALL() - started) * 1000
    return job, stopwatch


def _instrument(spans: Spans, stack: ExitStack) -> None:
    stack.enter_context(spans.watch(Trainer, "update", "training"))
    stack.enter_context(spans.watch(DiscreteGaussian, "sample", "noise"))
    stack.enter_context(spans.watch(SqlEquivocationGuard, "record", "signing record"))
    stack.enter_context(spans.watch(Ledger, "mark_sent", "ledger"))
    stack.enter_context(spans.watch(SiteDatabase, "keep_blob", "kept blob"))
    stack.enter_context(spans.watch(Silo, "answer", "protocol, silos"))
    stack.enter_context(spans.watch_block(Store, "transaction", "coordinator's store"))
    stack.enter_context(spans.watch_block(Store, "read", "coordinator's store"))


def _breakdown(study: Study) -> dict[str, float]:
    """Returns milliseconds per training round by part, and how often the disk was asked."""
    parts = _parts(study, WALL)
    cpu = _parts(study, CPU)
    asked = {name: value for name, value in parts.items() if name.endswith("calls")}
    return {
        **{name: value for name, value in parts.items() if name not in asked},
        **{f"{name}, cpu": value for name, value in cpu.items() if name not in asked},
        **asked,
        "one write and fsync of 4 KiB": _fsync(),
    }


def _parts(study: Study, clock: Clock) -> dict[str, float]:
    """Returns milliseconds of this clock per training round, from a run of its own."""
    _, watched = _federate(study, parts_by=clock)
    first, last, count = watched.seconds[0], watched.seconds[-1], len(watched.rounds)
    parts = {name: (last[name] - first[name]) * 1000 / count for name in sorted(first)}
    parts["protocol, coordinator"] = sum(watched.rounds) / count - sum(parts.values())
    parts["whole round"] = sum(watched.rounds) / count
    for name in ("signing record", "ledger", "kept blob", "coordinator's store"):
        parts[f"{name}, calls"] = (watched.calls[-1][name] - watched.calls[0][name]) / count
    return parts


def _fsync() -> float:
    """Returns the milliseconds that this disk takes to make 4 KiB durable."""
    with tempfile.NamedTemporaryFile() as file:

        def write() -> None:
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fsync(file.fileno())

        return statistics.median(milliseconds(write, clock=WALL) for _ in range(50))
