"""Judges the accusations in the consortium's records again, as anybody can who has the roster."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import AccusationRow, RoundRow, RunRow
from coordinator.rounds.conduct import Conduct, conduct_from
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import Roster
from protocol.log.entry import LogEntry
from protocol.secagg.evidence.accusation import Accusation, judge, parse_accusation


def require_accusations(
    session: Session, run: RunRow, roster: Roster, logged: Sequence[LogEntry]
) -> None:
    """Checks that every accusation is the logged one, and shows what its round's record says.

    Args:
        session: the consortium's database.
        run: whose rounds.
        roster: the run's.
        logged: the content of the log's entries of the type ``accusation`` about this run.

    Raises:
        StoreBroken: one was changed, removed or invented, or its evidence does not bear it out.
    """
    rows = session.scalars(select(AccusationRow).filter_by(run_id=run.id)).all()
    if sorted(digest(row.document) for row in rows) != sorted(entry.payload for entry in logged):
        raise StoreBroken(f"run {run.id}: its accusations are not the ones in the log")
    found: dict[str, list[Accusation]] = {}
    try:
        for row in rows:
            accusation = parse_accusation(row.document)
            if accusation.context.digest != row.context:
                raise MessageRefused("it is about another round")
            judge(accusation, {site: roster.key_of(site) for site in roster.sites})
            found.setdefault(row.context, []).append(accusation)
    except MessageRefused as error:
        raise StoreBroken(f"run {run.id}: an accusation is not borne out: {error}") from error
    for round_ in session.scalars(select(RoundRow).filter_by(run_id=run.id)):
        said = replace(
            conduct_from(round_.conduct_json),
            suspects=(),
            left_out={},
            revealing=(),
            clip=None,
            traffic={},
        )
        if said != Conduct.shown_by(found.pop(round_.context, [])):
            raise StoreBroken(
                f"run {run.id}: who answered wrongly in a round is not what its evidence shows"
            )
    if found:
        raise StoreBroken(f"run {run.id}: an accusation belongs to no round of it")
