"""Runs a study: rounds of training and evaluations between and after them, each a whole.

A round is one secure sum of all hospitals, or the sums of several groups of them, which go through
their attempts side by side (``sums``); the server's step is given their mean (``means``).
No decision about privacy is made here. Rounds are opened, sums go to the
strategy, and what happened is written down: model, round and audit entries of a
round are one transaction, so a crash leaves the last finished round. A round
that fails is tried again (``retries``); every attempt has its own context.
After an evaluation the run goes on from where its course says
(``protocol.study.rounds.course``).
Who is left out of a run's rounds is in ``standing``.
"""

import json
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, Protocol

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.own_statements import newest_masked
from coordinator.database.round_archive import RoundArchive
from coordinator.database.server_state import ServerStates
from coordinator.database.store import SnapshotRow, Store
from coordinator.delivery.link import SiloLink
from coordinator.membership.cosigning import HeadCosigning, HeadWitnesses
from coordinator.membership.log_proofs import LogProofs
from coordinator.rounds.attempts.aggregation import Sum, SumFailure, aggregate
from coordinator.rounds.attempts.attempt_times import AttemptTimes
from coordinator.rounds.attempts.retries import Attempt, Attempts
from coordinator.rounds.attempts.round_sums import (
    DoneSum,
    SumPlace,
    SumTries,
    survivors_of,
    why_too_few,
)
from coordinator.rounds.attempts.standing import Standing
from coordinator.rounds.ending.snapshot import evaluated_by, snapshot_of
from coordinator.rounds.ending.snapshot_signing import collect_signatures
from coordinator.rounds.evaluation.released import Released, released_json
from coordinator.rounds.means import RoundMean, round_mean
from coordinator.rounds.round_records import RoundRecords
from coordinator.rounds.run_course import course_with, kinds_of
from coordinator.rounds.site_tables import figures_of, signed_tables
from protocol.errors import QuorumLost, StoreBroken
from protocol.identity.roster import Roster, SigningKey
from protocol.secagg.context import RoundContext, round_context
from protocol.secagg.server import SecAggServer
from protocol.study.privacy import NoPrivacy
from protocol.study.rounds.course import COURSE, Course, best_of, goes_on_from
from protocol.study.rounds.sent_sum import SentSum, can_be_sent
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.study import Study, SumOfSites
from protocol.transport.privacy_summary import Summary
from protocol.transport.steps import Traffic
from protocol.transport.tracing import NOT_TRACED, Tracing
from protocol.vectors.tensors import (
    Layout,
    Tensors,
    encode_tensors,
    layout_of,
    model_digest,
)

log = logging.getLogger("collegium.coordinator")

#: The seconds that hospitals have, at most, to sign the snapshot of a run that has ended.
_SIGN_SECONDS = 60.0


class Watcher(Protocol):
    """A watcher of a run's progress."""

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Called when a round is committed; ``number`` counts from 0."""

    def rolled_back(self, after: int, to: int) -> None:
        """Called when a run went back, after so many rounds, to the model after ``to`` rounds."""


class SnapshotArchive(Protocol):
    """The archive of finished models."""

    def keep_snapshot(self, model: Tensors, manifest: dict[str, Any]) -> str:
        """Keeps a model under its digest and returns the digest."""


@dataclass(frozen=True, kw_only=True)
class RunStores:
    """The places where a run is kept; without ``states`` it cannot go on after a restart."""

    store: Store
    snapshots: SnapshotArchive
    rounds: RoundArchive
    states: ServerStates | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a finished run."""

    model: Tensors
    model_digest: str
    released: Released


class Runner:
    """Carries one run from its first round to its last evaluation.

    Args:
        run_id: the run's name.
        study: what is trained.
        roster: the hospitals and their keys.
        key: the coordinator's, which signs the log.
        summaries: each hospital's verified summary of its privacy plan; more may join.
        stores: where the run is kept.
        link: the line to the hospitals.
        watcher: told of every committed round.
        before_attempt: called before each attempt with the kind of the round and its number;
            may wait, or raise to end the run.
        step_timeout: the seconds that a hospital has for a step.
        threads: how many masks are computed at once.
        absent: the hospitals that are not asked, each with the reason.
        witnesses: those outside the consortium that cosign the log's heads.
        tracing: records a span for each attempt at a round and for each of its steps.
    """

    def __init__(
        self,
        *,
        run_id: str,
        study: Study,
        roster: Roster,
        key: SigningKey,
        summaries: Mapping[str, Summary],
        stores: RunStores,
        link: SiloLink,
        watcher: Watcher,
        before_attempt: Callable[[str, int], None] = lambda round_kind, number: None,
        step_timeout: float = 600.0,
        threads: int = 1,
        absent: Callable[[], Mapping[str, str]] = dict,
        witnesses: HeadWitnesses | None = None,
        tracing: Tracing = NOT_TRACED,
    ) -> None:
        self._tracing = tracing
        self._absent, self._before_attempt = absent, before_attempt
        self._run_id = run_id
        self._study = study
        self._roster = roster
        self._key = key
        self._stores, self._store = stores, stores.store
        self._records = RoundRecords(stores.store, key, run_id)
        self._summaries = summaries
        self._log = LogProofs(stores.store, run_id, study, summaries, self._course)
        self._link = link
        self._cosigning = HeadCosigning(
            run_id=run_id,
            study=study,
            roster=roster,
            store=stores.store,
            signer=key,
            proofs=self._log,
            link=link,
            timeout=step_timeout,
            witnesses=witnesses,
        )
        self._watcher = watcher
        self._timeout = step_timeout
        self._threads = threads
        least = study.least_in(study.whole_sum)
        self._standing = self._records.standing(study.site_names, least)
        self._parts: dict[tuple[str, ...], Standing] = {}
        free = isinstance(study.privacy, NoPrivacy)
        #: How many further draws are paid for, by kind of round; None where they cost nothing.
        self._spare: dict[str, int | None] = {
            round_kind: None if free else max(0, most - self._records.spare_used(round_kind))
            for round_kind, most in study.spare_draws.items()
        }
        #: The contexts of each finished round whose vectors are kept, oldest first.
        self._kept: deque[list[str]] = deque()
        #: The states that the run may go back to, by the rounds before them.
        self._evaluated: dict[int, ServerState] = {}
        #: The run's course until now, once it was read; it grows with each evaluation.
        self._known_course: Course | None = None

    def run(self, initial: Tensors) -> Outcome:
        """Returns the trained model and its released figures.

        A run whose states are kept goes on after the last round that was committed.

        Args:
            initial: the parameters all hospitals agree to start from.

        Raises:
            QuorumLost: too few hospitals are left to finish a round.
        """
        layout = layout_of(without_slots(initial))
        training = self._study.training
        state = self._records.resume(self._stores.states) or begun(training, initial)
        known = self._study.communication is not None and not state.rounds
        instead: bytes | None = b"" if known else None  # whoever begins a run knows its first model
        before: Mean | None = None
        for number in range(state.rounds, training.rounds):
            goes_on = self._evaluated_state(layout, state, instead)
            instead = instead if goes_on is state else None  # it leads to what was taken back
            state, model = goes_on, model_of(training, layout, goes_on)
            done = self._round("training", number, model, instead)
            instead = self._instead(number, done)
            found = round_mean(self._study, model, number, [one.summed for one in done])
            state = next_state(training, state, found.mean)
            self._commit_training(_described(self._study, done, found, before), layout, state)
            before = found.mean
        ends = self._evaluated_state(layout, state, instead)
        course = self._course()
        rounds = training.rounds if course is None else goes_on_from(self._study, course).rounds
        model = model_of(training, layout, ends)
        released = self._released_after(rounds)
        name = self._keep(model, rounds)
        outcome = Outcome(model=model, model_digest=name, released=released)
        self.sign_snapshot(outcome)
        return outcome

    def sign_snapshot(self, outcome: Outcome) -> None:
        """Has the hospitals that are there sign the snapshot of the final model, if there is one.

        Raises:
            StoreBroken: it cannot be kept.
        """
        if not self._study.trains:
            return
        with self._store.read() as session:
            snapshot = snapshot_of(
                session,
                self._run_id,
                study=self._study,
                roster=self._roster,
                layout=layout_of(outcome.model).digest,
                created=timestamp(),
            )
            able = evaluated_by(session, self._run_id, self._study, snapshot.round)
        collect_signatures(
            snapshot,
            roster=self._roster,
            key=self._key,
            store=self._store,
            link=self._link,
            timeout=min(self._timeout, _SIGN_SECONDS),
            among=able - self._absent().keys(),
        )

    def _evaluated_state(
        self, layout: Layout, state: ServerState, instead: bytes | None
    ) -> ServerState:
        """Returns the state from which the run goes on, after the evaluation that is due there.

        That is the same state where none is due, and where nothing is taken back.
        """
        number = self._study.evaluations.number_after(state.rounds)
        if number is None:
            return state
        if self._records.released(kinds_of(self._study, number)[0]) is None:
            model = model_of(self._study.training, layout, state)
            self._evaluate(number, model, self._summaries, instead)
        course = self._course()
        if course is None:
            return state
        goes_on = goes_on_from(self._study, course)
        if goes_on.rounds == state.rounds:
            if goes_on == best_of(self._study, course.evaluations):
                self._evaluated = {state.rounds: state}
            return state
        best = self._state_after(goes_on.rounds)
        if model_digest(model_of(self._study.training, layout, best)) != goes_on.model:
            raise StoreBroken(
                f"run {self._run_id}: the state after round {goes_on.rounds} is not the one that "
                "was evaluated: the run cannot go on"
            )
        self._watcher.rolled_back(state.rounds, goes_on.rounds)
        return replace(best, rounds=state.rounds)

    def _course(self) -> Course | None:
        """Returns the run's course until now; None where its study takes nothing back."""
        if self._study.evaluation.roll_back is None:
            return None
        if self._known_course is None:
            self._known_course = self._records.course(self._study)
        return self._known_course

    def _state_after(self, rounds: int) -> ServerState:
        """Returns the state after so many rounds, as it was evaluated.

        Raises:
            StoreBroken: it is missing.
        """
        if rounds not in self._evaluated and self._stores.states is not None:
            self._evaluated[rounds] = self._stores.states.read(self._run_id, rounds)
        if rounds not in self._evaluated:
            raise StoreBroken(f"run {self._run_id}: the state after round {rounds} is missing")
        return self._evaluated[rounds]

    def _may_go_back_to(self) -> set[int]:
        """Returns after how many rounds the state is that the run may go back to: the best one."""
        course = self._course()
        best = None if course is None else best_of(self._study, course.evaluations)
        return set() if best is None else {best.rounds}

    def _released_after(self, rounds: int) -> Released:
        """Returns what was released of the model after so many rounds."""
        number = self._study.evaluations.number_after(rounds)
        found = None
        if number is not None:
            found = self._records.released(kinds_of(self._study, number)[0])
        if found is None:
            raise StoreBroken(f"run {self._run_id}: its released figures are missing")
        return found

    def _round(
        self, round_kind: str, number: int, model: Tensors, instead: bytes | None
    ) -> list[DoneSum]:
        """Returns the sums of a round, in their order, after as many attempts as they need.

        Raises:
            QuorumLost, SumRefused, RunLost: too few of them could be made.
        """
        spare, clip = self._spare[round_kind], None
        if round_kind == "training":
            clip = self._study.clip_of(model)
        tries = self._tries(round_kind, number, spare)
        least = self._study.least_sums(round_kind)
        try:
            if len([one for one in tries if one.error is None]) < least:
                self._give_up(tries, clip, least)
            while pending := [one for one in tries if one.is_pending]:
                self._before_attempt(round_kind, number)
                made = len([one for one in tries if one.done is not None])
                with self._traced(pending[0]):
                    self._attempt(pending, model, instead, clip, least=least - made)
                if len([one for one in tries if one.error is None]) < least:
                    self._give_up(tries, clip, least)
        finally:
            if spare is not None:
                self._spare[round_kind] = spare - max(one.redrawn for one in tries)
        return [one.done for one in tries if one.done is not None]

    @contextmanager
    def _traced(self, one: SumTries) -> Iterator[None]:
        """Records an attempt at a round; one that was made and gave no sum failed."""
        place, number = one.at, one.attempts.now.number
        with self._tracing.span(
            "round",
            run=self._run_id,
            kind=place.round_kind,
            round=place.number + 1,
            attempt=place.attempt(number),
        ) as span:
            yield
            failed = "tried again" if one.error is None else type(one.error).__name__
            span.end(failed if one.done is None else "ok")

    def _tries(self, round_kind: str, number: int, spare: int | None) -> list[SumTries]:
        """Returns the sums of a round before this process's first attempt at them."""
        sums = self._study.sums(round_kind, number)
        found = []
        for place, one in enumerate(sums):
            begun = self._records.begun(round_kind, number, place, len(sums))
            attempts = Attempts(
                self._standing_of(round_kind, one),
                number=number,
                most=self._study.aggregation.attempts,
                spare=spare,
                begun=begun,
            )
            at = SumPlace(
                round_kind=round_kind, number=number, sites=one, place=place, sums=len(sums)
            )
            found.append(SumTries.begun(at, attempts, begun.draw))
        return found

    def _standing_of(self, round_kind: str, one: SumOfSites) -> Standing:
        if round_kind != "training" and self._study.partial_sums:
            # What the sums of some sites have shown of them is in the records.
            return self._records.standing(one.sites, self._study.least_in(one))
        if one == self._study.whole_sum:
            return self._standing
        return self._parts.setdefault(
            one.sites, self._standing.of_part(one.sites, self._study.least_in(one))
        )

    def _attempt(
        self,
        tries: Sequence[SumTries],
        model: Tensors,
        instead: bytes | None,
        clip: float | None,
        least: int,
    ) -> None:
        """Makes one attempt at every sum that is pending; each takes note of what came of it."""
        traffic = defaultdict[str, Traffic](Traffic)
        with self._tracing.span("round.cosign", run=self._run_id, phase="cosign"):
            head = self._cosigned_head(traffic)
        absent = self._absent()  # who was silent just now is not waited for again
        tries = [one for one in tries if one.can_be_asked(absent)]
        if len(tries) < least:
            return
        machines = [self._opened(one, model, head) for one in tries]
        for machine in machines:
            self._records.open(machine.context)
        times = AttemptTimes()
        for one in tries:
            one.traffic, one.times = traffic, times
        keeps, encoded = self._study.aggregation.keep_rounds > 0, encode_tensors(model)
        results = aggregate(
            machines,
            self._link,
            least=least,
            run_id=self._run_id,
            model=encoded,
            timeout=self._timeout,
            log=self._log,
            archive=self._stores.rounds if keeps else None,
            instead=instead,
            traffic=traffic,
            times=times,
            tracing=self._tracing,
        )
        for one, machine, result in zip(tries, machines, results, strict=True):
            if isinstance(result, Sum):
                if keeps:
                    self._stores.rounds.keep_round(result.transcript, encoded)
                one.succeed(machine, result, clip)
            else:
                self._fail(one, machine, result, clip)

    def _cosigned_head(self, traffic: Mapping[str, Traffic]) -> tuple[int, str]:
        """Returns the head that the round's contexts name, after as many tries as it may need.

        Raises:
            QuorumLost: too few hospitals have cosigned it.
        """
        for _ in range(self._study.aggregation.attempts - 1):
            try:
                return self._cosigning.head(self._absent(), traffic)
            except QuorumLost as error:
                log.warning("run %s: %s", self._run_id, error)
        return self._cosigning.head(self._absent(), traffic)

    def cover_log(self) -> int:
        """Has the newest head cosigned, outside rounds; returns how many have signed it."""
        return self._cosigning.cover(self._absent())

    def _fail(
        self, one: SumTries, machine: SecAggServer, error: SumFailure, clip: float | None
    ) -> None:
        """Writes down that an attempt at a sum failed."""
        self._stores.rounds.drop(machine.context.digest)
        try:
            one.fail(machine, error)
        finally:
            self._records.fail(machine, error, one.conduct(machine, clip, failed=True))

    def _give_up(self, tries: Sequence[SumTries], clip: float | None, least: int) -> NoReturn:
        """Ends a round that too few sums are left of; those that were made are failed too."""
        where, error = why_too_few(tries, least)
        for one in tries:
            if one.done is not None and one.machine is not None:
                self._stores.rounds.drop(one.machine.context.digest)
                self._records.fail(one.machine, error, one.conduct(one.machine, clip, failed=True))
        raise type(error)(f"{where}: {error}") from error

    def _opened(self, one: SumTries, model: Tensors, head: tuple[int, str]) -> SecAggServer:
        attempt = one.attempts.now
        context = self._context(one.at, attempt, model, head)
        with self._store.read() as session:
            own = newest_masked(session)
        self._log.kept(own)
        return SecAggServer(
            context=context,
            roster=self._roster,
            key=self._key,
            min_sites=attempt.least,
            own_cells=self._study.evaluation_vector.own_cells,
            without=one.left_out,
            threads=self._threads,
            log_proof=partial(self._log.proof, context=context),
            own_masked=own,
        )

    def _context(
        self, at: SumPlace, attempt: Attempt, model: Tensors, head: tuple[int, str]
    ) -> RoundContext:
        log_size, log_root = head
        return round_context(
            self._study,
            run_id=self._run_id,
            roster_digest=self._roster.digest,
            round_kind=at.round_kind,
            number=at.number,
            attempt=at.attempt(attempt.number),
            draw=attempt.draw,
            log_size=log_size,
            log_root=log_root,
            model=model,
            among=at.sites,
        )

    def _commit_training(self, done: Sequence[DoneSum], layout: Layout, state: ServerState) -> None:
        """Finishes a round: its sums, and its result, which stands with the last of them."""
        name = model_digest(model_of(self._study.training, layout, state))
        if self._stores.states is not None:
            self._stores.states.keep(self._run_id, state)
        with self._store.transaction() as transaction:
            entries = []
            for one in done:
                own = name if one is done[-1] else None
                entries += self._records.close(transaction, one.total, one.conduct, own)
            context = done[-1].total.transcript.context
            transaction.log([*entries, self._records.entry(context, "result", name)], self._key)
        self._forget(done)
        if self._stores.states is not None:
            keep = self._may_go_back_to()
            self._stores.states.forget(self._run_id, before=state.rounds, keep=keep)
        self._watcher.round_finished("training", context.round, survivors_of(done))

    def _forget(self, done: Sequence[DoneSum]) -> None:
        """Drops the archived vectors of rounds that are older than the study wants, unless held."""
        self._kept.append([one.total.transcript.context.digest for one in done])
        if self._stores.rounds.is_held():
            return
        while len(self._kept) > self._study.aggregation.keep_rounds:
            for context in self._kept.popleft():
                self._stores.rounds.drop(context)

    def _instead(self, number: int, done: Sequence[DoneSum]) -> bytes | None:
        """Returns what is sent in place of the model after a round; None: that is sent."""
        if not can_be_sent(self._study, number):
            return None
        (total,) = [one.total for one in done]
        return SentSum(survivors=total.survivors, total=total.total).to_bytes

    def _evaluate(
        self, number: int, model: Tensors, summaries: Mapping[str, Summary], instead: bytes | None
    ) -> None:
        done = self._round("evaluation", number, model, instead)
        ((total, conduct),) = [(one.total, one.conduct) for one in done]
        tables = {site: total.tables[site] for site in total.survivors}
        released = figures_of(self._study, summaries, total.total, tables)
        payload = released_json(released)
        context, course = total.transcript.context, self._course()
        with self._store.transaction() as transaction:
            entries = self._records.close(transaction, total, conduct, None)
            of_figures, of_tables = kinds_of(self._study, number)
            entries += [
                self._records.entry(context, "release", *transaction.release(self._run_id, *kept))
                for kept in (
                    (of_figures, payload),
                    (of_tables, signed_tables(total.transcript)),
                )
            ]
            if self._study.evaluation.roll_back is not None:
                rounds = self._study.evaluations.rounds_before("evaluation", number)
                course = course_with(self._study, course, rounds, context.model_hash, released)
                entries.append(self._records.entry(context, COURSE, course.digest))
            transaction.log(entries, self._key)
        self._known_course = course
        self._forget(done)
        self._watcher.round_finished("evaluation", number, total.survivors)

    def _keep(self, model: Tensors, rounds: int) -> str:
        """Keeps the final model, which the run had after so many rounds; returns its digest."""
        manifest: dict[str, Any] = {
            "study_digest": self._study.digest,
            "run_id": self._run_id,
            "round": rounds,
            "roster_digest": self._roster.digest,
            "created_at": timestamp(),
        }
        if not self._study.trains:  # a given model, or none: it is not this run's
            manifest = {}
        name = self._stores.snapshots.keep_snapshot(model, manifest)
        row = SnapshotRow(
            run_id=self._run_id,
            round_number=rounds,
            model_digest=name,
            manifest_json=json.dumps(manifest, sort_keys=True),
            created_at=timestamp(),
        )
        with self._store.transaction() as transaction:
            kept = NewEntry(
                type="snapshot",
                run_id=self._run_id,
                payload=name,
                round=rounds,
                attempt=0,
                record=transaction.write(row),
            )
            transaction.log([kept], self._key)
        return name


def _described(
    study: Study,
    done: Sequence[DoneSum],
    found: RoundMean,
    before: Mean | None,
) -> list[DoneSum]:
    """Returns the sums of a round, each with how it lies to what a robust rule made of them."""
    if study.robust is None:
        return list(done)
    norm, direction = found.norm, found.direction(before)
    return [
        one.described(norm=norm, direction=direction, distance=distance)
        for one, distance in zip(done, found.distances, strict=True)
    ]
