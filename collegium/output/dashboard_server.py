"""Starts the dashboard on this machine."""

import os
import socket
import sys
from pathlib import Path

from rich.console import Console

from compliance.facts.comparison.baselines import BASELINES_FILE
from compliance.facts.comparison.strategies import STRATEGIES_FILE
from coordinator.database.workspace import Workspace
from protocol.errors import WorkspaceRefused


def open_dashboard(out: Path, port: int, console: Console) -> None:
    """Serves the dashboard on this machine until it is stopped.

    Raises:
        WorkspaceRefused: there is nothing to show in the folder, or the port is taken.
    """
    if not any((out / name).is_file() for name in (BASELINES_FILE, STRATEGIES_FILE)):
        Workspace.open(out)
    import dashboard.app as page

    _require_free(port)
    console.print(f"the dashboard: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    command = [  # -P: a folder of the working folder may be named as a package is (coordinator)
        sys.executable, "-P", "-m", "streamlit", "run", str(Path(page.__file__)),
        "--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true",
        "--browser.gatherUsageStats=false", "--server.fileWatcherType=none",
        "--client.toolbarMode=viewer", "--", "--out", str(out.resolve()),
    ]  # fmt: skip
    environment = os.environ | {"STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"}
    os.execvpe(command[0], command, environment)  # noqa: S606  (so that signals reach it)


def _require_free(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise WorkspaceRefused(
                f"--port {port} is taken on this machine: name another, or end what listens there"
            ) from error
