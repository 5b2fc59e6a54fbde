"""Commands about what was run: lists, pages, the dashboard."""

from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import AsJson, Folder, Run
from collegium.cli.runs.exporting import app as exporting_app
from collegium.cli.runs.preregistration import app as preregistration_app
from collegium.extras import needs, require_extra
from collegium.output.console import answers, console, emit
from protocol.errors import WorkspaceRefused
from silos.config.folder import is_hospital

app = typer.Typer()
runs_app = typer.Typer(help="Lists and pages of runs.", no_args_is_help=True)
runs_app.add_typer(exporting_app)
runs_app.add_typer(preregistration_app)
app.add_typer(runs_app, name="runs")


@runs_app.command("list")
def runs_list(out: Folder, as_json: AsJson = False) -> None:
    """Lists the runs in a folder."""
    if is_hospital(out):
        from collegium.verification import own_folder

        emit(own_folder.list_runs(out, answers(as_json)), as_json)
    else:
        from collegium.output.run_list import list_runs

        emit(list_runs(out, answers(), as_json=as_json), as_json)
    _tell_unverified(out)


@runs_app.command("show")
def runs_show(run: Run, out: Folder, as_json: AsJson = False) -> None:
    """Shows everything about one run."""
    if is_hospital(out):
        from collegium.verification import own_folder

        emit(own_folder.show_run(out, run, answers(as_json)), as_json)
    else:
        from collegium.output.summary import show_run

        emit(show_run(out, run, answers(), as_json=as_json), as_json)
    _tell_unverified(out)


@app.command()
@needs("dashboard")
def dashboard(
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "--home", help="The folder; several of simulations, in one view."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8501,
    demo: Annotated[
        bool, typer.Option("--demo", help="Without a login, here alone; shows demo-out.")
    ] = False,
    address: Annotated[
        str, typer.Option("--address", help="Where it listens; this machine alone by default.")
    ] = "127.0.0.1",
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="As people open it: https://NAME:PORT.")
    ] = "",
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="For TLS, in PEM.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Of the certificate, in PEM.")
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy speaks TLS and names who asks.")
    ] = False,
    oidc: Annotated[
        Path | None,
        typer.Option("--oidc", metavar="FILE", help="A provider where people log in to look."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", help="Shows counts to Prometheus on 127.0.0.1."),
    ] = None,
) -> None:
    """Opens the dashboard on a folder of runs. People log in where some are registered."""
    from collegium.output.http.dashboard_server import open_dashboard
    from collegium.output.telemetry.metrics_page import metrics_shown
    from collegium.reports.person_signature import sign_as_person
    from dashboard.app import PAGES
    from dashboard.server import Listening, read_oidc_settings
    from dashboard.server.metrics import DashboardMetrics

    folders = out or ([Path("demo-out")] if demo else [])
    if not folders:
        raise WorkspaceRefused("--out names the folder of runs to show; --demo shows demo-out")
    if oidc is not None:
        require_extra("oidc")
    listening = Listening(
        address=address,
        port=port,
        url=url,
        certificate="" if certificate is None else str(certificate),
        key="" if key is None else str(key),
        behind_proxy=behind_proxy,
    )
    metrics = DashboardMetrics(tuple(PAGES))
    with metrics_shown(metrics.registry, metrics_port):
        open_dashboard(
            folders,
            listening,
            console(),
            demo=demo,
            metrics=metrics,
            signs_pdf=sign_as_person,
            oidc=None if oidc is None else read_oidc_settings(oidc),
        )


def _tell_unverified(out: Path) -> None:
    """Says beside figures that nobody has compared them with the log; that takes longer."""
    folder = "--home" if is_hospital(out) else "--out"
    console().print(
        f"not verified: collegium audit verify {folder} {out} checks these figures against the "
        "signed log",
        markup=False,
        soft_wrap=True,
    )
