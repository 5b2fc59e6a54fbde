"""A consortium on loopback for tests: a real service over real TLS, real supervisors.

Only the medicine is simplified (``LinearTrainer``), and supervisors are threads.
Every wait is bounded.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from compliance.governance.study_store import StudyStore
from compliance.storage.clock import timestamp, utc_now
from coordinator.database.store import RoundRow, RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.http.api import HttpLimits
from coordinator.membership.authority import Authority
from coordinator.membership.directory import make_home, open_members
from coordinator.runs.resources import RunTimeouts
from coordinator.runs.service import Service
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.views import open_views
from pipelines.sources.source import RecordFile
from pipelines.sources.tables.dialect import AS_DECLARED, FileDialect
from protocol.identity.machine_evidence import MachineEvidence
from protocol.identity.roster import CoordinatorIdentity, SigningKey, sign_roster
from protocol.study.study import Study
from protocol.transport.tracing import NOT_TRACED, Tracing
from silos.config.attestation import AttestationPolicy, machine_evidence
from silos.config.credentials import Credentials
from silos.config.study_authorization import StudyTerms
from silos.database.database import SiteDatabase, open_hospital
from silos.database.trusted_rosters import TrustedRosters
from silos.network.client import LineLimits
from silos.network.enrolment import enrol
from silos.network.metrics import SiloMetrics
from silos.network.supervisor import Supervisor, SupervisorSettings
from silos.rounds.silo import MakeTrainer, Silo
from tests.support.hospital.tee import NOW
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.federation import LinearTrainer, write_hospitals

#: How long a test's rounds wait: only a hospital that is gone makes them wait so long.
QUICK = RunTimeouts(joining=PATIENCE, step=60.0)


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits until something is so, at most so long."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError("it did not happen in time")
        time.sleep(0.02)


@dataclass
class Site:
    """One hospital of the test's consortium, its supervisor started and stopped at will."""

    name: str
    home: Path
    source: Path
    study: Study
    url: str
    fixed_noise: bool
    make_trainer: MakeTrainer = LinearTrainer
    wait_seconds: int = 2
    dialect: FileDialect = AS_DECLARED
    authorization: Callable[[Path, SiteDatabase], Callable[[Study], StudyTerms]] | None = None
    maintenance_seconds: float = 60.0
    line: LineLimits = LineLimits()
    attestation: AttestationPolicy | None = None
    evidence: Callable[[bytes], MachineEvidence] = machine_evidence
    retention_days: int | None = None
    tracing: Tracing = NOT_TRACED
    metrics: SiloMetrics | None = None
    supervisor: Supervisor | None = None
    thread: threading.Thread | None = None
    failures: list[BaseException] = field(default_factory=list)
    clock: Callable[[], str] = timestamp

    def open(self) -> SiteDatabase:
        return open_hospital(
            self.home / "hospital.db",
            site=self.name,
            split_key=self.name.encode().ljust(32),
            simulated=True,
            clock=self.clock,
        )

    def start(self) -> None:
        """Starts a supervisor over the home as it lies there, as a restarted process would."""
        hospital = self.open()
        authorization = (
            self._terms if self.authorization is None else self.authorization(self.home, hospital)
        )
        silo = Silo(
            self.name,
            self.home,
            self.make_trainer,
            simulated=True,
            hospital=hospital,
            authorization=authorization,
        )
        silo.grant(20.0, 1e-3)
        credentials = Credentials(self.home / "tls", self.name)
        self.supervisor = Supervisor(
            self.home,
            hospital,
            silo,
            credentials,
            coordinator_public=credentials.coordinator.key,
            url=self.url,
            settings=SupervisorSettings(
                fixed_noise=self.fixed_noise,
                wait_seconds=self.wait_seconds,
                maintenance_seconds=self.maintenance_seconds,
                line=self.line,
                evidence=self.evidence,
                retention_days=lambda: self.retention_days,
                clock=lambda: NOW,
                tracing=self.tracing,
                metrics=self.metrics,
            ),
            random_pause=lambda: 0.0,
        )
        self.thread = threading.Thread(target=self._run, name=f"silo {self.name}", daemon=True)
        self.thread.start()

    def _terms(self, _study: Study) -> StudyTerms:
        return StudyTerms(
            runs=None,
            source=RecordFile(path=self.source, dialect=self.dialect),
            attestation=self.attestation,
        )

    def _run(self) -> None:
        try:
            if self.supervisor is not None:
                self.supervisor.run()
        except BaseException as error:  # noqa: BLE001  (told by the test)
            self.failures.append(error)

    @property
    def is_alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    @property
    def roster_version(self) -> int:
        """The newest roster that this hospital trusts; 0 before the first."""
        hospital = self.open()
        try:
            newest = TrustedRosters(hospital).newest()
        finally:
            hospital.close()
        return newest.version if newest else 0

    def stop(self) -> None:
        if self.supervisor is not None:
            self.supervisor.stop()
        if self.thread is not None:
            self.thread.join(PATIENCE)


class Network:
    """A coordinator's home, and hospitals that have enrolled and signed the founding roster.

    ``age`` is how long ago the consortium's own certificates were made.
    """

    def __init__(
        self,
        folder: Path,
        study: Study,
        *,
        fixed_noise: bool = True,
        pace: RunTimeouts = QUICK,
        age: timedelta = timedelta(0),
        limits: HttpLimits = HttpLimits(),  # noqa: B008
        progressed: Callable[[], None] | None = None,
        tracing: Tracing = NOT_TRACED,
    ) -> None:
        self.progressed = 0  # how often the service told of a round, or of a run's end
        self.study, self.home, self._pace = study, folder / "coordinator", pace
        data = folder / "data"
        data.mkdir()
        write_hospitals(data, study)
        make_home(self.home, ["127.0.0.1"], clock=lambda: utc_now() - age)
        self.service = Service(
            self.home, pace, limits, progressed or self._progress, tracing=tracing
        )
        self.port = 0
        self.sites = {
            site: Site(
                name=site,
                home=folder / site,
                source=data / f"{site}.csv",
                study=study,
                url="",
                fixed_noise=fixed_noise,
            )
            for site in study.site_names
        }

    def _progress(self) -> None:
        self.progressed += 1

    @property
    def coordinator(self) -> CoordinatorIdentity:
        """Whom the hospitals have enrolled with."""
        return Authority.open(self.home).identity

    @property
    def root(self) -> str:
        """The root's fingerprint, as its people read it out."""
        return str(self.coordinator.root)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serves; hospitals enrol, found the consortium and start."""
        with self.service.serving("127.0.0.1", self.port) as self.port:
            url = f"https://127.0.0.1:{self.port}"
            for site in self.sites.values():
                site.url = url
            if not (next(iter(self.sites.values())).home / "tls").exists():
                self._found(url)
            try:
                yield
            finally:
                for site in self.sites.values():
                    site.stop()

    def _found(self, url: str) -> None:
        keys: dict[str, SigningKey] = {}
        for name, site in self.sites.items():
            site.home.mkdir(exist_ok=True)
            hospital = site.open()
            with open_members(self.home) as members:
                invitation = members.invite(name, url)
            enrol(site.home, hospital, invitation, root=self.root)
            keys[name] = SigningKey.from_bytes(hospital.identity_key)
            StudyStore(site.home / "studies").keep(self.study.canonical_bytes.decode(), None)
            hospital.close()
        with open_members(self.home) as members:
            proposed = members.rosters.propose()
            for name, own in keys.items():
                members.rosters.sign(name, sign_roster(proposed, own))
        store, key = Store(Workspace(self.home).database), Workspace(self.home).signing_key()
        with store.transaction() as transaction:
            transaction.log(transaction.register(self.study), key)
        store.close()
        for site in self.sites.values():
            hospital = site.open()
            signed = rosters_now(self.home)
            TrustedRosters(hospital).keep(signed)
            hospital.close()

    def start_sites(self) -> None:
        for site in self.sites.values():
            site.start()

    def run(self) -> str:
        """Runs the study to its end; returns the run's id."""
        run_id = self.service.start_run(self.study.digest, test_noise=True)
        self.service.wait(run_id, PATIENCE)
        return run_id

    def rounds_finished(self, run_id: str) -> int:
        """How many rounds of a run were committed."""
        store = Store(Workspace(self.home).database)
        try:
            with store.read() as session:
                query = select(RoundRow).filter_by(run_id=run_id, state="finished")
                return len(session.scalars(query).all())
        finally:
            store.close()

    def rounds(self, run_id: str) -> list[tuple[list[str], float]]:
        """Who was in each finished round of a run, and how many seconds it took."""
        with closing(open_views(self.home)) as views:
            found = views.dossier(run_id).rounds
        return [(list(r.survivors), r.seconds or 0.0) for r in found if r.state == "finished"]

    def listed(self) -> tuple[RunSummary, ...]:
        """The runs as everybody sees them who reads the folder."""
        with closing(open_views(self.home)) as views:
            return views.runs()

    def status(self, run_id: str) -> dict[str, Any]:
        """What the service tells of a run; nothing of one that is not at work."""
        found = [run for run in self.service.status()["runs"] if run["run_id"] == run_id]
        return dict(found[0]) if found else {"silent": {}, "state": "", "blocked_reason": ""}

    def blocked_reason(self, run_id: str) -> str:
        """Why a run waits, as its people are told."""
        return str(self.status(run_id)["blocked_reason"])

    def row(self, run_id: str) -> RunRow:
        store = Store(Workspace(self.home).database)
        try:
            with store.read() as session:
                row = session.get_one(RunRow, run_id)
                session.expunge(row)
                return row
        finally:
            store.close()


def rosters_now(home: Path):  # type: ignore[no-untyped-def]
    with open_members(home) as members:
        signed = members.rosters.current()
    assert signed is not None
    return signed
