"""The silo's supervisor: holds keys, ledger and policy, and does what the coordinator asks, or not.

One loop: ask for the next delivery, do it, answer. Nothing reaches a hospital
but the answers to its own requests. Whatever happens to the line, it tries
again, for ever, at longer and longer intervals; whatever was asked meanwhile
is asked again by the coordinator, or was missed, which the round survives.

A restarted supervisor finds the runs it had joined in its own database and
joins them again: their reservation is open, nothing is paid twice. A run that
ended while nobody was here is settled as soon as the coordinator says so.
"""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from compliance.governance.study_store import StudyStore
from compliance.storage.atomic_file import write_whole
from compliance.storage.clock import Clock, utc_now
from protocol.errors import (
    FederationError,
    LinkLost,
    MessageRefused,
    PolicyRefused,
    QuorumLost,
    StoreBroken,
)
from protocol.identity.machine_evidence import MachineEvidence, report_data
from protocol.identity.roster import Member, Roster
from protocol.study.study import Study
from protocol.transport.enrolment import CertificateReply, RosterNews, parse, request_renewal
from protocol.transport.enrolment import to_bytes as enrolment_bytes
from protocol.transport.privacy_summary import SignedSummary
from protocol.transport.requests import Answer, Delivery
from protocol.transport.run_announcement import Joined, RunAnnouncement, open_announcement, open_end
from protocol.transport.steps import COSIGN, JOIN_REFUSED, Request
from protocol.transport.tracing import NOT_TRACED, Tracing
from protocol.vectors.tensors import Tensors, decode_tensors, model_digest
from silos.config.attestation import AttestationPolicy, MachineCheck, machine_evidence
from silos.config.credentials import Credentials
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRun, JoinedRuns, RunState
from silos.database.trusted_rosters import TrustedRosters
from silos.network.client import CoordinatorClient, LineLimits
from silos.network.metrics import SiloMetrics
from silos.patients.retention import BY_SITE_FILE, delete_old
from silos.results.kept_models import keep_announced, keep_model
from silos.rounds.invitation import Invitation
from silos.rounds.openings.rollback_evidence import SignedLedgerHeads, read_signed_heads
from silos.rounds.silo import Silo

log = logging.getLogger("collegium.silo")

#: What the process does now, in the hospital's folder: for ``silo status`` and ``silo stop``.
STATUS_FILE = "status.json"
#: Seconds that one request waits for a delivery.
WAIT_SECONDS = 25
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
#: Between two looks at what is old enough to be deleted.
_RETENTION_SECONDS = 86400.0
#: Runs whose last word is remembered, for whoever asks for it again.
_MAX_FINAL_STATEMENTS = 20


@dataclass(frozen=True, kw_only=True)
class SupervisorSettings:
    """The settings of a supervisor, beside its home.

    ``fixed_noise`` is for tests of a simulated hospital only. One request waits
    ``wait_seconds`` for a delivery; ``maintenance_seconds`` lie between two looks at
    certificate, rosters and runs that have ended. ``line`` limits one line. ``evidence``
    returns what this machine shows of itself over the given 64 bytes. ``retention_days`` returns
    how long after a run what it needed of patients is kept; for ever when None. ``tracing`` records
    a span for each delivery, ``metrics`` counts them.
    """

    fixed_noise: bool = False
    wait_seconds: int = WAIT_SECONDS
    maintenance_seconds: float = 60.0
    line: LineLimits = LineLimits()
    evidence: Callable[[bytes], MachineEvidence] = machine_evidence
    retention_days: Callable[[], int | None] = lambda: None
    tracing: Tracing = NOT_TRACED
    metrics: SiloMetrics | None = None
    clock: Clock = utc_now


class Supervisor:
    """Runs one hospital on the network.

    Args:
        home: the hospital's folder.
        hospital: its open database.
        silo: what answers; the same object that a simulation's actor holds.
        credentials: the TLS certificate, renewed in time.
        coordinator_public: the coordinator's Ed25519 key, from the enrolment.
        url: where the coordinator answers.
        settings: see there.
    """

    def __init__(
        self,
        home: Path,
        hospital: SiteDatabase,
        silo: Silo,
        credentials: Credentials,
        *,
        coordinator_public: bytes,
        url: str,
        settings: SupervisorSettings = SupervisorSettings(),
        random_pause: Callable[[], float] = random.random,
    ) -> None:
        self._home, self._hospital, self._silo = home, hospital, silo
        self._metrics = settings.metrics
        self._credentials, self._settings = credentials, settings
        #: Where the coordinator answers.
        self.url = url
        self._coordinator = coordinator_public
        self._keys = IdentityKeys(hospital)
        self._runs = JoinedRuns(hospital)
        self._rosters = TrustedRosters(hospital)
        self._studies = StudyStore(home / "studies")
        self._wire: CoordinatorClient | None = None
        self._after = 0
        self._stop = threading.Event()
        self._next_maintenance = self._next_retention = 0.0
        self._is_waiting = False
        self._random_pause = random_pause
        self._final_statements: dict[str, bytes] = {}

    @property
    def site(self) -> str:
        """The hospital's name."""
        return self._hospital.site

    def stop(self) -> None:
        """Ends the loop after what it is doing now."""
        self._stop.set()

    def interrupt(self) -> None:
        """Ends the loop, from a signal's handler: at once while it only waits for a delivery.

        Raises:
            KeyboardInterrupt: in the thread that waits; ``run`` catches it.
        """
        self.stop()
        if self._is_waiting:
            raise KeyboardInterrupt

    def run(self) -> None:
        """Serves the coordinator until stopped.

        Raises:
            StoreBroken: the hospital's own database stays broken: nothing may go on.
        """
        pause = _FIRST_PAUSE
        self._show("starting")
        while not self._stop.is_set():
            try:
                self._serve_once()
                pause = _FIRST_PAUSE
            except (LinkLost, PolicyRefused, MessageRefused) as error:
                why = f"no line to the coordinator at {self.url}: {error}"
                log.warning("%s; again in %.1f s", why, pause)
                self._show("waiting for the coordinator", why)
                if self._metrics is not None:
                    self._metrics.line_lost()
                self._disconnect()
                self._stop.wait(pause * (0.5 + self._random_pause()))
                pause = min(2 * pause, _LONGEST_PAUSE)
            except StoreBroken as error:  # held by a backup, say: it may be free again soon
                if pause >= _LONGEST_PAUSE:
                    raise
                log.warning("%s; again in %.1f s", error, pause)
                self._show("waiting for its own database", str(error))
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except KeyboardInterrupt:
                if not self._stop.is_set():
                    raise
        self._disconnect()
        self._show("stopped")

    def _serve_once(self) -> None:
        wire = self._line()
        if time.monotonic() >= self._next_maintenance:
            self._maintain(wire)
            wire = self._line()  # another one, where the certificate was renewed
            self._next_maintenance = time.monotonic() + self._settings.maintenance_seconds
        self._is_waiting = True
        try:
            delivery = wire.next(self._after, self._settings.wait_seconds)
        finally:
            self._is_waiting = False
        self._show("connected")
        if self._metrics is not None:
            self._metrics.line_answers()
        if delivery is None:
            self._after = 0  # a coordinator that was started again may count from less
            return
        self._serve(wire, delivery)
        self._after = delivery.number

    def _serve(self, wire: CoordinatorClient, delivery: Delivery) -> None:
        """Does what a delivery asks for, and answers; the span that asked for it is its parent."""
        began = time.monotonic()
        with self._settings.tracing.span(
            "answer", wire.asked_by, site=self.site, run=delivery.run_id, phase=delivery.kind
        ) as span:
            wire.trace = span.traceparent
            try:
                answer = self._answer(wire, delivery)
                in_time = wire.answer(answer)
            finally:
                wire.trace = ""
            span.end(answer.refusal or ("ok" if in_time else "too late"))
        if not in_time:
            log.info("run %s: the answer to %s came too late", delivery.run_id, delivery.kind)
        if self._metrics is not None:
            outcome = "refused" if answer.refusal else "answered" if in_time else "too late"
            sent = len(answer.message) + (answer.blob.size if answer.blob else 0)
            received = len(delivery.message) + (delivery.blob.size if delivery.blob else 0)
            seconds = time.monotonic() - began
            self._metrics.delivered(delivery.kind, outcome, seconds, sent, received)

    def _line(self) -> CoordinatorClient:
        if self._wire is None:
            context = self._credentials.context()
            self._wire = CoordinatorClient(
                self._hospital.site,
                self.url,
                self._keys.own,
                context,
                coordinator=self._coordinator,
                next_key=self._keys.next,
                limits=self._settings.line,
            )
            self._next_maintenance = 0.0
        return self._wire

    def _disconnect(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _maintain(self, wire: CoordinatorClient) -> None:
        """Renews the certificate in time, and fetches rosters that others have signed."""
        if self._credentials.due:
            request = request_renewal(self._hospital.site, self._credentials.request(), wire.key)
            reply = parse(CertificateReply, wire.hand_in("renew", enrolment_bytes(request)))
            self._credentials.keep(reply.chain)
            log.info("the certificate was renewed; it is good until %s", self._credentials.expires)
            self._disconnect()
            wire = self._line()
        self._fetch_rosters(wire)
        self._settle_ended_runs(wire)
        self._forget_left_runs()
        self._delete_old()
        self._keys.forget_former()
        if self._metrics is not None:
            self._metrics.certificate_ends(self._credentials.expires)
            self._metrics.budget_of(self._booked_share)

    def _booked_share(self) -> float | None:
        """Returns the largest booked share of the patients' budget; None where none was opened."""
        if not self._silo.has_budget:
            return None
        return float(self._hospital.ledger.summary().dearest.committed)

    def _settle_ended_runs(self, wire: CoordinatorClient) -> None:
        """Leaves the runs that ended while this hospital was away: what is unused is free again."""
        for run in self._runs.open():
            said = wire.document(f"runs/{run.run_id.encode().hex()}")
            if said is not None and said != b"open":
                try:
                    open_end(said, run.run_id, self._coordinator)
                    self._rejoin(wire, run.run_id)
                    self._leave(run.run_id, said)
                    log.info("run %s: it ended while nobody was here; settled", run.run_id)
                except FederationError as error:
                    log.warning("run %s cannot be settled yet: %s", run.run_id, error)

    def _forget_left_runs(self) -> None:
        """Drops what this process holds of runs that the hospital's own people have left."""
        for run in self._runs.all():
            if run.state is RunState.LEFT and self._silo.has_joined(run.run_id):
                self._leave(run.run_id)
                log.info(
                    "run %s: left by this hospital's people; its records are dropped", run.run_id
                )

    def _delete_old(self) -> None:
        """Once a day deletes what runs needed, where the site file says after how long."""
        if time.monotonic() < self._next_retention:
            return
        self._next_retention = time.monotonic() + _RETENTION_SECONDS
        try:
            days = self._settings.retention_days()
            if days is not None:
                deleted = delete_old(self._hospital, days, by=BY_SITE_FILE)
                for kind, count in deleted.counts.items():
                    log.info("retention: %d %s deleted", count, kind)
        except FederationError as error:
            log.warning("retention: nothing could be deleted: %s", error)

    def _fetch_rosters(self, wire: CoordinatorClient) -> None:
        newest = self._rosters.newest()
        found = wire.document(f"rosters/{newest.version if newest else 0:x}")
        if found is None:
            return
        for signed in parse(RosterNews, found).signed:
            try:
                self._rosters.keep(signed)
            except (PolicyRefused, MessageRefused, QuorumLost) as error:
                log.warning("roster %d was not kept: %s", signed.roster.version, error)
                return

    def _answer(self, wire: CoordinatorClient, delivery: Delivery) -> Answer:
        """Returns the answer to a delivery.

        Of a refusal its class name crosses; of one to join, or to join again after a
        restart, only that there was one.
        """
        if delivery.kind == COSIGN:
            return self._cosign(delivery)
        is_joining = True
        try:
            if delivery.kind == "join":
                return Answer(number=delivery.number, message=self._join(wire, delivery))
            if delivery.kind == "leave":
                open_end(delivery.message, delivery.run_id, self._coordinator)
            else:
                self._require_not_left(delivery.run_id)
            self._rejoin(wire, delivery.run_id)
            is_joining = False
            return self._step(wire, delivery)
        except LinkLost:
            raise
        except FederationError as error:
            log.warning("run %s, %s refused: %s", delivery.run_id, delivery.kind, error)
            kind = type(error).__name__
        except Exception:  # one run's trouble must not end the line for the others
            log.exception("run %s, %s failed", delivery.run_id, delivery.kind)
            kind = FederationError.__name__
        return Answer(number=delivery.number, refusal=JOIN_REFUSED if is_joining else kind)

    def _cosign(self, delivery: Delivery) -> Answer:
        """Cosigns a head of the log, whatever became of the run in which it is asked."""
        asked = Request(run_id=delivery.run_id, step=delivery.kind, message=delivery.message)
        reply = self._silo.cosign(asked, self._coordinator)
        return Answer(number=delivery.number, message=reply.message, refusal=reply.refusal)

    def _require_not_left(self, run_id: str) -> None:
        """Refuses a run that the hospital's own people have left while this process was at work."""
        run = self._runs.of(run_id)
        if run is not None and run.state is RunState.LEFT:
            if self._silo.has_joined(run_id):
                self._leave(run_id)
            raise PolicyRefused("this hospital has left the run: here it is over")

    def _step(self, wire: CoordinatorClient, delivery: Delivery) -> Answer:
        if delivery.kind == "advertise":
            self._require_current(delivery.run_id)
        if delivery.kind == "initial-model":
            model = wire.send(self._silo.initial_model(delivery.run_id))
            return Answer(number=delivery.number, blob=model)
        if delivery.kind == "leave":
            return Answer(
                number=delivery.number, message=self._leave(delivery.run_id, delivery.message)
            )
        blob = None if delivery.blob is None else wire.fetch(delivery.blob)
        reply = self._silo.answer(
            Request(run_id=delivery.run_id, step=delivery.kind, message=delivery.message, blob=blob)
        )
        if reply.refusal is not None:
            return Answer(number=delivery.number, refusal=reply.refusal)
        sent = None if reply.blob is None else wire.send(reply.blob)
        return Answer(number=delivery.number, message=reply.message, blob=sent)

    def _join(self, wire: CoordinatorClient, delivery: Delivery) -> bytes:
        """Joins a run that the hospital's people have approved; returns its signed summary."""
        notice = open_announcement(delivery.message, self._coordinator)
        if notice.run_id != delivery.run_id:
            raise MessageRefused("the notice is about another run")
        signed_summary = self._approve(wire, notice, delivery.message)
        model = model_digest(decode_tensors(self._silo.initial_model(notice.run_id)))
        return Joined(
            summary=signed_summary.data,
            signature=signed_summary.signature,
            model=model,
            evidence=self._evidence(notice),
        ).canonical_bytes

    def _evidence(self, notice: RunAnnouncement) -> MachineEvidence | None:
        """Returns what this machine shows of itself in a run; nothing where it has no TEE."""
        key = self._rosters.kept(notice.roster).key_of(self._hospital.site)
        member = Member(site=self._hospital.site, public_key=key.hex())
        try:
            return self._settings.evidence(report_data(member, notice.digest))
        except FederationError as error:
            log.info(
                "run %s: no evidence about this machine is shown, and members whose policy asks "
                "for it share nothing with this hospital: %s",
                notice.run_id,
                error,
            )
            return None

    def _machine_check(self, notice: RunAnnouncement, policy: AttestationPolicy) -> MachineCheck:
        name = f"evidence/{notice.run_id.encode().hex()}"
        return MachineCheck(
            policy, notice.digest, lambda: self._line().document(name), self._settings.clock
        )

    def _approve(
        self, wire: CoordinatorClient, notice: RunAnnouncement, signed: bytes
    ) -> SignedSummary:
        """Joins, and writes it down first: a reservation is always found again."""
        run_id = notice.run_id
        self._require_not_left(run_id)
        if self._silo.has_joined(run_id):
            return self._silo.signed_summary(run_id)
        run = self._runs.of(run_id)
        if run is not None and run.state is RunState.JOINED:
            # The members may have signed another since; the run keeps the one it began with.
            signed_summary = self._join_run(wire, notice, self._rosters.kept(notice.roster))
            self._runs.record(run_id, study=notice.study, state=RunState.JOINED)
            return signed_summary
        roster = self._newest_roster(wire, notice)
        record = partial(self._runs.record, run_id, study=notice.study, notice=signed)
        record(state=RunState.JOINED)
        try:
            signed_summary = self._join_run(wire, notice, roster)
        except FederationError:
            record(state=RunState.REFUSED)
            raise
        record(state=RunState.JOINED)  # by an approval that came meanwhile, where one did
        self._require_not_left(run_id)  # it may have been left meanwhile: then its plan is closed
        return signed_summary

    def _newest_roster(self, wire: CoordinatorClient, notice: RunAnnouncement) -> Roster:
        """Returns the roster of a run that begins: only the newest will do."""
        roster = self._rosters.newest()
        if roster is None or roster.digest != notice.roster:
            self._fetch_rosters(wire)
            roster = self._rosters.newest()
        if roster is None or roster.digest != notice.roster:
            raise PolicyRefused("the run's roster is not the one that this hospital trusts")
        return self._rosters.require_current(roster.digest)

    def _require_current(self, run_id: str) -> None:
        """Refuses to begin a round of a run whose roster has had its time."""
        for run in self._runs.open():
            if run.run_id == run_id:
                self._rosters.require_current(
                    open_announcement(run.notice, self._coordinator).roster
                )

    def _join_run(
        self, wire: CoordinatorClient, notice: RunAnnouncement, roster: Roster
    ) -> SignedSummary:
        study, index = self._studies.read(notice.study)
        return self._silo.join(
            Invitation(
                run_id=notice.run_id,
                study=study,
                roster=roster,
                coordinator_public=self._coordinator,
                data=None,
                index_file=index,
                fixed_noise_seed=study.seeds.model if self._settings.fixed_noise else None,
                signed_heads=self._signed_heads(wire),
                machine_check=partial(self._machine_check, notice),
                keep_model=partial(self._keep_model, notice.run_id, study)
                if study.has_model
                else None,
            )
        )

    def _rejoin(self, wire: CoordinatorClient, run_id: str) -> None:
        """Joins a run again that was joined before this process began."""
        if self._silo.has_joined(run_id):
            return
        for run in self._runs.open():
            if run.run_id == run_id:
                log.info("run %s: joined again after a restart", run_id)
                self._approve(wire, open_announcement(run.notice, self._coordinator), run.notice)
                return

    def _keep_model(self, run_id: str, study: Study, model: Tensors, own: Tensors | None) -> None:
        try:
            keep_model(self._home, run_id, study, model, own)
        except OSError as error:  # the round does not wait for a full disk to be mended
            log.warning("run %s: its model is not kept: %s", run_id, error.strerror)

    def _keep_announced(self, run: JoinedRun, end: bytes | None) -> None:
        """Keeps the model that a run ended with, where it went back to an earlier one."""
        try:
            study, _ = self._studies.read(run.study)
            result = None if end is None else open_end(end, run.run_id, self._coordinator).result
            keep_announced(self._home, run.run_id, study, None if result is None else result.model)
        except (OSError, FederationError) as error:  # settling does not wait for a full disk
            log.warning("run %s: its final model is not kept: %s", run.run_id, error)

    def _leave(self, run_id: str, end: bytes | None = None) -> bytes:
        """Settles a run; ``end`` is the coordinator's statement that it is over, if any."""
        if run_id in self._final_statements:
            return self._final_statements[run_id]  # asked again, the same bytes again
        signed_summary = self._silo.leave(run_id)
        for run in self._runs.open():
            if run.run_id == run_id:
                self._keep_announced(run, end)
                self._runs.record(run_id, study=run.study, state=RunState.LEFT, end=end)
        said = Joined(
            summary=signed_summary.data, signature=signed_summary.signature, model="0" * 64
        ).canonical_bytes
        self._final_statements[run_id] = said
        if len(self._final_statements) > _MAX_FINAL_STATEMENTS:
            del self._final_statements[next(iter(self._final_statements))]
        return said

    def _signed_heads(self, wire: CoordinatorClient) -> SignedLedgerHeads:
        """Returns what the consortium has kept of this hospital's signed statements."""
        return read_signed_heads(wire.document("statements"))

    def _show(self, state: str, reason: str = "") -> None:
        """Leaves a note for ``silo status``: what this process does now."""
        note = {"state": state, "reason": reason, "pid": os.getpid(), "time": int(time.time())}
        try:
            write_whole(self._home / STATUS_FILE, json.dumps(note).encode(), durable=False)
        except OSError as error:  # a full disk stops what must be kept, not what is only told
            log.warning("%s cannot be written: %s", STATUS_FILE, error.strerror)
