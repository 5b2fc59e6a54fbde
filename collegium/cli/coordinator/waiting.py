"""``coordinator run --wait``: waits for a run's end, and says how it ended."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from coordinator.runs.admin_socket.asking import ask
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.views import open_views
from protocol.errors import WorkspaceRefused

_SECONDS = 0.5


def waited_for(
    home: Path, run_id: str, status: Callable[[], Any] | None = None, pause: float = _SECONDS
) -> RunSummary:
    """Returns a run as the database has it once no service is at work on it any more.

    A service that goes down ends the wait too: the run is then not at its end.

    Args:
        home: the coordinator's folder.
        run_id: the run.
        status: what the running service says of itself; asked for when None.
        pause: seconds between two questions.
    """
    question = status or (lambda: ask(home, "GET", "/status"))
    try:
        while any(run["run_id"] == run_id for run in question()["runs"]):
            time.sleep(pause)
    except WorkspaceRefused:  # the service is gone: what it has written down says how far it came
        pass
    with closing(open_views(home)) as views:
        return next(run for run in views.runs() if run.run_id == run_id)


def waiting_text(run: RunSummary, home: Path) -> str:
    """Returns a line about how a run ended, and what to do if it did not."""
    if run.state == "finished":
        found, title = run.released, run.figure.title
        if found is None or found.value is None:
            return f"finished   {title}: {(found.note if found else '') or 'nothing was released'}"
        return f"finished   {title} {found.value:.3f}, 95 %: {found.low:.3f} to {found.high:.3f}"
    if run.state in ("failed", "refused", "stopped"):
        return f"{run.state:<10} collegium runs show {run.run_id} --out {home} says why"
    return (
        "unfinished the service stopped before the run's end: collegium coordinator start --home "
        f"{home} goes on with it"
    )
