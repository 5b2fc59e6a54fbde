"""The runs that a hospital has joined, so that a restart finds them again."""

from dataclasses import dataclass

from sqlalchemy import select

from protocol.errors import StoreBroken, WorkspaceRefused
from silos.database.database import SiteDatabase
from silos.database.run_decisions import decide, list_newest
from silos.database.tables import JoinedRunRow
from silos.database.tables import RunState as RunState


@dataclass(frozen=True, kw_only=True)
class JoinedRun:
    """A run; ``notice`` is the coordinator's signed announcement of it.

    ``end`` is its signed statement that the run is over, and how it ended; None where
    this hospital has not received it. ``left_by`` and ``left_because``: who ended it here and
    why, where the hospital's own people did.
    """

    run_id: str
    study: str
    state: RunState
    notice: bytes
    joined_at: str
    changed_at: str
    left_by: str | None = None
    left_because: str | None = None
    end: bytes | None = None


def told_state(run: JoinedRun, *, has_result: bool) -> str:
    """Returns what people and machines read: joined, finished, ended, left or refused.

    A run that this hospital's own people ended was left; one that the coordinator ended
    is finished where it signed a result, and has otherwise ended without one.
    """
    if run.state is not RunState.LEFT or run.left_by is not None:
        return run.state.value
    return "finished" if has_result else "ended"


class JoinedRuns:
    """The runs in a hospital's database."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    def record(
        self,
        run_id: str,
        *,
        study: str,
        state: RunState,
        notice: bytes = b"",
        left_by: str | None = None,
        left_because: str | None = None,
        end: bytes | None = None,
    ) -> None:
        """Writes down what became of a run; its first notice and study stay, and that it was left.

        Each change is a signed decision too (``run_decisions.py``). Said again of a run
        that is joined, only a change of the approvals is one.

        Raises:
            StoreBroken: the run was of another study, or nothing can be written.
        """
        now = self._hospital.now()
        with self._hospital.session() as session:
            row = session.get(JoinedRunRow, run_id)
            if row is None:
                row = JoinedRunRow(run_id=run_id, study=study, notice=notice, joined_at=now)
                session.add(row)
            elif row.study != study:
                raise StoreBroken(f"run {run_id} was of another study when it was first joined")
            if row.state != RunState.LEFT.value:
                if not row.state == state.value == RunState.JOINED.value:
                    row.state, row.changed_at = state.value, now
                row.left_by, row.left_because, row.run_end = left_by, left_because, end
                session.flush()
                decide(session, self._hospital, row)
        list_newest(self._hospital)  # also of a decision before a crash between the two

    def all(self) -> tuple[JoinedRun, ...]:
        """Returns every run, in the order joined."""
        query = select(JoinedRunRow).order_by(JoinedRunRow.joined_at, JoinedRunRow.run_id)
        with self._hospital.session() as session:
            return tuple(_joined_run(row) for row in session.scalars(query))

    def of(self, run_id: str) -> JoinedRun | None:
        """Returns one run; None where it never reached this hospital."""
        with self._hospital.session() as session:
            row = session.get(JoinedRunRow, run_id)
            return None if row is None else _joined_run(row)

    def named(self, beginning: str) -> JoinedRun:
        """Returns the run of this name, or the only one whose name begins so.

        Raises:
            WorkspaceRefused: there is none, or several begin so.
        """
        runs = self.all()
        found = [run for run in runs if run.run_id == beginning]
        found = found or [run for run in runs if run.run_id.startswith(beginning)]
        if len(found) != 1:
            raise WorkspaceRefused(
                f"{len(found)} runs of this hospital are called {beginning!r}: "
                "collegium silo results --home FOLDER shows them"
            )
        return found[0]

    def open(self) -> tuple[JoinedRun, ...]:
        """Returns the runs that were joined and not left: what a restart goes on with."""
        return tuple(run for run in self.all() if run.state is RunState.JOINED)


def _joined_run(row: JoinedRunRow) -> JoinedRun:
    return JoinedRun(
        run_id=row.run_id,
        study=row.study,
        state=RunState(row.state),
        notice=row.notice,
        joined_at=row.joined_at,
        changed_at=row.changed_at,
        left_by=row.left_by,
        left_because=row.left_because,
        end=row.run_end,
    )
