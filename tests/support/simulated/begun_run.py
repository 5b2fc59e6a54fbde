"""Runs that have begun and not ended, in a folder of their own or beside others."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import select

from compliance.storage.clock import timestamp
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import RunRecord
from protocol.identity.roster import parse_roster
from protocol.study.study import Study
from tests.support.simulated.studies import small_study

RUN = "20261126-101500-0a1b"


def begin_run(folder: Path) -> Path:
    """Makes a coordinator's folder with the run ``RUN``; returns the folder."""
    workspace, study = Workspace.create(folder), small_study()
    store = Store(workspace.database)
    with store.transaction() as transaction:
        transaction.register(study)
        transaction.write(
            RunRow(
                id=RUN, study_digest=study.digest, state="running", simulation=False,
                test_noise=False, seed=1, started_at=timestamp(), roster_json="{}", sites_json="{}",
                environment_json="{}",
            )
        )  # fmt: skip
    store.close()
    return workspace.root


def begin_beside(
    folder: Path, study: Study, run: str, failure: BaseException | None = None
) -> None:
    """Begins another run among the hospitals of a folder's first one; it fails where that is said.

    All is written down and logged as a coordinator does.
    """
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        with store.read() as session:
            roster = session.scalars(select(RunRow.roster_json)).first() or ""
        known = parse_roster(roster.encode())
        record = RunRecord(store, workspace.signing_key(), known, study, run)
        record.begin(sweep=None, simulation=False, test_noise=False)
        if failure is not None:
            record.end(failure)
