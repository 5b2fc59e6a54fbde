"""Runs a study: rounds of training, then one evaluation, each committed as a whole.

No decision about privacy is made here. Rounds are opened, sums go to the
strategy, and what happened is written down: model, round and audit entries of a
round are one transaction, so a crash leaves the last finished round. A round
that fails is tried again (``retries``); every attempt has its own context.
Who is left out of a run's rounds is in ``standing``.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from compliance.governance.audit_log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.own_statements import newest_masked
from coordinator.database.round_archive import RoundArchive
from coordinator.database.server_state import ServerStates
from coordinator.database.store import SnapshotRow, Store
from coordinator.delivery.link import SiloLink
from coordinator.evaluation.released import Released, released_json
from coordinator.membership.log_proofs import LogProofs
from coordinator.rounds.aggregation import Sum, aggregate
from coordinator.rounds.conduct import Conduct
from coordinator.rounds.retries import Attempt, Attempts, Failed
from coordinator.rounds.round_records import RoundRecords
from coordinator.rounds.site_tables import TABLES, figures_of, signed_tables
from protocol.errors import FederationError, QuorumLost, SumRefused
from protocol.identity.roster import Roster, SigningKey
from protocol.secagg.context import RoundContext, round_context
from protocol.secagg.server import SecAggServer
from protocol.study.privacy import NoPrivacy
from protocol.study.rounds.mean import mean_of
from protocol.study.rounds.sent_sum import SentSum, can_be_sent
from protocol.study.strategies.registry import (
    begun,
    model_of,
    next_state,
)
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.strategies.strategy import ServerState
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary
from protocol.transport.steps import Traffic
from protocol.vectors.tensors import (
    Layout,
    Tensors,
    encode_tensors,
    layout_of,
    model_digest,
)


class Watcher(Protocol):
    """A watcher of a run's progress."""

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Called when a round is committed; ``number`` counts from 0."""


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
    """Carries one run from its first round to its evaluation.

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
    ) -> None:
        self._absent, self._before_attempt = absent, before_attempt
        self._run_id = run_id
        self._study = study
        self._roster = roster
        self._key = key
        self._stores, self._store = stores, stores.store
        self._records = RoundRecords(stores.store, key, run_id)
        self._summaries = summaries
        self._log = LogProofs(stores.store, run_id, summaries)
        self._link = link
        self._watcher = watcher
        self._timeout = step_timeout
        self._threads = threads
        self._least = max(study.threshold, study.aggregation.min_sites)
        self._standing = self._records.standing(study.site_names, self._least)
        free = isinstance(study.privacy, NoPrivacy)
        #: How many further draws are paid for, by kind of round; None where they cost nothing.
        self._spare: dict[str, int | None] = {
            round_kind: None if free else max(0, most - self._records.spare_used(round_kind))
            for round_kind, most in study.spare_draws.items()
        }
        self._kept: deque[str] = deque()

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
        for number in range(state.rounds, training.rounds):
            model = model_of(training, layout, state)
            total, conduct = self._round("training", number, model, instead)
            instead = self._instead(number, total)
            mean = mean_of(self._study, model, number, total.survivors, total.total)
            state = next_state(training, state, mean)
            self._commit_training(total, conduct, layout, state)
        model = model_of(training, layout, state)
        released = self._records.released() or self._evaluate(model, self._summaries, instead)
        name = self._keep(model)
        return Outcome(model=model, model_digest=name, released=released)

    def _round(
        self, round_kind: str, number: int, model: Tensors, instead: bytes | None
    ) -> tuple[Sum, Conduct]:
        begun, spare = self._records.begun(round_kind, number), self._spare[round_kind]
        clip = self._study.clip_of(model) if round_kind == "training" else None
        attempts = Attempts(
            self._standing,
            number=number,
            most=self._study.aggregation.attempts,
            spare=spare,
            begun=begun,
        )
        try:
            while True:
                self._before_attempt(round_kind, number)
                attempt = attempts.now
                left_out = {**self._absent(), **attempt.without}
                sum_round = self._opened(round_kind, number, attempt, left_out, model)
                traffic = {site: Traffic() for site in self._study.site_names}
                conduct = partial(
                    Conduct.of, sum_round, left_out=left_out, clip=clip, traffic=traffic
                )
                try:
                    total = self._attempt(sum_round, encode_tensors(model), instead, traffic)
                except (QuorumLost, SumRefused) as error:
                    self._stores.rounds.drop(sum_round.context.digest)
                    try:
                        again = attempts.fail(_failed(sum_round, error))
                    finally:
                        shown = conduct(suspects=attempts.suspects, failed=True)
                        self._records.fail(sum_round, error, shown)
                    if not again:
                        raise type(error)(f"{round_kind} round {number + 1}: {error}") from error
                    continue
                attempts.succeed()
                return total, conduct(suspects=attempts.suspects, failed=False)
        finally:
            if spare is not None:
                self._spare[round_kind] = spare - (attempts.now.draw - begun.draw)

    def _opened(
        self,
        round_kind: str,
        number: int,
        attempt: Attempt,
        left_out: Collection[str],
        model: Tensors,
    ) -> SecAggServer:
        context = self._context(round_kind, number, attempt, model)
        with self._store.read() as session:
            own = newest_masked(session)
        return SecAggServer(
            context=context,
            roster=self._roster,
            key=self._key,
            min_sites=attempt.least,
            own_cells=self._study.evaluation_vector.own_cells,
            without=left_out,
            threads=self._threads,
            log_proof=partial(self._log.proof, context=context),
            own_masked=own,
        )

    def _attempt(
        self,
        sum_round: SecAggServer,
        model: bytes,
        instead: bytes | None,
        traffic: Mapping[str, Traffic],
    ) -> Sum:
        self._records.open(sum_round.context)
        keeps = self._study.aggregation.keep_rounds > 0
        total = aggregate(
            sum_round,
            self._link,
            run_id=self._run_id,
            model=model,
            timeout=self._timeout,
            log=self._log,
            archive=self._stores.rounds if keeps else None,
            instead=instead,
            traffic=traffic,
        )
        if keeps:
            self._stores.rounds.keep_round(total.transcript, model)
            self._kept.append(sum_round.context.digest)
        return total

    def _context(
        self, round_kind: str, number: int, attempt: Attempt, model: Tensors
    ) -> RoundContext:
        log_size, log_root = self._log.head()
        return round_context(
            self._study,
            run_id=self._run_id,
            roster_digest=self._roster.digest,
            round_kind=round_kind,
            number=number,
            attempt=attempt.number,
            draw=attempt.draw,
            log_size=log_size,
            log_root=log_root,
            model=model,
        )

    def _commit_training(
        self, total: Sum, conduct: Conduct, layout: Layout, state: ServerState
    ) -> None:
        name = model_digest(model_of(self._study.training, layout, state))
        context = total.transcript.context
        if self._stores.states is not None:
            self._stores.states.keep(self._run_id, state)
        with self._store.transaction() as transaction:
            entries = self._records.close(transaction, total, conduct, name)
            transaction.log([*entries, self._records.entry(context, "result", name)], self._key)
        self._forget()
        if self._stores.states is not None:
            self._stores.states.forget(self._run_id, before=state.rounds)
        self._watcher.round_finished("training", context.round, total.survivors)

    def _forget(self) -> None:
        """Drops the archived vectors of rounds that are older than the study wants."""
        while len(self._kept) > self._study.aggregation.keep_rounds:
            self._stores.rounds.drop(self._kept.popleft())

    def _instead(self, number: int, total: Sum) -> bytes | None:
        """Returns what is sent in place of the model after a round; None: that is sent."""
        if not can_be_sent(self._study, number):
            return None
        return SentSum(survivors=total.survivors, total=total.total).to_bytes

    def _evaluate(
        self, model: Tensors, summaries: Mapping[str, Summary], instead: bytes | None
    ) -> Released:
        number = self._study.training.rounds
        total, conduct = self._round("evaluation", number, model, instead)
        tables = {site: total.tables[site] for site in total.survivors}
        released = figures_of(self._study, summaries, total.total, tables)
        payload = released_json(released)
        context = total.transcript.context
        with self._store.transaction() as transaction:
            entries = self._records.close(transaction, total, conduct, None)
            entries += [
                self._records.entry(context, "release", *transaction.release(self._run_id, *kept))
                for kept in (
                    ("evaluation", payload),
                    (TABLES, signed_tables(total.transcript)),
                )
            ]
            transaction.log(entries, self._key)
        self._forget()
        self._watcher.round_finished("evaluation", number, total.survivors)
        return released

    def _keep(self, model: Tensors) -> str:
        manifest: dict[str, Any] = {
            "study_digest": self._study.digest,
            "run_id": self._run_id,
            "round": self._study.training.rounds,
            "roster_digest": self._roster.digest,
            "created_at": timestamp(),
        }
        if not self._study.trains:  # every statistics run has this one model: it is no run's
            manifest = {}
        name = self._stores.snapshots.keep_snapshot(model, manifest)
        row = SnapshotRow(
            run_id=self._run_id,
            round_number=self._study.training.rounds,
            model_digest=name,
            manifest_json=json.dumps(manifest, sort_keys=True),
            created_at=timestamp(),
        )
        with self._store.transaction() as transaction:
            kept = NewEntry(
                type="snapshot",
                run_id=self._run_id,
                payload=name,
                round=self._study.training.rounds,
                attempt=0,
                record=transaction.write(row),
            )
            transaction.log([kept], self._key)
        return name


def _failed(sum_round: SecAggServer, error: FederationError) -> Failed:
    return Failed(
        error=error,
        survivors=frozenset(sum_round.survivors),
        revealing=sum_round.asks_to_reveal,
        culprits=sum_round.culprits,
        complaints=sum_round.complaints,
        refusals=sum_round.refusals,
    )
