"""One run over the network: hospitals join, rounds are run, everybody settles.

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
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass

from sqlalchemy import select

from coordinator.database.round_archive import RoundShelf
from coordinator.database.server_state import ServerStates
from coordinator.database.store import RunRow, SnapshotRow, Store, utc
from coordinator.database.workspace import Workspace
from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox
from coordinator.delivery.http_link import HttpLink
from coordinator.http.metrics import Metrics
from coordinator.rounds.round_records import RoundBook
from coordinator.rounds.run_end import signed_end
from coordinator.rounds.run_records import RunRecord
from coordinator.rounds.training import Outcome, Runner
from coordinator.runs.attendance import Attendance
from coordinator.runs.participants import RunParticipants
from coordinator.runs.progress import RoundClock, RunProgress, forget_progress, write_progress
from coordinator.runs.step_wait import StepWait, words
from protocol.errors import FederationError, MessageRefused, QuorumLost, StoreBroken
from protocol.identity.machine_evidence import MachineEvidence
from protocol.identity.roster import Roster
from protocol.study.study import Study
from protocol.transport.privacy_summary import SignedSummary, read_words
from protocol.transport.requests import MAX_BLOB_BYTES, BlobName, Delivery
from protocol.transport.run_announcement import RunNotice, parse_joined, sign_end, sign_notice
from protocol.transport.steps import Reply, Request
from protocol.vectors.tensors import Tensors, decode_tensors, model_digest

log = logging.getLogger("collegium.coordinator")

#: Seconds between two attempts while too few hospitals take part: the first, and the most.
_FIRST_REST, _LONGEST_REST = 2.0, 300.0
#: Seconds for which an invitation stands before it is made anew.
_INVITE_SECONDS = 30.0
#: Seconds that a run waits for the last hospitals when enough have joined.
_GRACE_SECONDS = 10.0
#: Seconds until those are asked again who have refused to join.
_AGAIN_SECONDS = 5.0


class Halted(KeyboardInterrupt):
    """The run was stopped by the consortium's people, or the service ends."""


@dataclass(frozen=True, kw_only=True)
class RunTimeouts:
    """How long a run waits, in seconds: for hospitals to join, for one step of a round, and,
    without any progress, for enough hospitals to be back."""

    joining: float = 24 * 3600.0
    step: float = 600.0
    patience: float = 0.0


class NetworkRun:
    """Carries one run; ``run`` is a thread's work, the other methods steer it from outside."""

    def __init__(
        self,
        run_id: str,
        study: Study,
        roster: Roster,
        workspace: Workspace,
        store: Store,
        mailbox: Mailbox,
        blobs: BlobStore,
        metrics: Metrics,
        pace: RunTimeouts,
        *,
        test_noise: bool = False,
        last_seen: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._attendance = Attendance(last_seen)
        self._test_noise = test_noise
        self.run_id, self.study = run_id, study
        self._roster, self._workspace, self._store = roster, workspace, store
        self._mailbox, self._blobs, self._metrics, self._pace = mailbox, blobs, metrics, pace
        self._key = workspace.signing_key()
        self._record = RunRecord(store, self._key, roster, study, run_id, test_noise=test_noise)
        #: Why a hospital's word was not taken, by site.
        self._unfit: dict[str, str] = {}
        self._book = RoundBook(store, self._key, run_id)
        self._evidence = RoundShelf(workspace.rounds)
        #: Why the run waits for the coordinator's own people; empty while it does not.
        self.trouble = ""
        self._stop, self._leaving = threading.Event(), threading.Event()
        self._going = threading.Event()
        self._pause_file = workspace.states / f"{run_id}.paused"
        if not self._pause_file.exists():
            self._going.set()
        self._muster = RunParticipants()
        self._progress, self._rest = time.monotonic(), _FIRST_REST
        self._place, self._clock = 1, RoundClock()
        self._step = StepWait(run_id)
        self._least = max(study.threshold, study.aggregation.min_cohort)

    @property
    def joined(self) -> frozenset[str]:
        """The sites that have joined and stand by the same first model."""
        return self._muster.joined

    @property
    def evidence(self) -> Mapping[str, MachineEvidence]:
        """What the hospitals that have joined have shown of their machines, by site."""
        return self._muster.evidence

    @property
    def paused(self) -> bool:
        """Whether the run waits before its next round."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Lets the present round end, and waits then; a service that is restarted waits too."""
        self._going.clear()
        self._pause_file.parent.mkdir(exist_ok=True)
        self._pause_file.touch()

    def resume(self) -> None:
        """Goes on."""
        self._pause_file.unlink(missing_ok=True)
        self._going.set()

    def stop(self) -> None:
        """Ends the run now: nobody is asked anything any more but to settle."""
        self._stop.set()
        self._going.set()

    def suspend(self) -> None:
        """Ends the thread without ending the run: the service goes down and will come back."""
        self._leaving.set()
        self.stop()

    def run(self) -> None:
        """Runs to the end, writing down how it ends.

        Raises:
            FederationError: the run failed; it is written down.
        """
        self._metrics.running.inc()
        try:
            while not self._carried():
                self._require_going()
        except BaseException as error:
            if self._leaving.is_set():
                return  # the run goes on when the service is back
            self._stop.set()
            self._settle()
            self._abandon()
            self._record.end(error)
            raise
        finally:
            self._metrics.running.dec()
            self._stop.set()
            forget_progress(self._workspace.states, self.run_id)

    def _carried(self) -> bool:
        """Carries the run to its end; false where the coordinator's own trouble held it up."""
        try:
            self._begin()
            outcome = self._reached() or self._worked()
            self._settle()
            self._record.finish(outcome, None)
            return True
        except (StoreBroken, OSError) as error:
            if self._stop.is_set():
                raise
            self._wait_for_mending(error)
            return False
        except QuorumLost as error:
            if time.monotonic() - self._progress > self._pace.patience:
                raise
            self._wait_for_hospitals(str(error))
            return False

    def _wait_for_mending(self, error: StoreBroken | OSError) -> None:
        said = error.strerror if isinstance(error, OSError) else error
        self.trouble = f"the coordinator's own folder or database fails: {said}"
        self._going.clear()  # in memory only: nothing can be written now, and a restart tries again
        log.error("run %s waits: %s; mend it, then resume the run", self.run_id, self.trouble)
        self._wait_while_paused()
        self.trouble = ""

    def _wait_for_hospitals(self, why: str) -> None:
        """Waits before another attempt: a line that was cut, or hours in which a hospital rests."""
        self.trouble = f"too few hospitals take part: {why}"
        log.warning("run %s waits: %s", self.run_id, self.trouble)
        self._stop.wait(self._rest)
        self._rest = min(2 * self._rest, _LONGEST_REST)
        self._require_going()
        self.trouble = ""

    def _begin(self) -> None:
        """Begins the run's record, or takes up what was begun and not ended."""
        with self._store.read() as session:
            row = session.get(RunRow, self.run_id)
            words = read_words(row.sites_json) if row is not None else None
        if words is None:
            self._record.begin(sweep=None, simulation=False, test_noise=self._test_noise)
            return
        self._muster.remember(words)
        self._abandon()
        # Whoever had joined is asked again: it may have been restarted too.

    def _abandon(self) -> None:
        for context in self._book.abandon():
            self._evidence.drop(context)

    def _reached(self) -> Outcome | None:
        """Returns the outcome of a run that only its hospitals' settling was left of."""
        with self._store.read() as session:
            query = select(SnapshotRow.model_digest).filter_by(run_id=self.run_id)
            name = session.scalars(query).one_or_none()
        released = self._book.released()
        if name is None or released is None:
            return None
        model = self._workspace.read_snapshot(name)
        return Outcome(model=model, model_digest=name, released=released)

    def _worked(self) -> Outcome:
        """Trains with the hospitals that join, and with those that join later."""
        enough = threading.Event()
        inviting = threading.Thread(target=self._invite, args=(enough,), daemon=True)
        inviting.start()
        try:
            self._await_quorum()
            return self._train()
        finally:
            enough.set()  # who joined now would wait for a run that has ended
            inviting.join(_INVITE_SECONDS)

    def _invite(self, enough: threading.Event) -> None:
        """Asks whoever has not joined, again and again, until the last round has ended."""
        notice = RunNotice(run_id=self.run_id, study=self.study.digest, roster=self._roster.digest)
        message = sign_notice(notice, self._key)
        while not (enough.is_set() or self._stop.is_set()):
            answered = self._muster.answered
            missing = [site for site in self.study.site_names if site not in answered]
            draft = Delivery(number=0, run_id=self.run_id, kind="join", message=message)
            posted = {self._mailbox.post(site, draft): site for site in missing}
            is_refused = False
            for site, answer in self._mailbox.collect(posted, _INVITE_SECONDS, enough):
                is_refused = is_refused or answer.refusal is not None
                if answer.refusal is None:
                    is_refused = not self._admit(site, answer.message) or is_refused
            # Who has refused just now will refuse again; who was silent may be back any moment.
            enough.wait(0.2 if missing and not is_refused else _AGAIN_SECONDS)

    def _admit(self, site: str, said: bytes) -> bool:
        """Takes a hospital in, if its word is its own and promises what the study fixes.

        Returns:
            Whether its word was taken; else the others go on without it.
        """
        try:
            joined = parse_joined(said)
            summary = self._record.read(site, joined.word)
        except MessageRefused as error:
            if self._unfit.get(site) != str(error):  # it is asked again and again, and told once
                log.warning("run %s: %s is left out: %s", self.run_id, site, error)
            self._unfit[site] = str(error)
            return False
        try:
            self._record.keep("approvals", self._muster.words | {site: joined.word})
        except (StoreBroken, MessageRefused) as error:  # asked again, it says the same
            log.warning("run %s: that %s joined cannot be kept: %s", self.run_id, site, error)
            return True
        self._muster.add(site, joined.word, summary, joined.model, joined.evidence)
        if site not in self.joined:
            log.warning("run %s: %s builds another first model than most", self.run_id, site)
        return True

    def _await_quorum(self) -> None:
        end = time.monotonic() + self._pace.joining
        self._tell()
        while len(self.joined) < self._least:
            self._require_going()
            if time.monotonic() > end:
                raise QuorumLost(
                    f"{len(self.joined)} of {len(self.study.sites)} hospitals joined within "
                    f"{self._pace.joining:g} s, {self._least} are needed"
                )
            time.sleep(0.05)
        grace = time.monotonic() + min(_GRACE_SECONDS, self._pace.joining / 10)
        while len(self.joined) < len(self.study.sites) and time.monotonic() < grace:
            self._require_going()
            time.sleep(0.05)

    def _train(self) -> Outcome:
        initial = self._initial_model()
        size = sum(tensor.size for tensor in initial.values())
        self._link = HttpLink(
            self._mailbox,
            self._blobs,
            joined=lambda: self.joined,
            max_vector=min(MAX_BLOB_BYTES, 8 * (size + 4096)),
            stop=self._stop,
            idle=self._look,
        )
        runner = Runner(
            run_id=self.run_id,
            study=self.study,
            roster=self._roster,
            key=self._key,
            store=self._store,
            link=self,
            shelf=self._workspace,
            evidence=self._evidence,
            watcher=self,
            step_timeout=self._pace.step,
            threads=os.cpu_count() or 1,
            states=ServerStates(self._workspace.states),
            absent=self._absent,
        )
        with closing(self._link):
            return runner.run(initial, self._muster.summaries, self._before_attempt)

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the link does; a run that is stopped ends in mid-step.

        Raises:
            Halted: it was stopped: nobody's silence is to be blamed.
        """
        self._step.begin(set(requests) & self.joined, timeout, self._clock.seconds_left(1))
        try:
            for site, reply in self._link.exchange(requests, timeout):
                self._answered(site)
                yield site, reply
            self._require_going()
            self._attendance.missed(self._step.end(self._least))
        finally:
            self._step.stop()

    def _answered(self, site: str) -> None:
        waited = self._step.now
        self._step.answered(site)
        if waited is not None:
            self._tell()

    def _look(self) -> None:
        if self._step.look():
            self._tell()

    def round_finished(self, purpose: str, number: int, survivors: tuple[str, ...]) -> None:
        """Counts a finished round."""
        self._progress, self._rest = time.monotonic(), _FIRST_REST
        self._place = number + 2  # the next one, counted from 1
        self._clock.round_ended()
        self._tell()
        self._metrics.rounds.labels(purpose).inc()

    def _initial_model(self) -> Tensors:
        """Returns the first parameters from whoever sends them first; all stand by their digest."""
        draft = Delivery(number=0, run_id=self.run_id, kind="initial-model", message=b"")
        wanted = self._muster.choose()
        while True:
            for site in sorted(self.joined):
                self._require_going()
                posted = {self._mailbox.post(site, draft, MAX_BLOB_BYTES): site}
                self._step.begin({site}, self._pace.step, None)
                for _, answer in self._mailbox.collect(
                    posted, self._pace.step, self._stop, self._look
                ):
                    self._answered(site)
                    model = None if answer.blob is None else self._read_model(site, answer.blob)
                    if model is not None and model_digest(model) == wanted:
                        return model
                self._step.stop()
            self._require_going()
            self._stop.wait(1.0)

    def _read_model(self, site: str, name: BlobName) -> Tensors | None:
        try:
            return decode_tensors(self._blobs.take(site, name.digest))
        except MessageRefused as error:
            log.warning("run %s: %s sent no model: %s", self.run_id, site, error)
            return None

    @property
    def silent(self) -> dict[str, float]:
        """The sites that have joined and are not there now, and when they were last heard of."""
        return self._attendance.silent(self.joined)

    @property
    def progress(self) -> RunProgress:
        """How far the run is."""
        rounds = self.study.training.rounds
        state, waits = "joining" if len(self.joined) < self._least else "running", self._step.now
        asked = dict.fromkeys(waits.sites, utc(waits.since)) if waits else {}
        until = utc(waits.until) if waits else ""
        if self.trouble or waits:
            state = "waiting"
        if self.paused and not waits:  # the present round is ended first
            state = "paused"
        left = self._clock.seconds_left(rounds + 2 - self._place) if state == "running" else None
        return RunProgress(
            state=state,
            round=self._place,
            rounds=rounds,
            waits_for=words(asked, until) if asked else self.trouble,
            silent={s: utc(at) if at else "" for s, at in self.silent.items() if s not in asked},
            asked=asked,
            until=until,
            seconds_left=left,
        )

    def _tell(self) -> None:
        """Leaves a look at the run for whoever reads the folder."""
        try:
            write_progress(self._workspace.states, self.run_id, self.progress)
        except OSError as error:  # a full disk stops what must be kept, not what is only told
            log.warning("run %s: its progress is not told: %s", self.run_id, error.strerror)

    def _absent(self) -> dict[str, str]:
        """Returns who is not asked now, and why."""
        missing = set(self.study.site_names) - self.joined
        absent = {site: _WHY_UNFIT if site in self._unfit else "has not joined" for site in missing}
        return absent | {
            site: f"not heard of since {utc(at)}" if at else "not heard of"
            for site, at in self.silent.items()
        }

    def _before_attempt(self, purpose: str, number: int) -> None:
        """Waits while the run is paused, and until enough hospitals are heard of."""
        self._place = number + 1
        self._wait_while_paused()
        while len(self.joined) - len(self.silent) < self._least:
            if time.monotonic() - self._progress > self._pace.patience:
                break  # the attempt itself will say who is missing
            self.trouble = f"waits for {', '.join(sorted(self.silent))}: not heard of"
            self._tell()
            self._stop.wait(0.5)
            self._wait_while_paused()
        self.trouble = ""
        self._tell()

    def _wait_while_paused(self) -> None:
        if self.paused:
            self._tell()
        self._going.wait()
        self._require_going()

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Halted("stopped by the consortium")

    def _settle(self) -> None:
        """Lets every hospital settle its ledger; keeps the accounts of those who answer."""
        draft = Delivery(number=0, run_id=self.run_id, kind="leave", message=self._end())
        words = self._muster.words
        # Whoever was left out has reserved what it will not spend, and is told as well.
        told = sorted({*words, *self._unfit})
        posted = {self._mailbox.post(site, draft): site for site in told}
        accounts: dict[str, SignedSummary] = {}
        for site, answer in self._mailbox.collect(posted, min(60.0, self._pace.step), _NEVER):
            if answer.refusal is not None or site not in words:
                continue
            try:
                accounts[site] = parse_joined(answer.message).word
            except MessageRefused as error:
                log.warning("run %s: %s settles in no known form: %s", self.run_id, site, error)
        if accounts:
            self._record.keep("settlements", words | accounts)

    def _end(self) -> bytes:
        try:
            with self._store.read() as session:
                return signed_end(session, self.run_id, self._key)
        except StoreBroken:  # hospitals settle all the same, and hear of the result later
            return sign_end(self.run_id, self._key)


_NEVER = threading.Event()
#: How it is told of a hospital whose word was not taken; its log says more.
_WHY_UNFIT = "signed another privacy than the study fixes"


def failure_of(error: BaseException) -> str:
    """Returns how a failed run is told to the operator."""
    return str(error) if isinstance(error, FederationError) else type(error).__name__


def status_of(run: NetworkRun) -> Mapping[str, object]:
    """Returns what a run does now, for ``coordinator status``."""
    return {
        "run_id": run.run_id,
        "study": run.study.name,
        "joined": sorted(run.joined),
        "missing": sorted(set(run.study.site_names) - run.joined),
        "paused": run.paused,
        "trouble": run.trouble,
        **asdict(run.progress),
    }
