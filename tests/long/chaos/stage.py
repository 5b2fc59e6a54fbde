"""A consortium for one fault: copied from one that was founded before, steered, and judged."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from coordinator.database.store import RoundRow, RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.runs.resources import RunTimeouts
from coordinator.runs.service import Service
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.rounds.silo import MakeTrainer
from tests.long.chaos import witness
from tests.long.chaos.judge import Verdict, judge
from tests.long.chaos.points import Act, Point, die
from tests.long.chaos.processes import (
    MAINTENANCE_SECONDS,
    Child,
    coordinator_process,
    free_port,
    silo_process,
)
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, Site, until
from tests.support.networked.proxy import Proxy
from tests.support.simulated.federation import LinearTrainer
from tests.support.simulated.studies import changed

T = TypeVar("T")

#: Rounds wait for a silent hospital so long that only a fault makes them end.
PATIENT = RunTimeouts(joining=PATIENCE, step=PATIENCE / 2)
#: Rounds that a silent hospital shall leave by their deadline.
HASTY = RunTimeouts(joining=PATIENCE, step=6.0)

#: How long ago the consortium was founded: longer than a certificate's life.
_FOUNDED = timedelta(days=10)
#: A run's evaluation may be counted twice: a coordinator may be killed while it is.
_TWICE = changed("{bins: 8}", "{bins: 8, epsilon: 4, attempts: 2}")
PER_SITE = read_study(_TWICE)
DISTRIBUTED = read_study(
    _TWICE.replace(
        "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
        "{mode: distributed, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 0.5, "
        "noise_multiplier: 2.5}",
    )
    .replace("rounds: 2, local_steps: 2,", "strategy: fedsgd, rounds: 2, local_steps: 1,")
    .replace(", micro_batch: 8", "")
)


@dataclass
class Stage:
    """One consortium and its run; every hospital is a thread until it is made a process.

    Args:
        folder: a new, empty folder.
        founded: a consortium that was founded before, of the same study.
        study: what is run.
        pace: how long the rounds wait.
        trainer: the medicine.
    """

    folder: Path
    founded: Path
    study: Study
    pace: RunTimeouts = PATIENT
    trainer: MakeTrainer = LinearTrainer
    port: int = field(default_factory=free_port)
    service: Service | None = None
    run_id: str = ""

    def __post_init__(self) -> None:
        for part in self.founded.iterdir():
            shutil.copytree(part, self.folder / part.name)
        self.home = self.folder / "coordinator"
        self.sites = {
            name: Site(
                name=name,
                home=self.folder / name,
                source=self.folder / "data" / f"{name}.csv",
                study=self.study,
                url=f"https://127.0.0.1:{self.port}",
                fixed_noise=True,
                make_trainer=self.trainer,
                wait_seconds=1,
                maintenance_seconds=MAINTENANCE_SECONDS,
            )
            for name in self.study.site_names
        }
        self._ends = ExitStack()
        self._ends.enter_context(witness.watching())

    @property
    def east(self) -> Site:
        """The hospital that faults strike."""
        return self.sites["east"]

    def start(self, *names: str) -> None:
        """Starts hospitals; all of them when none is named."""
        for name in names or tuple(self.sites):
            self.sites[name].start()

    def start_but_east(self) -> None:
        """Starts every hospital that faults do not strike."""
        self.start(*(name for name in self.sites if name != "east"))

    def serve(self) -> Service:
        """Starts the service in this process; what was under way goes on."""
        self.service = Service(self.home, self.pace)
        self._serving = ExitStack()
        self._serving.enter_context(self.service.serving("127.0.0.1", self.port))
        self._ends.callback(self.stop_serving)
        for run_id in self.service.resume_runs():
            self.run_id = run_id
        return self.service

    def stop_serving(self) -> None:
        """Ends the service, as an operator would."""
        if self.service is not None:
            self.service = None
            self._serving.close()

    def begin(self) -> str:
        """Begins the run."""
        assert self.service is not None
        self.run_id = self.service.start_run(self.study.digest, test_noise=True)
        return self.run_id

    def wait(self) -> None:
        """Waits until the run has ended."""
        assert self.service is not None
        self.service.wait(self.run_id, PATIENCE)

    def kill_east(self, point: Point, act: Act = die, *, chunk: int | None = None) -> None:
        """Runs with east as a process that is killed at a point; everything else goes on."""
        self.serve()
        self.start_but_east()
        child = self.child_of_east(point, act, chunk=chunk)
        self.begin()
        child.wait_for_death()

    def child_of_east(self, point: Point, act: Act = die, *, chunk: int | None = None) -> Child:
        """Starts east as a process."""
        child = silo_process(self.east, point, act, chunk)
        self._ends.callback(child.end)
        return child

    def kill_coordinator(self, *points: Point) -> None:
        """Runs with the coordinator as a process, killed at each point; serves again then."""
        self.start()
        for point in points:
            child = coordinator_process(self.home, self.port, self.pace, self.study.digest, point)
            self._ends.callback(child.end)
            child.wait_for_death()
        self.run_id = self.newest_run()

    def restart_all(self) -> None:
        """Starts every hospital again, which forgets all that it does not keep."""
        for site in self.sites.values():
            if site.supervisor is not None:
                site.supervisor.stop()
        for site in self.sites.values():
            site.stop()
            site.start()

    def newest_run(self) -> str:
        """Returns the run that was begun last."""
        with self.reading() as session:
            return str(
                session.scalars(select(RunRow.id).order_by(RunRow.started_at.desc())).first()
            )

    @contextmanager
    def reading(self) -> Iterator[object]:
        """Yields a session on the coordinator's database."""
        store = Store(Workspace(self.home).database)
        try:
            with store.read() as session:
                yield session
        finally:
            store.close()

    def rounds(self) -> Sequence[RoundRow]:
        """Returns the run's rounds as they stand."""
        with self.reading() as session:
            rows = session.scalars(select(RoundRow).filter_by(run_id=self.run_id)).all()
            for row in rows:
                session.expunge(row)
            return list(rows)

    def survivors(self, number: int) -> list[str]:
        """Returns who was in a finished training round."""
        (row,) = (
            r
            for r in self.rounds()
            if (r.round_kind, r.number, r.state) == ("training", number, "finished")
        )
        return list(json.loads(row.survivors_json))

    def lead_over_proxy(self, *names: str) -> Proxy:
        """Leads hospitals, or all of them, over a proxy of their own; returns it."""
        line = self.until_closed(Proxy(self.port))
        for name in names or tuple(self.sites):
            self.sites[name].url = f"https://127.0.0.1:{line.port}"
        return line

    def until_closed(self, context: AbstractContextManager[T]) -> T:
        """Keeps something in force until this stage is closed."""
        return self._ends.enter_context(context)

    def until_finished(self, rounds: int) -> None:
        """Waits until so many rounds are committed."""
        until(lambda: len([r for r in self.rounds() if r.state == "finished"]) >= rounds)

    def wait_until_settled(self) -> None:
        """Gives hospitals that were away time to settle; what is open then is for the judge."""
        end = time.monotonic() + PATIENCE
        while self.judged(None).open_reservations and time.monotonic() < end:
            time.sleep(0.2)

    def close(self) -> None:
        """Ends everything that is still at work."""
        for site in self.sites.values():
            if site.supervisor is not None:
                site.supervisor.stop()
        self._ends.close()
        for site in self.sites.values():
            site.stop()

    def judged(self, model: str | None, *, same_update: bool = False) -> Verdict:
        """Returns the verdict over what the run left behind."""
        hospitals = {name: site.home / "hospital.db" for name, site in self.sites.items()}
        return judge(self.home, hospitals, self.run_id, model=model, same_update=same_update)


def found(folder: Path, study: Study) -> Path:
    """Returns a folder with a consortium in it: all have enrolled and signed the first roster."""
    folder.mkdir()
    with Network(folder, study, age=_FOUNDED).serving():
        pass
    return folder
