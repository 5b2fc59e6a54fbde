"""Views of the consortium: people and their acts, hospitals, alerts."""

from compliance.storage.clock import utc_now
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.governance.people_register import is_governed
from coordinator.views.alerts import Alert, alerts_in
from coordinator.views.governance import (
    GovernanceView,
    RecordedAct,
    acts_in,
    governance_in,
)
from coordinator.views.members.approvals import (
    RosterStanding,
    RunApprovals,
    approvals_in,
    rosters_in,
)
from coordinator.views.members.sites import SiteView, sites_in
from coordinator.views.opened.database import OpenDatabase
from coordinator.views.run_notes import RunNote, notes_in
from coordinator.views.several_runs.models import (
    ModelLineView,
    ModelVersion,
    ServedVersion,
    models_in,
    served_in,
    snapshots_in,
)
from protocol.errors import WorkspaceRefused
from protocol.identity.timestamps import write_time
from protocol.transport.snapshot import SignedSnapshot


class ConsortiumViews(OpenDatabase):
    """The views of people, hospitals and alerts."""

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> tuple[Alert, ...]:
        """Returns the open alerts, the newest first.

        Args:
            run_id: only those about this run.
            closed: also those that are closed.
        """
        with self._store.read() as session:
            return alerts_in(session, run=run_id, closed=closed)

    def alert(self, number: int) -> Alert:
        """Returns one alert.

        Raises:
            WorkspaceRefused: there is none of this number.
        """
        with self._store.read() as session:
            found = alerts_in(session, number=number, closed=True)
        if not found:
            raise WorkspaceRefused(f"there is no alert {number} here: collegium alerts list --all")
        return found[0]

    def models(self) -> tuple[ModelLineView, ...]:
        """Returns the lines of the register of models, by name.

        Raises:
            StoreBroken: a snapshot is damaged.
        """
        with self._store.read() as session:
            return models_in(session)

    def snapshots(self) -> tuple[ModelVersion, ...]:
        """Returns every signed snapshot, the newest first."""
        with self._store.read() as session:
            return snapshots_in(session)

    def snapshot(self, beginning: str) -> SignedSnapshot:
        """Returns the one signed snapshot whose digest, run or model's digest begins so.

        Raises:
            PolicyRefused: there is none, or there are several.
        """
        with self._store.read() as session:
            return signed_snapshot(session, beginning)

    def served(self, line: str, site: str, time: str) -> ServedVersion:
        """Returns which version of a model a hospital was to serve at a time.

        Raises:
            PolicyRefused: there is no such model.
        """
        with self._store.read() as session:
            return served_in(session, line, site, time)

    def governance(self, *, decided: bool = False) -> GovernanceView:
        """Returns people, policy, changes, incidents, holds and the access review, as of now.

        Args:
            decided: also changes that were confirmed, withdrawn or have lapsed.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return governance_in(session, utc_now(), decided=decided)

    def acts(
        self,
        *,
        run: str | None = None,
        study: str | None = None,
        person: str | None = None,
        since: str | None = None,
        until: str | None = None,
        newest: int | None = None,
    ) -> tuple[RecordedAct, ...]:
        """Returns what people did, in order; see ``coordinator.views.governance.acts_in``.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return acts_in(
                session,
                run=run,
                study=study,
                person=person,
                since=since,
                until=until,
                newest=newest,
            )

    def notes(self, run_id: str | None = None) -> tuple[RunNote, ...]:
        """Returns what people noted about runs, and the tags they gave them, in order.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return notes_in(session, run_id)

    def is_governed(self) -> bool:
        """Whether people are registered: from then on what is done needs a person."""
        with self._store.read() as session:
            return is_governed(session)

    def sites(self) -> tuple[SiteView, ...]:
        """Returns every hospital that was ever invited or took part.

        Raises:
            StoreBroken: a record is damaged.
        """
        with self._store.read() as session:
            return sites_in(session, write_time(utc_now()))

    def rosters(self) -> tuple[RosterStanding, ...]:
        """Returns the newest signed roster, and the one that waits for signatures."""
        with self._store.read() as session:
            return rosters_in(session)

    def approvals(self) -> tuple[RunApprovals, ...]:
        """Returns who approved the studies of the newest runs."""
        with self._store.read() as session:
            return approvals_in(session, self._state)
