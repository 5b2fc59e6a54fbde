"""One run over the network: hospitals join, rounds are run, every ledger is settled.

A hospital that is late joins when it comes; one that is gone is dropped from
rounds until it is back. The run begins when as many have joined as a round
needs, and waits between rounds while it is paused. A coordinator that was
killed goes on after the last round that was committed. One whose own disk or
database fails pauses the run with the reason, and goes on from there too, when
its people have mended it.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict

from sqlalchemy import select

from compliance.governance.retention import is_held
from coordinator.database.round_archive import RoundArchive
from coordinator.database.server_state import ServerStates
from coordinator.database.store import RunRow, SnapshotRow
from coordinator.delivery.http_link import HttpLink
from coordinator.delivery.link import SiloLink
from coordinator.governance.incident_register import holds_in
from coordinator.membership.cosigning import HeadCosigning
from coordinator.membership.log_proofs import LogProofs
from coordinator.rounds.ending.end_statement import signed_end
from coordinator.rounds.round_measures import round_measures
from coordinator.rounds.round_records import RoundRecords
from coordinator.rounds.run_records import RunRecord, manifest_of
from coordinator.rounds.training import Outcome, Runner, RunStores
from coordinator.runs.join_phase import JoinPhase
from coordinator.runs.monitoring.attendance import Attendance
from coordinator.runs.monitoring.monitored_link import MonitoredLink
from coordinator.runs.monitoring.run_monitor import RunMonitor
from coordinator.runs.participants import RunParticipants
from coordinator.runs.resources import RunResources
from coordinator.runs.run_control import RunControl
from protocol.errors import FederationError, MessageRefused, QuorumLost, StoreBroken
from protocol.identity.roster import Roster, SigningKey
from protocol.study.rounds.course import rolled_back_text
from protocol.study.study import Study
from protocol.transport.privacy_summary import SignedSummary, read_summaries
from protocol.transport.requests import MAX_BLOB_BYTES, Delivery
from protocol.transport.run_announcement import (
    RunAnnouncement,
    parse_joined,
    sign_announcement,
    sign_end,
)

log = logging.getLogger("collegium.coordinator")

#: Seconds for the hospitals to settle a run that has ended.
_SETTLE_SECONDS = 60.0
#: Seconds for the hospitals to cosign the log when a run has ended.
_COVER_SECONDS = 5.0


class NetworkRun:
    """One run: ``run`` is a thread's work, ``control`` steers it, ``monitor`` follows it."""

    def __init__(
        self,
        run_id: str,
        study: Study,
        roster: Roster,
        resources: RunResources,
        *,
        test_noise: bool = False,
    ) -> None:
        self.run_id, self.study = run_id, study
        self._roster, self._resources, self._test_noise = roster, resources, test_noise
        self._key = resources.workspace.signing_key()
        self._record = RunRecord(
            resources.store, self._key, roster, study, run_id, test_noise=test_noise
        )
        self.participants = RunParticipants()
        self.control = RunControl(resources.workspace.states / f"{run_id}.paused")
        self.monitor = RunMonitor(
            run_id,
            study,
            participants=self.participants,
            attendance=Attendance(resources.last_seen),
            is_paused=lambda: self.control.is_paused,
            folder=resources.workspace.states,
        )
        self._join_phase = JoinPhase(
            study,
            _invitation(run_id, study, roster, self._key),
            participants=self.participants,
            record=self._record,
            resources=resources,
            control=self.control,
            monitor=self.monitor,
        )
        self._rounds = RoundRecords(resources.store, self._key, run_id)
        self._archive = RoundArchive(resources.workspace.rounds, self._is_held)
        self._rest = resources.timeouts.first_rest

    def _is_held(self) -> bool:
        """Whether a legal hold keeps this run's finished rounds."""
        with self._resources.store.read() as session:
            return is_held(holds_in(session), self.run_id, self.study.digest)

    def run(self) -> None:
        """Runs to the end, writing down how it ends.

        Raises:
            FederationError: the run failed; it is written down.
        """
        running = self._resources.metrics.running
        running.inc()
        try:
            while not self._is_carried_out():
                self.control.require_going()
        except BaseException as error:
            if self.control.is_suspended:
                return  # the run goes on when the service is back
            self.control.stop()
            self._settle()
            self._abandon()
            self._record.end(error)
            self._cover_log()
            raise
        finally:
            running.dec()
            self.control.stop()
            self.monitor.forget()

    def _is_carried_out(self) -> bool:
        """Carries the run to its end; false where it was held up and is to be tried again."""
        try:
            self._begin()
            outcome = self._reached() or self._trained()
            self._settle()
            self._record.finish(outcome, None)
            self._cover_log()
            return True
        except (StoreBroken, OSError) as error:
            if self.control.stopped.is_set():
                raise
            self._wait_for_mending(error)
        except QuorumLost as error:
            if self.monitor.idle_seconds > self._resources.timeouts.patience:
                raise
            self._wait_for_hospitals(str(error))
        return False

    def _wait_for_mending(self, error: StoreBroken | OSError) -> None:
        said = error.strerror if isinstance(error, OSError) else error
        reason = f"the coordinator's own folder or database fails: {said}"
        self.monitor.blocked_reason = reason
        self.control.hold()  # nothing can be written now, the pause's file included
        log.error("run %s waits: %s; mend it, then resume the run", self.run_id, reason)
        self._wait_while_paused()
        self.monitor.blocked_reason = ""

    def _wait_for_hospitals(self, why: str) -> None:
        """Waits before another attempt: a line that was cut, or hours in which a hospital rests."""
        self.monitor.blocked_reason = f"too few hospitals take part: {why}"
        log.warning("run %s waits: %s", self.run_id, self.monitor.blocked_reason)
        self.control.sleep(self._rest)
        self._rest = min(2 * self._rest, self._resources.timeouts.longest_rest)
        self.monitor.blocked_reason = ""

    def _begin(self) -> None:
        """Begins the run's record, or goes on with what was begun and not ended."""
        with self._resources.store.read() as session:
            row = session.get(RunRow, self.run_id)
            signed_summaries = read_summaries(row.sites_json) if row is not None else None
        if signed_summaries is None:
            self._record.begin(sweep=None, simulation=False, test_noise=self._test_noise)
            return
        self.participants.remember(signed_summaries)
        self._abandon()
        # Hospitals that had joined are asked again: they may have been restarted too.

    def _abandon(self) -> None:
        for context in self._rounds.abandon():
            self._archive.drop(context)

    def _reached(self) -> Outcome | None:
        """Returns the outcome of a run that only its hospitals' settling was left of."""
        with self._resources.store.read() as session:
            query = select(SnapshotRow.model_digest).filter_by(run_id=self.run_id)
            name = session.scalars(query).one_or_none()
        released = self._rounds.released_at_end(self.study)
        if name is None or released is None:
            return None
        model = self._resources.workspace.read_snapshot(name)
        outcome = Outcome(model=model, model_digest=name, released=released)
        told = frozenset(self.participants.signed_summaries)
        with closing(self._link(0, joined=lambda: told)) as link:
            self._runner(link).sign_snapshot(outcome)
        return outcome

    def _trained(self) -> Outcome:
        """Trains with the hospitals that join, and with those that join later."""
        with self._join_phase.inviting():
            self._join_phase.await_quorum()
            initial = self._join_phase.first_model()
            joined = dict(self.participants.summaries)  # others may join meanwhile
            self._record.describe(manifest_of(self.study, joined, initial))
            with closing(self._link(sum(tensor.size for tensor in initial.values()))) as link:
                runner = self._runner(MonitoredLink(link, self.monitor, self.control.require_going))
                return runner.run(initial)

    def _link(
        self, parameters: int, joined: Callable[[], frozenset[str]] | None = None
    ) -> HttpLink:
        """Returns the line to the hospitals of the run, for a model of so many parameters.

        To those that have joined since this process began, where ``joined`` is None.
        """
        return HttpLink(
            self._resources.mailbox,
            self._resources.blobs,
            joined=joined or (lambda: self.participants.joined),
            max_vector=min(MAX_BLOB_BYTES, 8 * (parameters + 4096)),
            stop=self.control.stopped,
            idle=self.monitor.step.look,
            tracing=self._resources.tracing,
        )

    def _runner(self, link: SiloLink) -> Runner:
        workspace = self._resources.workspace
        return Runner(
            run_id=self.run_id,
            study=self.study,
            roster=self._roster,
            key=self._key,
            summaries=self.participants.summaries,
            stores=RunStores(
                store=self._resources.store,
                snapshots=workspace,
                rounds=self._archive,
                states=ServerStates(workspace.states),
            ),
            link=link,
            watcher=self,
            before_attempt=self._before_attempt,
            step_timeout=self._resources.timeouts.step,
            threads=os.cpu_count() or 1,
            absent=self.monitor.absent,
            witnesses=self._resources.witnesses,
            tracing=self._resources.tracing,
        )

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Counts a finished round."""
        self._rest = self._resources.timeouts.first_rest
        self.monitor.round_finished(round_kind, number)
        self._resources.metrics.rounds.labels(round_kind).inc()
        self._count(round_kind, number)
        self._resources.progressed()

    def _count(self, round_kind: str, number: int) -> None:
        """Counts what is on record of a finished round; it is not held up where that is away."""
        try:
            with self._resources.store.read() as session:
                found = round_measures(session, self.run_id, round_kind, number)
        except (StoreBroken, ValueError, TypeError) as error:
            log.warning("run %s: a round is not counted: %s", self.run_id, type(error).__name__)
            return
        for one in found:
            self._resources.metrics.round_finished(
                round_kind,
                seconds=one.seconds,
                retries=one.attempt // len(found),
                steps=one.steps,
                updates=one.updates,
                traffic=one.traffic,
                missing=one.missing,
            )

    def rolled_back(self, after: int, to: int) -> None:
        """Says that the run went back to an earlier model."""
        log.warning("run %s: %s", self.run_id, rolled_back_text(after, to))

    def _before_attempt(self, round_kind: str, number: int) -> None:
        """Waits while the run is paused, and until enough hospitals are heard from."""
        self.monitor.round_begins(round_kind, number)
        self._wait_while_paused()
        while not self.monitor.has_enough:
            if self.monitor.idle_seconds > self._resources.timeouts.patience:
                break  # the attempt itself will say who is missing
            silent = ", ".join(sorted(self.monitor.silent))
            self.monitor.blocked_reason = f"waits for {silent}: not heard from"
            self.monitor.tell()
            self.control.stopped.wait(0.5)
            self._wait_while_paused()
        self.monitor.blocked_reason = ""
        self.monitor.tell()

    def _wait_while_paused(self) -> None:
        if self.control.is_paused:
            self.monitor.tell()
        self.control.wait_while_paused()

    def _settle(self) -> None:
        """Lets every hospital settle its ledger; keeps the final statements of those who answer."""
        draft = Delivery(number=0, run_id=self.run_id, kind="leave", message=self._end())
        signed_summaries = self.participants.signed_summaries
        # A hospital that was left out has reserved what it will not spend, and is told as well.
        told = sorted(signed_summaries.keys() | self.participants.unfit)
        mailbox, step = self._resources.mailbox, self._resources.timeouts.step
        posted = {mailbox.post(site, draft): site for site in told}
        statements: dict[str, SignedSummary] = {}
        for site, answer in mailbox.collect(posted, min(_SETTLE_SECONDS, step), threading.Event()):
            if answer.refusal is not None or site not in signed_summaries:
                continue
            try:
                statements[site] = parse_joined(answer.message).signed_summary
            except MessageRefused as error:
                log.warning("run %s: %s settles in no known form: %s", self.run_id, site, error)
        if statements:
            self._record.keep("settlements", signed_summaries | statements)

    def _cover_log(self) -> None:
        """Has the log cosigned up to the run's end, by the hospitals and witnesses that answer."""
        link = HttpLink(
            self._resources.mailbox,
            self._resources.blobs,
            joined=lambda: self.participants.joined,
            max_vector=0,
            stop=threading.Event(),
        )
        try:
            store = self._resources.store
            HeadCosigning(
                run_id=self.run_id,
                study=self.study,
                roster=self._roster,
                store=store,
                signer=self._key,
                proofs=LogProofs(store, self.run_id, self.study, self.participants.summaries),
                link=link,
                timeout=min(_COVER_SECONDS, self._resources.timeouts.step),
                witnesses=self._resources.witnesses,
            ).cover(self.monitor.absent())
        except (FederationError, OSError) as error:  # the next round's head covers it, too
            log.warning("run %s: its end is not cosigned yet: %s", self.run_id, error)

    def _end(self) -> bytes:
        try:
            with self._resources.store.read() as session:
                return signed_end(session, self.run_id, self._key)
        except StoreBroken:  # hospitals settle all the same, and hear of the result later
            return sign_end(self.run_id, self._key)


def _invitation(run_id: str, study: Study, roster: Roster, key: SigningKey) -> Delivery:
    notice = RunAnnouncement(run_id=run_id, study=study.digest, roster=roster.digest)
    return Delivery(number=0, run_id=run_id, kind="join", message=sign_announcement(notice, key))


def failure_of(error: BaseException) -> str:
    """Returns how a failed run is told to the operator."""
    return str(error) if isinstance(error, FederationError) else type(error).__name__


def status_of(run: NetworkRun) -> Mapping[str, object]:
    """Returns what a run does now, for ``coordinator status``."""
    joined = run.participants.joined
    return {
        "run_id": run.run_id,
        "study": run.study.name,
        "joined": sorted(joined),
        "missing": sorted(set(run.study.site_names) - joined),
        "paused": run.control.is_paused,
        "blocked_reason": run.monitor.blocked_reason,
        **asdict(run.monitor.progress),
    }
