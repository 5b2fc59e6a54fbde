"""A folder with one run that has begun and not ended."""

from pathlib import Path

from compliance.storage.clock import timestamp
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
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
