"""One run over the network: hospitals join, rounds are run, everybody settles.

A hospital that is late joins when it comes; one that is gone is dropped from
rounds until it is back. The run begins when as many have joined as a round
needs, and waits between rounds while it is paused. A coordinator that was
killed goes on after the last round that was committed.
"""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from coordinator.blob_store import BlobStore
from coordinator.evidence import RoundShelf
from coordinator.http_link import HttpLink
from coordinator.mailbox import Mailbox
from coordinator.metrics import Metrics
from coordinator.run_record import RunRecord
from coordinator.runner import Outcome, Runner
from coordinator.server_states import ServerStates
from coordinator.store import RunRow, Store
from coordinator.workspace import Workspace
from protocol.errors import FederationError, MessageRefused, QuorumLost
from protocol.identity import Roster
from protocol.run_notice import RunNotice, parse_joined, sign_notice
from protocol.study import Study
from protocol.summary import SignedSummary, Summary, read_words
from protocol.tensors import Tensors, decode_tensors, model_digest
from protocol.wire import MOST_BLOB_BYTES, Delivery

#: Seconds between two invitations to those who have not joined.
_INVITE_SECONDS = 5.0


class Halted(KeyboardInterrupt):
    """The run was stopped by the consortium's people, or the service ends."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a run waits: for hospitals to join, and for one step of a round; in seconds."""

    joining: float = 24 * 3600.0
    step: float = 600.0


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
        pace: Pace,
        *,
        test_noise: bool = False,
    ) -> None:
        self._test_noise = test_noise
        self.run_id, self.study = run_id, study
        self._roster, self._workspace, self._store = roster, workspace, store
        self._mailbox, self._blobs, self._metrics, self._pace = mailbox, blobs, metrics, pace
        self._key = workspace.signing_key()
        self._record = RunRecord(store, self._key, roster, study, run_id)
        self._stop, self._leaving = threading.Event(), threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._lock = threading.Lock()
        self._words: dict[str, SignedSummary] = {}
        self._summaries: dict[str, Summary] = {}
        self._models: dict[str, str] = {}

    @property
    def joined(self) -> frozenset[str]:
        """The sites that have joined and stand by the same first model."""
        with self._lock:
            return frozenset(self._summaries)

    @property
    def paused(self) -> bool:
        """Whether the run waits before its next round."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Lets the present round end, and waits then."""
        self._going.clear()

    def resume(self) -> None:
        """Goes on."""
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
        inviting = threading.Thread(target=self._invite, daemon=True)
        self._metrics.running.inc()
        try:
            self._begin()
            inviting.start()
            self._await_quorum()
            outcome = self._train()
            self._settle()
            self._record.finish(outcome, None)
        except BaseException as error:
            if self._leaving.is_set():
                return  # the run goes on when the service is back
            self._stop.set()
            self._settle()
            self._record.end(error)
            raise
        finally:
            self._metrics.running.dec()
            self._stop.set()

    def _begin(self) -> None:
        """Begins the run's record, or takes up what a killed coordinator had begun."""
        with self._store.read() as session:
            row = session.get(RunRow, self.run_id)
            words = read_words(row.sites_json) if row is not None else None
        if words is None:
            self._record.begin(sweep=None, simulation=False, test_noise=self._test_noise)
            return
        for site, word in words.items():
            self._words[site] = word
        # Whoever had joined is asked again: it may have been restarted too.

    def _invite(self) -> None:
        """Asks whoever has not joined, again and again, until the run ends."""
        notice = RunNotice(run_id=self.run_id, study=self.study.digest, roster=self._roster.digest)
        message = sign_notice(notice, self._key)
        while not self._stop.is_set():
            missing = [site for site in self.study.site_names if site not in self.joined]
            draft = Delivery(number=0, run_id=self.run_id, kind="join", message=message)
            posted = {self._mailbox.post(site, draft): site for site in missing}
            for site, answer in self._mailbox.collect(posted, _INVITE_SECONDS, self._stop):
                if answer.refusal is None:
                    self._admit(site, answer.message)
            self._stop.wait(_INVITE_SECONDS if not missing else 0.2)

    def _admit(self, site: str, said: bytes) -> None:
        """Takes a hospital in, if its word is its own and its first model the others'."""
        try:
            joined = parse_joined(said)
            summary = self._record.read(site, joined.word)
        except MessageRefused:
            return
        with self._lock:
            self._models[site] = joined.model
            if len(set(self._models.values())) != 1:
                del self._models[site]  # its software builds another model: it cannot take part
                return
            self._words[site] = joined.word
            self._summaries[site] = summary
            words = dict(self._words)
        self._record.keep("approvals", words)

    def _await_quorum(self) -> None:
        least = max(self.study.threshold, self.study.aggregation.min_cohort)
        end = time.monotonic() + self._pace.joining
        while len(self.joined) < least:
            self._require_going()
            if time.monotonic() > end:
                raise QuorumLost(
                    f"{len(self.joined)} of {len(self.study.sites)} hospitals joined within "
                    f"{self._pace.joining:g} s, {least} are needed"
                )
            time.sleep(0.05)
        grace = time.monotonic() + min(2 * _INVITE_SECONDS, self._pace.joining / 10)
        while len(self.joined) < len(self.study.sites) and time.monotonic() < grace:
            self._require_going()
            time.sleep(0.05)

    def _train(self) -> Outcome:
        initial = self._initial_model()
        size = sum(tensor.size for tensor in initial.values())
        link = HttpLink(
            self._mailbox,
            self._blobs,
            joined=lambda: self.joined,
            most_vector=min(MOST_BLOB_BYTES, 8 * (size + 4096)),
            stop=self._stop,
        )
        runner = Runner(
            run_id=self.run_id,
            study=self.study,
            roster=self._roster,
            key=self._key,
            store=self._store,
            link=link,
            shelf=self._workspace,
            evidence=RoundShelf(self._workspace.rounds),
            watcher=self,
            step_timeout=self._pace.step,
            threads=os.cpu_count() or 1,
            states=ServerStates(self._workspace.root / "states"),
        )
        with closing(link):
            return runner.run(initial, self._summaries, before_round=self._wait_while_paused)

    def round_finished(self, purpose: str, number: int, survivors: tuple[str, ...]) -> None:
        """Counts a finished round."""
        self._metrics.rounds.labels(purpose).inc()

    def _initial_model(self) -> Tensors:
        """Returns the first parameters from whoever sends them first; all stand by their digest."""
        draft = Delivery(number=0, run_id=self.run_id, kind="initial-model", message=b"")
        while True:
            for site in sorted(self.joined):
                self._require_going()
                posted = {self._mailbox.post(site, draft, MOST_BLOB_BYTES): site}
                for _, answer in self._mailbox.collect(posted, self._pace.step, self._stop):
                    if answer.blob is None:
                        continue
                    model = decode_tensors(self._blobs.take(site, answer.blob.digest))
                    if model_digest(model) == self._models[site]:
                        return model
            self._require_going()
            self._stop.wait(1.0)

    def _wait_while_paused(self) -> None:
        self._going.wait()
        self._require_going()

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Halted("stopped by the consortium")

    def _settle(self) -> None:
        """Lets every hospital settle its ledger; keeps the accounts of those who answer."""
        draft = Delivery(number=0, run_id=self.run_id, kind="leave", message=b"")
        posted = {self._mailbox.post(site, draft): site for site in sorted(self.joined)}
        accounts: dict[str, SignedSummary] = {}
        for site, answer in self._mailbox.collect(posted, min(60.0, self._pace.step), _NEVER):
            if answer.refusal is not None:
                continue
            try:
                word = parse_joined(answer.message).word
                self._record.read(site, word)
            except MessageRefused:
                continue
            accounts[site] = word
        if accounts:
            self._record.keep("settlements", dict(self._words) | accounts)


_NEVER = threading.Event()


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
    }
