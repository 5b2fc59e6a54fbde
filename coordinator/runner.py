"""Runs a study: rounds of training, then one evaluation, each remembered whole.

The runner decides nothing about privacy. It opens rounds, hands sums to the
strategy and writes down what happened: model, round and audit entries of a
round are one transaction, so a crash leaves the last finished round.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compliance.audit_log import NewEntry
from coordinator.evaluation import Released, released_metrics
from coordinator.links import SiloLink
from coordinator.round import Sum, aggregate
from coordinator.store import RoundRow, SnapshotRow, Store, newest_head, now
from coordinator.strategies import STRATEGIES, ServerState
from protocol.agreed_context import round_context
from protocol.context import RoundContext
from protocol.encoding import digest, digest_json
from protocol.errors import FederationError
from protocol.evaluation_vector import EvaluationVector, noise_deviations
from protocol.fixed_point import decode, decode_counts
from protocol.identity import Roster, SigningKey
from protocol.study import Study
from protocol.sum_round import SumRound
from protocol.summary import Summary
from protocol.tensors import (
    Layout,
    Tensors,
    encode_tensors,
    flatten,
    layout_of,
    model_digest,
    unflatten,
)

#: The root that a log without entries has: SHA-256 of nothing (RFC 6962 section 2.1).
_EMPTY_ROOT = digest(b"")


class Watcher(Protocol):
    """Whoever wants to know how a run goes on."""

    def round_finished(self, purpose: str, number: int, survivors: tuple[str, ...]) -> None:
        """Called when a round is committed; ``number`` counts from 0."""


class SnapshotShelf(Protocol):
    """Where finished models are kept."""

    def keep_snapshot(self, model: Tensors, manifest: dict[str, Any]) -> str:
        """Keeps a model under its digest and returns the digest."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a finished run yields."""

    model: Tensors
    model_digest: str
    released: Released


class Runner:
    """Carries one run from its first round to its evaluation."""

    def __init__(
        self,
        *,
        run_id: str,
        study: Study,
        roster: Roster,
        key: SigningKey,
        store: Store,
        link: SiloLink,
        shelf: SnapshotShelf,
        watcher: Watcher,
        step_timeout: float = 600.0,
    ) -> None:
        self._run_id = run_id
        self._study = study
        self._roster = roster
        self._key = key
        self._store = store
        self._link = link
        self._shelf = shelf
        self._watcher = watcher
        self._timeout = step_timeout

    def run(self, initial: Tensors, summaries: Mapping[str, Summary]) -> Outcome:
        """Returns the trained model and its released figures.

        Args:
            initial: the parameters all hospitals agree to start from.
            summaries: each hospital's verified word on its privacy plan.

        Raises:
            QuorumLost: too few hospitals are left to finish a round.
        """
        layout = layout_of(initial)
        strategy = STRATEGIES[self._study.training.strategy]()
        state = strategy.init(flatten(initial))
        for number in range(self._study.training.rounds):
            model = unflatten(layout, state.parameters)
            total = self._round("training", number, model, layout)
            state = strategy.apply(state, self._mean(total))
            self._commit_training(number, total, layout, state)
        model = unflatten(layout, state.parameters)
        released = self._evaluate(model, layout, summaries)
        name = self._keep(model)
        return Outcome(model=model, model_digest=name, released=released)

    def _round(self, purpose: str, number: int, model: Tensors, layout: Layout) -> Sum:
        context = self._context(purpose, number, model, layout)
        self._open(purpose, number, context)
        sum_round = SumRound(
            context=context,
            roster=self._roster,
            key=self._key,
            min_cohort=self._study.aggregation.min_cohort,
        )
        try:
            return aggregate(
                sum_round,
                self._link,
                run_id=self._run_id,
                model=encode_tensors(model),
                timeout=self._timeout,
            )
        except FederationError as error:
            self._fail(purpose, number, type(error).__name__)
            raise type(error)(f"{purpose} round {number + 1}: {error}") from error

    def _context(self, purpose: str, number: int, model: Tensors, layout: Layout) -> RoundContext:
        with self._store.read() as session:
            head = newest_head(session)
        return round_context(
            self._study,
            run_id=self._run_id,
            roster_digest=self._roster.digest,
            purpose=purpose,
            number=number,
            attempt=0,
            log_root=head.root.hex() if head else _EMPTY_ROOT,
            model=model,
        )

    def _mean(self, total: Sum) -> NDArray[np.float64]:
        """Returns the weighted mean update of the sites that are in the sum."""
        weights = self._study.weights
        share = sum(weights[site] for site in total.survivors) / max(weights.values())
        return decode(total.total, frac_bits=self._study.aggregation.frac_bits) / share

    def _open(self, purpose: str, number: int, context: RoundContext) -> None:
        with self._store.transaction() as transaction:
            transaction.add(
                RoundRow(
                    run_id=self._run_id,
                    purpose=purpose,
                    number=number,
                    attempt=context.attempt,
                    state="open",
                    context=context.digest,
                    survivors_json="[]",
                    dropped_json="[]",
                    model_digest=None,
                    opened_at=now(),
                    closed_at=None,
                )
            )
            transaction.log([self._entry("round-opened", number, context.digest)], self._key)

    def _close(self, row: RoundRow, total: Sum, model_name: str | None) -> None:
        row.state = "finished"
        row.survivors_json = json.dumps(total.survivors)
        row.dropped_json = json.dumps(total.dropped)
        row.model_digest = model_name
        row.closed_at = now()

    def _fail(self, purpose: str, number: int, kind: str) -> None:
        with self._store.transaction() as transaction:
            row = transaction.round(self._run_id, purpose, number, 0)
            row.state, row.closed_at = "failed", now()
            transaction.log([self._entry("round-failed", number, digest(kind.encode()))], self._key)

    def _commit_training(self, number: int, total: Sum, layout: Layout, state: ServerState) -> None:
        name = model_digest(unflatten(layout, state.parameters))
        with self._store.transaction() as transaction:
            self._close(transaction.round(self._run_id, "training", number, 0), total, name)
            entries = [*self._results(number, total), self._entry("result", number, name)]
            transaction.log(entries, self._key)
        self._watcher.round_finished("training", number, total.survivors)

    def _results(self, number: int, total: Sum) -> list[NewEntry]:
        """What a finished round leaves in the log: who was in it, and what they sent."""
        return [
            self._entry("survivors", number, digest_json(list(total.survivors))),
            self._entry("masked-blobs", number, digest_json(dict(total.blob_hashes))),
            self._entry("ledger-heads", number, digest_json(dict(total.ledger_heads))),
        ]

    def _evaluate(
        self, model: Tensors, layout: Layout, summaries: Mapping[str, Summary]
    ) -> Released:
        number = self._study.training.rounds
        total = self._round("evaluation", number, model, layout)
        released = self._read(total, summaries)
        payload = released_json(released)
        with self._store.transaction() as transaction:
            self._close(transaction.round(self._run_id, "evaluation", number, 0), total, None)
            figures = digest(transaction.release(self._run_id, "evaluation", payload).encode())
            entries = [*self._results(number, total), self._entry("release", number, figures)]
            transaction.log(entries, self._key)
        self._watcher.round_finished("evaluation", number, total.survivors)
        return released

    def _read(self, total: Sum, summaries: Mapping[str, Summary]) -> Released:
        vector = EvaluationVector(sites=self._study.site_names, bins=self._study.evaluation.bins)
        share = self._study.evaluation.site_share
        pooled, tables = 0.0, {}
        for site in total.survivors:
            noise_multiplier = summaries[site].evaluation_noise_multiplier
            each, own = (
                noise_deviations(noise_multiplier, share) if noise_multiplier else (0.0, 0.0)
            )
            pooled += each**2
            tables[site] = own
        counts = decode_counts(total.total)
        return released_metrics(counts, vector, math.sqrt(pooled), tables, total.survivors)

    def _keep(self, model: Tensors) -> str:
        manifest: dict[str, Any] = {
            "study_digest": self._study.digest,
            "run_id": self._run_id,
            "round": self._study.training.rounds,
            "roster_digest": self._roster.digest,
            "created_at": now(),
        }
        name = self._shelf.keep_snapshot(model, manifest)
        with self._store.transaction() as transaction:
            transaction.add(
                SnapshotRow(
                    run_id=self._run_id,
                    round_number=self._study.training.rounds,
                    model_digest=name,
                    manifest_json=json.dumps(manifest, sort_keys=True),
                    created_at=now(),
                )
            )
            transaction.run(self._run_id).model_digest = name
            transaction.log([self._entry("snapshot", self._study.training.rounds, name)], self._key)
        return name

    def _entry(self, kind: str, number: int, payload: str) -> NewEntry:
        return NewEntry(type=kind, run_id=self._run_id, payload=payload, round=number, attempt=0)


def released_json(released: Released) -> dict[str, Any]:
    """Returns the released figures as the store keeps them."""
    return {
        "auroc": asdict(released.auroc),
        "accuracy": asdict(released.accuracy),
        "sites": {site: asdict(figures) for site, figures in released.sites.items()},
    }
