"""All views of one consortium, for as long as its database is open."""

from pathlib import Path

from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.runs.monitoring.progress import read_progress
from coordinator.views.opened.consortium import ConsortiumViews
from coordinator.views.opened.log import LogViews
from coordinator.views.opened.runs import RunViews


class Views(RunViews, LogViews, ConsortiumViews):
    """The views of one database; see ``OpenDatabase`` for its arguments."""


def open_views(out: Path, *, checked: bool = True, patient: bool = True) -> Views:
    """Returns the views of an output folder.

    Args:
        out: the folder.
        checked: read the database once through; a page that opens it for a day does without.
        patient: whether a silent server is waited for; a page says so instead, and looks again.

    Raises:
        WorkspaceRefused: there is no run in it.
        StoreSilent: its database does not answer.
        StoreBroken: its database is damaged.
    """
    workspace = Workspace.open(out)
    store = Store.for_reading(workspace.database, checked=checked, patient=patient)
    return Views(
        store,
        public_key=workspace.public_key,
        at_work=lambda: workspace.is_at_work,
        progress=lambda run_id: read_progress(workspace.states, run_id),
        folder=workspace.root,
    )
