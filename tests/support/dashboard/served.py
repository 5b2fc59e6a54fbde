"""A dashboard's server over a folder: ``python -m tests.support.dashboard.served OUT PORT SCRIPT``.

Its clocks go by files beside the folder, so that a test moves them: ``day`` (seconds added to the
time of day), ``steady`` (seconds added to what sessions are measured by). ``dashboard.toml`` beside
it names a provider at which people log in.
"""

import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import uvicorn

from collegium.output.http.dashboard_server import server_config
from compliance.storage.clock import utc_now
from dashboard.server import DashboardServer, Download, Listening, Settings, read_oidc_settings
from dashboard.viewer import Viewer
from protocol.errors import WorkspaceRefused
from tests.support.hospital.accounts import CHEAP


def added(file: Path) -> float:
    """Returns the seconds that a file says; none where it is missing."""
    return float(file.read_text() or 0) if file.is_file() else 0.0


def letter(path: str, said: Mapping[str, str], viewer: Viewer) -> Download:
    """Returns a small file about whoever asks."""
    if path != "letter.txt":
        raise WorkspaceRefused(f"there is no {path}")
    text = f"for {viewer.name}, about {said.get('about', '')}".encode()
    return Download(
        name="letter ä.txt", media_type="text/plain", parts=[text], kind="report", subject=path
    )


def main() -> None:
    """Serves until it is ended."""
    out, port, script = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    listening = Listening(port=port)
    provider = out.parent / "dashboard.toml"
    settings = Settings(
        script=script,
        out=out,
        listening=listening,
        login=True,
        cost=CHEAP,
        look_seconds=0.2,
        clock=lambda: utc_now() + timedelta(seconds=added(out.parent / "day")),
        elapsed=lambda: time.monotonic() + added(out.parent / "steady"),
        downloads=letter,
        oidc=read_oidc_settings(provider) if provider.is_file() else None,
    )
    uvicorn.Server(server_config(DashboardServer(settings), listening)).run()


if __name__ == "__main__":
    main()
