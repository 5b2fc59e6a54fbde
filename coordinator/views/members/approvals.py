"""Signatures of hospitals: under the roster, and for the studies of runs that they joined."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import RunRow
from coordinator.membership.transactions import newest_roster, proposed_row
from coordinator.views.one_run.rows import study_of, summaries_of
from protocol.errors import FederationError, StoreBroken

#: The approvals of so many of the newest runs are shown.
NEWEST_RUNS = 20


@dataclass(frozen=True, kw_only=True)
class RosterStanding:
    """A roster: its version, its end, who has signed it and who may; ``needed`` of them must.

    ``state`` is signed or proposed: then it waits for signatures.
    """

    version: int
    state: str
    valid_until: str
    sites: tuple[str, ...]
    signed: tuple[str, ...]
    voters: tuple[str, ...]
    needed: int

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The hospitals that may sign and have not, while the roster waits for signatures."""
        if self.state != "proposed":
            return ()
        return tuple(site for site in self.voters if site not in self.signed)


@dataclass(frozen=True, kw_only=True)
class RunApprovals:
    """Approvals of a run's study: a hospital that joins has approved it, and signs that it joins.

    ``planned`` are the hospitals of the study, ``approved`` those that joined, each with the people
    whom it names as approvers and the day, where it names any.
    """

    run_id: str
    study_name: str
    study_digest: str
    started_at: str
    state: str
    planned: tuple[str, ...]
    approved: Mapping[str, tuple[tuple[str, str], ...]]

    @property
    def missing(self) -> tuple[str, ...]:
        """The hospitals of the study that have not joined."""
        return tuple(site for site in self.planned if site not in self.approved)


def rosters_in(session: Session) -> tuple[RosterStanding, ...]:
    """Returns the newest signed roster, and the one that waits for signatures, if there are any.

    Raises:
        StoreBroken: one was changed.
    """
    try:
        current, proposed = newest_roster(session), proposed_row(session)
        found = []
        if proposed is not None:
            signed = proposed.signed
            before = signed.roster if current is None else current.roster
            voters = before.sites
            found.append(
                RosterStanding(
                    version=signed.roster.version,
                    state="proposed",
                    valid_until=signed.roster.valid_until,
                    sites=signed.roster.sites,
                    signed=tuple(sorted(signed.signatures)),
                    voters=voters,
                    needed=len(voters) if current is None else before.quorum,
                )
            )
        if current is not None:
            found.append(
                RosterStanding(
                    version=current.roster.version,
                    state="signed",
                    valid_until=current.roster.valid_until,
                    sites=current.roster.sites,
                    signed=tuple(sorted(current.signatures)),
                    voters=tuple(sorted(current.signatures)),
                    needed=0,
                )
            )
    except (ValueError, AttributeError, TypeError, FederationError) as error:
        raise StoreBroken("the record of a roster is damaged; restore a backup") from error
    return tuple(found)


def approvals_in(session: Session, state: Callable[[RunRow], str]) -> tuple[RunApprovals, ...]:
    """Returns who approved the studies of the newest runs, the newest first.

    Args:
        session: the consortium's database.
        state: the state of a run as it is shown.

    Raises:
        StoreBroken: the record of a run is damaged.
    """
    query = select(RunRow).order_by(RunRow.started_at.desc(), RunRow.id.desc())
    return tuple(
        _approvals(session, row, state(row)) for row in session.scalars(query.limit(NEWEST_RUNS))
    )


def _approvals(session: Session, row: RunRow, state: str) -> RunApprovals:
    study = study_of(session, row)
    try:
        signed = summaries_of(row)
    except (ValueError, KeyError, TypeError, AttributeError, FederationError) as error:
        raise StoreBroken(
            f"run {row.id} cannot be read: its record is damaged; restore a backup"
        ) from error
    return RunApprovals(
        run_id=row.id,
        study_name=study.name,
        study_digest=row.study_digest,
        started_at=row.started_at,
        state=state,
        planned=tuple(study.site_names),
        approved={
            site: tuple((one.name, one.on) for one in summary.approvals)
            for site, summary in signed.items()
        },
    )
