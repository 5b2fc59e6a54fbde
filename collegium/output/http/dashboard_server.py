"""Starts the dashboard: Streamlit's application behind our own access control, in this process."""

import ipaddress
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvicorn
from rich.console import Console

from collegium.output.http.header_limits import HeaderLimitedProtocol
from compliance.facts.comparison.baselines import BASELINES_FILE
from compliance.facts.comparison.strategies import STRATEGIES_FILE
from coordinator.database.workspace import Workspace
from coordinator.runs.sign_in import needs_login
from dashboard.reading.warm_up import warm_up
from dashboard.server import (
    DashboardServer,
    Listening,
    MakesDownload,
    OidcSettings,
    Settings,
    SignsPdf,
)
from dashboard.server.metrics import DashboardMetrics
from protocol.errors import PolicyRefused, WorkspaceRefused

#: The largest message of a browser, in bytes: states of fields and tables, no file is sent.
_MAX_MESSAGE = 1024 * 1024
_GRACE_SECONDS = 5
#: Beside ``dashboard/.streamlit/config.toml``.
_OPTIONS = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
}


def open_dashboard(
    folders: Sequence[Path],
    listening: Listening,
    console: Console,
    *,
    demo: bool = False,
    downloads: MakesDownload | None = None,
    metrics: DashboardMetrics | None = None,
    signs_pdf: SignsPdf | None = None,
    oidc: OidcSettings | None = None,
) -> None:
    """Serves the dashboard until it is stopped.

    Args:
        folders: the folder; several of simulations, which are then looked at in one view.
        listening: where, and under which name.
        console: is told where.
        demo: without a login, where nobody is registered.
        downloads: makes files; None where there are none.
        metrics: counts; its own when None.
        signs_pdf: puts a person's signature under a report; None where none is signed.
        oidc: the provider at which people may log in to look; None where there is none.

    Raises:
        WorkspaceRefused: there is nothing to show in the folder, or the port is taken.
        PolicyRefused: it can be opened neither with a login nor without.
    """
    out, *others = folders
    server = dashboard_server(
        out,
        listening,
        demo=demo,
        downloads=downloads,
        metrics=metrics,
        signs_pdf=signs_pdf,
        oidc=oidc,
    )
    for folder in folders if others else ():
        # With --demo a coordinator's folder is opened without a login, or refused with the reason.
        if _has_records(folder) and needs_login(folder, demo=demo):
            raise PolicyRefused(f"people are registered in {folder}: open that folder alone")
    sys.argv += [word for folder in others for word in ("--out", str(folder.resolve()))]
    _require_free(listening)
    way = "people log in" if server.sessions is not None else "without a login, on this machine"
    console.print(f"the dashboard: {listening.shown}  ({way}; Ctrl-C ends it)")
    uvicorn.Server(server_config(server, listening)).run()


def dashboard_server(
    out: Path,
    listening: Listening,
    *,
    demo: bool = False,
    downloads: MakesDownload | None = None,
    metrics: DashboardMetrics | None = None,
    signs_pdf: SignsPdf | None = None,
    oidc: OidcSettings | None = None,
) -> DashboardServer:
    """Returns the server over a folder, with Streamlit prepared for it; one in a process.

    Raises:
        WorkspaceRefused: there is nothing to show in the folder.
        PolicyRefused: it can be opened neither with a login nor without.
    """
    login = _has_records(out) and needs_login(out, demo=demo)
    import dashboard.app as page

    script = Path(page.__file__)
    settings = Settings(
        script=script,
        out=out,
        listening=listening,
        login=login,
        downloads=downloads,
        metrics=metrics or DashboardMetrics(tuple(page.PAGES)),
        signs_pdf=signs_pdf,
        warm_up=partial(warm_up, out.resolve()),
        oidc=oidc,
    )
    server = DashboardServer(settings)
    from streamlit.web.bootstrap import load_config_options

    load_config_options(_OPTIONS)
    sys.argv = [str(script), "--out", str(out.resolve())]
    return server


def _has_records(out: Path) -> bool:
    """Whether a folder has records; False where only comparisons lie in it.

    Raises:
        WorkspaceRefused: there is neither.
    """
    try:
        Workspace.open(out)
    except WorkspaceRefused:
        if any((out / name).is_file() for name in (BASELINES_FILE, STRATEGIES_FILE)):
            return False
        raise
    return True


def server_config(server: DashboardServer, listening: Listening) -> uvicorn.Config:
    """Returns how the server listens."""
    return uvicorn.Config(
        server,
        host=listening.address,
        port=listening.port,
        ssl_certfile=listening.certificate or None,
        ssl_keyfile=listening.key or None,
        http=HeaderLimitedProtocol,
        ws="websockets-sansio",
        ws_max_size=_MAX_MESSAGE,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=1000,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _require_free(listening: Listening) -> None:
    try:
        is_six = ipaddress.ip_address(listening.address).version == 6
    except ValueError:
        is_six = False
    with socket.socket(socket.AF_INET6 if is_six else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((listening.address, listening.port))
        except OSError as error:
            raise WorkspaceRefused(
                f"--port {listening.port} is taken at {listening.address}, or that is no address "
                "of this machine: name another, or end what listens there"
            ) from error
