"""Writes down every attempt of a round: its row, and what the log keeps of it for ever."""

import json
from collections.abc import Mapping

from sqlalchemy import func, select

from compliance.audit_log import NewEntry
from coordinator.evaluation import Released, released_from
from coordinator.round import Sum
from coordinator.server_states import ServerStates
from coordinator.store import ReleaseRow, RoundRow, Store, Transaction, now
from coordinator.strategies import ServerState
from protocol.context import RoundContext
from protocol.encoding import canonical, digest, digest_json
from protocol.errors import FederationError
from protocol.identity import SigningKey
from protocol.sum_round import SumRound


class RoundBook:
    """The rounds of one run, in the consortium's database and log."""

    def __init__(self, store: Store, key: SigningKey, run_id: str) -> None:
        self._store, self._key, self._run_id = store, key, run_id

    def attempts(self, purpose: str, number: int) -> int:
        """Returns how often a round was begun already, before this process even."""
        query = select(func.count()).where(
            RoundRow.run_id == self._run_id,
            RoundRow.purpose == purpose,
            RoundRow.number == number,
        )
        with self._store.read() as session:
            return session.scalar(query) or 0

    def resume(self, states: ServerStates | None) -> ServerState | None:
        """Returns the state after the last round that was committed, or None at the beginning.

        Raises:
            StoreBroken: the state of that round is missing.
        """
        if states is None:
            return None
        query = select(func.max(RoundRow.number)).where(
            RoundRow.run_id == self._run_id,
            RoundRow.purpose == "training",
            RoundRow.state == "finished",
        )
        with self._store.read() as session:
            last = session.scalar(query)
        return None if last is None else states.read(self._run_id, last + 1)

    def released(self) -> Released | None:
        """Returns the figures of the evaluation, if it was committed."""
        query = select(ReleaseRow.payload_json).filter_by(run_id=self._run_id, kind="evaluation")
        with self._store.read() as session:
            payload = session.scalars(query).first()
        return None if payload is None else released_from(json.loads(payload))

    def abandon(self) -> list[str]:
        """Writes down that what was begun will not be finished; returns those contexts' digests."""
        with self._store.transaction() as transaction:
            abandoned = [row.context for row in transaction.open_rounds(self._run_id)]
            for row in transaction.open_rounds(self._run_id):
                row.state, row.closed_at = "failed", now()
                failed = NewEntry(
                    type="round-failed",
                    run_id=self._run_id,
                    payload=digest(b"Interrupted"),
                    round=row.number,
                    attempt=row.attempt,
                )
                transaction.log([failed], self._key)
        return abandoned

    def open(self, context: RoundContext) -> None:
        """Writes down that an attempt begins."""
        with self._store.transaction() as transaction:
            transaction.add(
                RoundRow(
                    run_id=self._run_id,
                    purpose=context.purpose,
                    number=context.round,
                    attempt=context.attempt,
                    state="open",
                    context=context.digest,
                    survivors_json="[]",
                    dropped_json="[]",
                    culprits_json="{}",
                    context_json=canonical(context.to_json()).decode(),
                    model_digest=None,
                    opened_at=now(),
                    closed_at=None,
                )
            )
            transaction.log([self.entry(context, "round-opened", context.digest)], self._key)

    def fail(self, sum_round: SumRound, error: FederationError) -> None:
        """Writes down that an attempt failed, and who answered wrongly in it."""
        context = sum_round.context
        with self._store.transaction() as transaction:
            row = transaction.round(context)
            row.state, row.closed_at = "failed", now()
            kind = digest(type(error).__name__.encode())
            entries = [self.entry(context, "round-failed", kind)]
            entries += self._accuse(row, context, sum_round.culprits)
            transaction.log(entries, self._key)

    def close(self, transaction: Transaction, total: Sum, model_name: str | None) -> list[NewEntry]:
        """Finishes a round's record; returns what is to be logged with what follows from it."""
        context = total.transcript.context
        row = transaction.round(context)
        row.state, row.closed_at = "finished", now()
        row.survivors_json = json.dumps(total.survivors)
        row.dropped_json = json.dumps(total.dropped)
        row.model_digest = model_name
        left = {
            "survivors": digest_json(list(total.survivors)),
            "masked-blobs": digest_json(dict(total.blob_hashes)),
            "ledger-heads": digest_json(dict(total.ledger_heads)),
            "transcript": total.transcript.digest,
            "sum": total.digest,
        }
        entries = [self.entry(context, kind, payload) for kind, payload in left.items()]
        return entries + self._accuse(row, context, total.culprits)

    def _accuse(
        self, row: RoundRow, context: RoundContext, culprits: Mapping[str, str]
    ) -> list[NewEntry]:
        """Writes down who answered wrongly; returns the log's entry about it, if anybody did."""
        if not culprits:
            return []
        row.culprits_json = json.dumps(dict(culprits), sort_keys=True)
        return [self.entry(context, "culprits", digest(row.culprits_json.encode()))]

    def entry(self, context: RoundContext, kind: str, payload: str) -> NewEntry:
        """Returns a log entry about a round."""
        return NewEntry(
            type=kind,
            run_id=self._run_id,
            payload=payload,
            round=context.round,
            attempt=context.attempt,
        )
