"""The coordinator as a service: endpoints for hospitals, runs in threads.

The hospitals reach ``http`` over TLS. The consortium's own people reach
``admin_socket`` over a socket file that only the owner of the folder can open.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import select

from compliance.audit.policy_file import read_witness_policy
from compliance.storage.clock import utc_now
from coordinator.audit.verification import verify_rows
from coordinator.database.log.cosignatures import newest_cosignatures
from coordinator.database.store import RunRow, Store, StudyRow
from coordinator.database.workspace import Workspace
from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox
from coordinator.governance.accounts import AccountFolder, AccountRegister
from coordinator.governance.models.register import ModelRegister
from coordinator.governance.models.release_key import ReleaseRegister
from coordinator.governance.models.weights_register import WeightsRegister
from coordinator.governance.operations import Operations
from coordinator.http.api import HttpLimits, Server
from coordinator.http.documents import MembersBackend
from coordinator.http.enrolment import EnrolmentServer
from coordinator.http.listening import EnrolmentListener, listening, taken
from coordinator.http.metrics.service_metrics import Metrics
from coordinator.http.metrics.state_metrics import RunStanding, StateMetrics
from coordinator.http.protocol_limits import server_config
from coordinator.membership.authority import Authority
from coordinator.membership.cosigning import submit_newest
from coordinator.membership.members import Members
from coordinator.membership.witnesses import PolicyWitnesses
from coordinator.rounds.ending.gate_facts import gate_facts
from coordinator.rounds.run_records import new_run_id
from coordinator.runs.network_run import NetworkRun, failure_of, status_of
from coordinator.runs.resources import RunResources, RunTimeouts
from protocol.encoding import parse_canonical
from protocol.errors import FederationError, PolicyRefused, StoreBroken
from protocol.identity.machine_evidence import MachineEvidence
from protocol.identity.roster import Roster, parse_roster
from protocol.study.study import Study
from protocol.transport.tracing import NOT_TRACED, Tracing

log = logging.getLogger("collegium.coordinator")


class Service:
    """One consortium's service over its folder.

    Raises:
        WorkspaceRefused: the folder holds no coordinator.
    """

    def __init__(
        self,
        home: Path,
        timeouts: RunTimeouts = RunTimeouts(),  # noqa: B008  (frozen)
        limits: HttpLimits = HttpLimits(),  # noqa: B008  (frozen)
        progressed: Callable[[], None] = lambda: None,
        witnesses: Path | None = None,
        tracing: Tracing = NOT_TRACED,
    ) -> None:
        """``progressed`` is called after every round and at a run's end; it must return at once.

        ``witnesses`` is the policy of witnesses outside the consortium, where there is one;
        ``tracing`` records spans of rounds and requests.
        """
        self._limits, self._progressed, self._began = limits, progressed, time.time()
        self._workspace = Workspace.open(home)
        self._authority = Authority.open(home)
        if self._authority.renew_server():
            log.info("the server's certificate was renewed")
        self._store = Store(self._workspace.database)
        self._key = self._workspace.signing_key()
        members = Members(self._store, self._authority, self._key)
        members.record_own_certificates()
        #: What people ask for: each act is taken or refused, then carried out.
        accounts = AccountRegister(self._store, self._key, AccountFolder(home))
        check = partial(verify_rows, public=self._key.public)
        self.operations = Operations(
            self._store,
            self._key,
            members,
            runs=self,
            accounts=accounts,
            weights=WeightsRegister(self._store, self._key, home),
            releases=ReleaseRegister(self._store, self._key, home),
            models=ModelRegister(self._store, self._key, utc_now, gate_facts, check),
        )
        mailbox, blobs = Mailbox(), BlobStore(home / "blobs")
        self._metrics = Metrics()
        self._register_state(home)
        self._backend = MembersBackend(self._store, members, self._key, evidence=self._shown)
        self._resources = RunResources(
            workspace=self._workspace,
            store=self._store,
            mailbox=mailbox,
            blobs=blobs,
            metrics=self._metrics,
            timeouts=timeouts,
            last_seen=lambda: self.last_seen,
            progressed=progressed,
            witnesses=None
            if witnesses is None
            else PolicyWitnesses(read_witness_policy(witnesses, self._key.public)),
            tracing=tracing,
        )
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="collegium")
        self.server = Server(
            self._backend,
            mailbox,
            blobs,
            self._metrics,
            self._pool,
            self._key,
            limits.bodies,
            tracing,
        )
        self._enrolments = EnrolmentServer(
            members.enrol, self._metrics, self._pool, limits.enrolment
        )
        self._is_invited = members.is_anybody_invited
        self._rosters = members.rosters
        self._runs: dict[str, NetworkRun] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._contexts: tuple[ssl.SSLContext, ...] = ()
        self._ports: tuple[int, int] | None = None
        self._lock, self._starting = threading.Lock(), threading.Lock()

    def _register_state(self, home: Path) -> None:
        """Shows the figures that are looked up when they are asked for, too."""
        found = StateMetrics(
            self._store,
            home,
            runs=self._standings,
            heard=lambda: self.last_seen,
            began=self._began,
        )
        self._metrics.registry.register(found)

    def _standings(self) -> list[RunStanding]:
        with self._lock:
            monitors = [run.monitor for run in self._runs.values()]
        return [
            RunStanding(state=one.progress.state, idle_seconds=one.idle_seconds) for one in monitors
        ]

    def perform(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Takes an act and carries it out, and counts what came of it; see ``Operations.perform``.

        Raises:
            FederationError: the act is refused, or what it asks for is.
        """
        try:
            told = self.operations.perform(asked)
        except FederationError:
            self._metrics.acts.labels("refused").inc()
            raise
        self._metrics.acts.labels("waits" if told.get("waits") else "done").inc()
        return told

    def start_run(self, study_digest: str, *, test_noise: bool = False, again: bool = False) -> str:
        """Begins a run of a registered study; returns its id.

        Args:
            study_digest: which study.
            test_noise: simulated hospitals use fixed noise.
            again: begin it although a run of the same study is at work.

        Raises:
            PolicyRefused: the study is not registered, the signed roster lacks a
                site, or a run of the study is at work and ``again`` is not said.
        """
        with self._starting:  # of two that ask at once one is told of the other
            return self._start_run(study_digest, test_noise=test_noise, again=again)

    def _start_run(self, study_digest: str, *, test_noise: bool, again: bool) -> str:
        study, roster = self._study(study_digest), self._roster()
        missing = sorted(set(study.site_names) - set(roster.sites))
        if missing:
            raise PolicyRefused(
                f"the signed roster {roster.version} lacks {', '.join(missing)}: invite and enrol "
                "them, propose a roster, and let its members sign"
            )
        revoked = [site for site in study.site_names if self._backend.identity_key(site) is None]
        if revoked:
            raise PolicyRefused(
                f"{', '.join(revoked)} was revoked: propose a roster without it, and a study too"
            )
        if not again:
            self._require_none_at_work(study)
        run_id = new_run_id()
        self._go(run_id, study, roster, test_noise=test_noise)
        return run_id

    def _require_none_at_work(self, study: Study) -> None:
        with self._lock:
            at_work = [r.run_id for r in self._runs.values() if r.study.digest == study.digest]
        if at_work:
            raise PolicyRefused(
                f"run {', '.join(at_work)} of {study.name} is at work. Another is paid again in "
                "full by every patient, and every hospital must have approved it: to begin it all "
                "the same, say --again"
            )

    def resume_runs(self) -> list[str]:
        """Goes on with the runs that an earlier service had begun and not ended."""
        query = select(RunRow).where(RunRow.state == "running", RunRow.simulation.is_(False))
        with self._store.read() as session:
            found = [
                (row.id, row.study_digest, row.roster_json, row.test_noise)
                for row in session.scalars(query)
            ]
        for run_id, digest, roster, test_noise in found:
            self._go(
                run_id, self._study(digest), parse_roster(roster.encode()), test_noise=test_noise
            )
        return [run_id for run_id, *_ in found]

    def _go(self, run_id: str, study: Study, roster: Roster, *, test_noise: bool) -> None:
        run = NetworkRun(run_id, study, roster, self._resources, test_noise=test_noise)
        thread = threading.Thread(target=self._carry, args=(run,), name=f"run {run_id}")
        with self._lock:
            self._runs[run_id], self._threads[run_id] = run, thread
        thread.start()

    def _carry(self, run: NetworkRun) -> None:
        try:
            run.run()
            log.info("run %s ended", run.run_id)
        except KeyboardInterrupt:
            log.info("run %s was stopped", run.run_id)
        except FederationError as error:
            log.error("run %s failed: %s", run.run_id, failure_of(error))
        except Exception:
            log.exception("run %s failed", run.run_id)
        finally:
            with self._lock:
                self._runs.pop(run.run_id, None)
            self._progressed()

    @property
    def began(self) -> float:
        """The beginning of the service, in seconds since 1970."""
        return self._began

    @property
    def last_seen(self) -> dict[str, float]:
        """The time at which each hospital was last heard from, in seconds since 1970."""
        return dict(self._backend.last_seen)

    def steer(self, run_id: str, what: str) -> None:
        """Pauses, resumes or stops a run.

        Raises:
            PolicyRefused: no such run is at work.
        """
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            raise PolicyRefused(f"run {run_id} is not at work: collegium coordinator status")
        control = run.control
        ways = {"pause": control.pause, "resume": control.resume, "stop": control.stop}
        if what not in ways:
            raise PolicyRefused(f"a run is steered by {', '.join(ways)}, not {what!r}")
        ways[what]()
        log.info("run %s: %s", run_id, what)

    def _shown(self, run_id: str) -> Mapping[str, MachineEvidence] | None:
        with self._lock:
            run = self._runs.get(run_id)
        return None if run is None else run.participants.evidence

    def status(self) -> Mapping[str, Any]:
        """Returns what the service does now."""
        with self._lock:
            runs = [status_of(run) for run in self._runs.values()]
        return {
            "runs": runs,
            "began": self._began,
            "last_seen": self.last_seen,
            "roster": self._roster_standing(),
            "ports": self._ports,
            "governance": self._governance(),
            "cosigners": self._cosigners(),
        }

    def _cosigners(self) -> list[dict[str, Any]]:
        """Returns who has cosigned the log, how far and when; nobody while it cannot be read."""
        try:
            with self._store.read() as session:
                return [asdict(one) for one in newest_cosignatures(session)]
        except StoreBroken:
            return []

    def _governance(self) -> Mapping[str, Any]:
        """Returns whether acts have a person, and which incidents are open, or why not known."""
        try:
            return self.operations.overview()
        except StoreBroken as error:
            return {"blocked_reason": str(error)}

    def _roster_standing(self) -> Mapping[str, Any] | None:
        """Returns the newest roster's version and end, or why it cannot be read now."""
        try:
            return self._rosters.standing()
        except StoreBroken as error:  # status tells of the runs also while the database is away
            return {"blocked_reason": str(error)}

    def wait(self, run_id: str, seconds: float | None = None) -> None:
        """Waits until a run has ended."""
        with self._lock:
            thread = self._threads.get(run_id)
        if thread is not None:
            thread.join(seconds)

    @contextmanager
    def serving(self, host: str, port: int, enrol_port: int | None = None) -> Iterator[int]:
        """Serves until the block ends; yields the port. Runs at work are suspended then.

        Enrolments are taken on ``enrol_port``, the next one when None.

        The folder is held meanwhile, so that its runs are shown as running.

        Raises:
            WorkspaceRefused: the address cannot be listened on, or the folder is held by another
                process.
        """
        with self._workspace.at_work(), taken(host, port, enrol_port) as (bound, beside):
            main, enrolling = self._authority.server_context(), self._authority.enrolment_context()
            self._contexts, self._ports = (main, enrolling), (bound, beside)
            serve = partial(
                server_config,
                host=host,
                connections=self._limits.connections,
                requests=self._limits.requests,
            )
            enrolments = EnrolmentListener(
                lambda: serve(self._enrolments.app, enrolling, port=beside), self._is_invited
            )
            try:
                with (
                    listening(serve(self.server.app, main, port=bound)),
                    enrolments.at_work(),
                ):
                    try:
                        yield bound
                    finally:
                        self.server.end()
                        self._suspend_runs()
            finally:
                self.close()  # when nobody is answered any more

    @property
    def metrics(self) -> Metrics:
        """The service's figures, for what tells it of alerts."""
        return self._metrics

    @property
    def counts(self) -> CollectorRegistry:
        """The registry of metrics that Prometheus reads."""
        return self._metrics.registry

    def renew(self) -> None:
        """Renews the server's certificate when it is time; new connections see the new one."""
        if self._contexts and self._authority.renew_server():
            for context in self._contexts:
                self._authority.show(context)
            log.info("the server's certificate was renewed")

    def cosign_newest(self) -> None:
        """Has witnesses outside the consortium cosign what was logged between runs."""
        witnesses = self._resources.witnesses
        if witnesses is None:
            return
        try:
            submit_newest(self._store, self._key, witnesses)
        except (FederationError, OSError) as error:
            log.warning("the newest entries of the log are not cosigned yet: %s", error)

    def close(self) -> None:
        """Suspends all runs; they go on when a service is started over this folder again."""
        self._suspend_runs()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._store.close()

    def _suspend_runs(self) -> None:
        with self._lock:
            runs, threads = list(self._runs.values()), list(self._threads.values())
        for run in runs:
            run.control.suspend()
        for thread in threads:
            thread.join(30)

    def _study(self, digest: str) -> Study:
        with self._store.read() as session:
            row = session.get(StudyRow, digest)
            document = row.document if row is not None else None
        if document is None:
            raise PolicyRefused(
                f"study {digest[:16]} is not registered: collegium study register STUDY"
            )
        study = Study.model_validate(parse_canonical(document))
        if study.digest != digest:
            raise StoreBroken(f"study {digest[:16]} was changed: register it again")
        return study

    def _roster(self) -> Roster:
        signed = self._rosters.current()
        if signed is None:
            raise PolicyRefused(
                "no roster is signed yet: collegium coordinator roster propose, then every member "
                "signs it"
            )
        self._rosters.require_valid(signed.roster)
        return signed.roster
