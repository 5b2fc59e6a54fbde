"""The snapshot of a run's final model, from what the consortium's database and log hold of it."""

import json
from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import ManifestRow, RoundRow, RunRow, SnapshotRow, logged_entries
from coordinator.governance.models.snapshots import signed_snapshot_of
from coordinator.rounds.ending.end_statement import result_of
from protocol.encoding import digest, parse_canonical
from protocol.errors import QuorumLost, StoreBroken
from protocol.identity.roster import Roster
from protocol.secagg.context import RoundContext
from protocol.study.study import Study
from protocol.transport.privacy_summary import open_summary, read_summaries
from protocol.transport.snapshot import RoundAggregate, Snapshot, promised_privacy


def snapshot_of(
    session: Session,
    run_id: str,
    *,
    study: Study,
    roster: Roster,
    layout: str,
    created: str,
) -> Snapshot:
    """Returns the snapshot of a run that has its final model and its released figures.

    Args:
        session: the consortium's database.
        run_id: the run.
        study, roster: of the run.
        layout: the digest of the names and shapes of the final model's parameters.
        created: when the snapshot is made.

    Raises:
        StoreBroken: the run has no final model, or what led to it is missing.
    """
    kept = session.scalars(select(SnapshotRow).filter_by(run_id=run_id)).one_or_none()
    result = result_of(session, run_id)
    if kept is None or result is None:
        raise StoreBroken(f"run {run_id} has no final model with released figures")
    signed = read_summaries(session.get_one(RunRow, run_id).sites_json)
    summaries = [open_summary(signed[site], roster.key_of(site)) for site in sorted(signed)]
    contexts = _training_contexts(session, run_id)
    last = [one for one in contexts if one.round == kept.round_number - 1]
    terms = study.release
    return Snapshot(
        coordinator=roster.coordinator.public_key,
        run=run_id,
        study=study.digest,
        roster=roster.digest,
        round=kept.round_number,
        model=kept.model_digest,
        layout=layout,
        parents=_parents(contexts),
        aggregates=_aggregates(session, run_id, last),
        manifest=_manifest(session, run_id),
        quorum=study.threshold,
        privacy=tuple(map(promised_privacy, summaries)),
        figures=result.figures,
        licence="" if terms is None else terms.licence,
        permitted_use="" if terms is None else terms.permitted_use,
        created=created,
    )


def evaluated_by(session: Session, run_id: str, study: Study, rounds: int) -> frozenset[str]:
    """Returns the hospitals that evaluated the model after so many rounds: they can sign it."""
    query = select(RoundRow.survivors_json).filter_by(
        run_id=run_id,
        round_kind="evaluation",
        number=study.evaluations.number_after(rounds),
        state="finished",
    )
    return frozenset(site for text in session.scalars(query) for site in json.loads(text))


def require_follows(session: Session, run: RunRow, study: Study, roster: Roster) -> None:
    """Requires a run's signed snapshot, if it has one, to follow from the run and to be signed.

    Too few signatures are no fault: such a snapshot is no candidate.

    Raises:
        StoreBroken: it says something else than the run's records.
        MessageRefused: somebody did not sign it.
    """
    signed = signed_snapshot_of(session, run.id)
    if signed is None:
        return
    said = signed.snapshot
    follows = snapshot_of(
        session, run.id, study=study, roster=roster, layout=said.layout, created=said.created
    )
    others = [name for name, value in vars(follows).items() if getattr(said, name) != value]
    if others:
        raise StoreBroken(f"its snapshot says another {', '.join(others)} than its records")
    with suppress(QuorumLost):
        signed.require_signed(roster.coordinator.key, roster)


def _manifest(session: Session, run_id: str) -> str | None:
    """Returns the digest of what the run keeps of its inputs; None where it keeps nothing."""
    row = session.get(ManifestRow, run_id)
    return None if row is None else digest(row.document.encode())


def _training_contexts(session: Session, run_id: str) -> list[RoundContext]:
    """Returns the contexts of a run's finished sums of training, in order."""
    query = select(RoundRow.context_json).filter_by(
        run_id=run_id, round_kind="training", state="finished"
    )
    rows = session.scalars(query.order_by(RoundRow.number, RoundRow.attempt))
    return [RoundContext.from_json(parse_canonical(text.encode())) for text in rows]


def _parents(contexts: list[RoundContext]) -> tuple[str, ...]:
    """Returns the digest of the model that the first round of training began with."""
    return tuple(dict.fromkeys(one.model_hash for one in contexts if one.round == 0))


def _aggregates(
    session: Session, run_id: str, contexts: list[RoundContext]
) -> tuple[RoundAggregate, ...]:
    """Returns the sums of these contexts, as the log has them."""
    wanted = {(one.round, one.attempt): one.digest for one in contexts}
    sums = {
        (entry.content.round, entry.content.attempt): entry.content.payload
        for entry in logged_entries(session, run_id)
        if entry.content.type == "sum"
    }
    missing = wanted.keys() - sums.keys()
    if missing:
        raise StoreBroken(f"the log holds no sum of the last round of run {run_id}")
    return tuple(RoundAggregate(context=wanted[place], sum=sums[place]) for place in sorted(wanted))
