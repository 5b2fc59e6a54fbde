"""Writes down every attempt of a round: its row, and what the log keeps of it for ever."""

import json
from collections.abc import Collection, Sequence
from functools import partial

from sqlalchemy import func, select

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.own_statements import keep_masked
from coordinator.database.server_state import ServerStates
from coordinator.database.store import (
    AccusationRow,
    RoundRow,
    Store,
    Transaction,
    evaluation_of,
)
from coordinator.rounds.attempts.aggregation import Sum
from coordinator.rounds.attempts.conduct import Conduct, conduct_from
from coordinator.rounds.attempts.retries import Begun
from coordinator.rounds.attempts.standing import SUSPECTED, Standing
from coordinator.rounds.evaluation.released import Released, released_from
from coordinator.rounds.run_course import course_of, released_at_end
from protocol.encoding import canonical, digest, digest_json, parse_canonical
from protocol.errors import FederationError
from protocol.identity.roster import SigningKey
from protocol.log.entry import FAILED, INTERRUPTED
from protocol.secagg.context import RoundContext
from protocol.secagg.evidence.accusation import Accusation
from protocol.secagg.server import SecAggServer
from protocol.study.rounds.course import Course
from protocol.study.strategies.strategy import ServerState
from protocol.study.study import Study


class RoundRecords:
    """The rounds of one run, in the consortium's database and log."""

    def __init__(self, store: Store, key: SigningKey, run_id: str) -> None:
        self._store, self._key, self._run_id = store, key, run_id

    def begun(self, round_kind: str, number: int, place: int = 0, sums: int = 1) -> Begun:
        """Returns how far a sum of a round came already, before this process even.

        Args:
            round_kind, number: which round.
            place: which of its sums, from 0: of so many, each has every so many-th attempt.
            sums: how many sums the round has.
        """
        where = {"run_id": self._run_id, "round_kind": round_kind, "number": number}
        query = select(RoundRow.context_json, RoundRow.conduct_json).filter_by(**where)
        query = query.where(RoundRow.attempt % sums == place)
        with self._store.read() as session:
            rows = session.execute(query.order_by(RoundRow.attempt)).all()
        draws = [_draw(context) for context, _ in rows]
        newest = max(draws, default=0)
        among = [
            conduct_from(conduct).revealing
            for draw, (_, conduct) in zip(draws, rows, strict=True)
            if draw == newest
        ]
        revealed = [frozenset(sites) for sites in among if sites]
        return Begun(attempts=len(rows), draw=newest, among=revealed[-1] if revealed else None)

    def spare_used(self, round_kind: str) -> int:
        """Returns how many draws beyond the first of each round were begun in this run."""
        query = select(RoundRow.number, RoundRow.context_json).filter_by(
            run_id=self._run_id, round_kind=round_kind
        )
        newest: dict[int, int] = {}
        with self._store.read() as session:
            for number, context in session.execute(query):
                newest[number] = max(newest.get(number, 0), _draw(context))
        return sum(newest.values())

    def standing(self, sites: Collection[str], least: int) -> Standing:
        """Returns what the run's attempts so far have shown of its sites."""
        standing = Standing(run_id=self._run_id, sites=frozenset(sites), least=least)
        query = select(RoundRow.state, RoundRow.conduct_json).filter_by(run_id=self._run_id)
        with self._store.read() as session:
            rows = session.execute(query.where(RoundRow.conduct_json != "{}").order_by(RoundRow.id))
            for state, text in rows:
                conduct = conduct_from(text)
                standing.named |= conduct.culprits
                standing.disputes |= conduct.complaints
                standing.suspects = frozenset(conduct.suspects) or standing.suspects
                if conduct.suspects and state == "finished":
                    out = conduct.left_out.items()
                    standing.spared = frozenset(site for site, why in out if why == SUSPECTED)
        return standing

    def resume(self, states: ServerStates | None) -> ServerState | None:
        """Returns the state after the last round that was committed, or None at the beginning.

        Raises:
            StoreBroken: the state of that round is missing.
        """
        if states is None:
            return None
        query = select(func.max(RoundRow.number)).where(
            RoundRow.run_id == self._run_id,
            RoundRow.round_kind == "training",
            RoundRow.state == "finished",
        )
        with self._store.read() as session:
            last = session.scalar(query)
        return None if last is None else states.read(self._run_id, last + 1)

    def released(self, kind: str) -> Released | None:
        """Returns the figures of an evaluation, if it was committed."""
        with self._store.read() as session:
            payload = evaluation_of(session, self._run_id, kind)
        return None if payload is None else released_from(json.loads(payload))

    def released_at_end(self, study: Study) -> Released | None:
        """Returns the figures of the model that the run ends with; None before its end."""
        with self._store.read() as session:
            payload = released_at_end(session, self._run_id, study)
        return None if payload is None else released_from(json.loads(payload))

    def course(self, study: Study) -> Course | None:
        """Returns the run's course until now; None before any evaluation."""
        with self._store.read() as session:
            return course_of(session, self._run_id, study)

    def abandon(self) -> list[str]:
        """Writes down that what was begun will not be finished; returns those contexts' digests."""
        with self._store.transaction() as transaction:
            abandoned = [row.context for row in transaction.open_rounds(self._run_id)]
            for row in transaction.open_rounds(self._run_id):
                row.state, row.closed_at = "failed", timestamp()
                failed = NewEntry(
                    type=FAILED,
                    run_id=self._run_id,
                    payload=INTERRUPTED,
                    round=row.number,
                    attempt=row.attempt,
                    record=transaction.write(row),
                )
                transaction.log([failed], self._key)
        return abandoned

    def open(self, context: RoundContext) -> None:
        """Writes down that an attempt begins."""
        with self._store.transaction() as transaction:
            record = transaction.write(
                RoundRow(
                    run_id=self._run_id,
                    round_kind=context.round_kind,
                    number=context.round,
                    attempt=context.attempt,
                    state="open",
                    context=context.digest,
                    survivors_json="[]",
                    dropped_json="[]",
                    conduct_json="{}",
                    context_json=canonical(context.to_json()).decode(),
                    model_digest=None,
                    opened_at=timestamp(),
                    closed_at=None,
                )
            )
            opened = self.entry(context, "round-opened", context.digest, record)
            transaction.log([opened], self._key)

    def fail(self, sum_round: SecAggServer, error: FederationError, conduct: Conduct) -> None:
        """Writes down that an attempt failed, what it has shown of the sites, and what they sent.

        Args:
            sum_round: the attempt.
            error: why it failed.
            conduct: what it has shown.
        """
        context = sum_round.context
        with self._store.transaction() as transaction:
            masked = keep_masked(transaction, self._run_id, sum_round.masked)
            row = transaction.round(context)
            row.state, row.closed_at = "failed", timestamp()
            shown = self._keep(transaction, row, conduct, sum_round.accusations)
            kind = digest(type(error).__name__.encode())
            failed = self.entry(context, FAILED, kind, transaction.write(row))
            transaction.log([failed, *masked, *shown], self._key)

    def close(
        self, transaction: Transaction, total: Sum, conduct: Conduct, model_name: str | None
    ) -> list[NewEntry]:
        """Finishes a round's record; returns what is to be logged with what follows from it."""
        context = total.transcript.context
        masked = keep_masked(transaction, self._run_id, total.transcript.masked)
        row = transaction.round(context)
        row.state, row.closed_at = "finished", timestamp()
        row.survivors_json = json.dumps(total.survivors)
        row.dropped_json = json.dumps(total.dropped)
        row.model_digest = model_name
        shown = self._keep(transaction, row, conduct, total.accusations)
        sites = digest_json(list(total.survivors))
        finished = self.entry(context, "survivors", sites, transaction.write(row))
        left = {
            "masked-blobs": digest_json(dict(total.blob_hashes)),
            "ledger-heads": digest_json(dict(total.ledger_heads)),
            "transcript": total.transcript.digest,
            "sum": total.digest,
        }
        entries = [self.entry(context, kind, payload) for kind, payload in left.items()]
        return [finished, *entries, *masked, *shown]

    def _keep(
        self,
        transaction: Transaction,
        row: RoundRow,
        conduct: Conduct,
        accusations: Sequence[Accusation],
    ) -> list[NewEntry]:
        """Writes down what was shown of the sites, with its evidence; returns the log's entries."""
        row.conduct_json = conduct.text
        about = partial(NewEntry, run_id=row.run_id, round=row.number, attempt=row.attempt)
        shown = []
        if conduct.is_logged:
            shown.append(about(type="conduct", payload=digest(row.conduct_json.encode())))
        for accusation in accusations:
            document = accusation.canonical_bytes
            record = transaction.write(
                AccusationRow(run_id=row.run_id, context=row.context, document=document)
            )
            shown.append(about(type="accusation", payload=digest(document), record=record))
        return shown

    def entry(
        self, context: RoundContext, kind: str, payload: str, record: str | None = None
    ) -> NewEntry:
        """Returns a log entry about a round; ``record`` is of the row that was written with it."""
        return NewEntry(
            type=kind,
            run_id=self._run_id,
            payload=payload,
            round=context.round,
            attempt=context.attempt,
            record=record,
        )


def _draw(context: str) -> int:
    """Returns the draw that a row's context names."""
    return RoundContext.from_json(parse_canonical(context.encode())).draw
