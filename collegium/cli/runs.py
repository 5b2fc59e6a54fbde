"""Commands about what was run: lists, pages, reports, the dashboard."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import AsJson, Folder, Out, Run
from collegium.extras import needs
from collegium.output.console import answers, console, emit
from silos.config.folder import is_hospital

app = typer.Typer()
runs_app = typer.Typer(help="Lists and pages of runs.", no_args_is_help=True)
report_app = typer.Typer(help="Reports for the compliance officer.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(report_app, name="report")


class ReportForm(StrEnum):
    """The formats that a report can be written in."""

    html = "html"
    json = "json"
    csv = "csv"


def _form(given: ReportForm | None, to: Path, usual: ReportForm) -> str:
    """Returns the format that is asked for, or that a file's name ends in."""
    ending = to.suffix.removeprefix(".").lower()
    named = next((form for form in ReportForm if form.value == ending), usual)
    return (given or named).value


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


@report_app.command("export")
def report_export(
    run: Run,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    out: Folder,
    form: Annotated[
        ReportForm | None,
        typer.Option(
            "--format",
            help="A page, one JSON value, or a line for each value. Default: as the file's name "
            "ends, else html.",
        ),
    ] = None,
) -> None:
    """Writes a run's report. It holds privacy statement, run record and audit entries."""
    if is_hospital(out):
        from collegium.verification import own_folder

        own_folder.export_report(out, run, _form(form, to, ReportForm.html), to, console())
        return
    from collegium.output.report_files import export_report

    export_report(out, run, _form(form, to, ReportForm.html), to, console())


@report_app.command("performance")
def report_performance(
    run: Run,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    out: Folder,
    form: Annotated[
        ReportForm | None,
        typer.Option(
            "--format",
            help="A page, one JSON value, or a table with a line for each part. Default: as the "
            "file's name ends, else csv.",
        ),
    ] = None,
) -> None:
    """Writes TRIPOD+AI's performance table, by site and group."""
    from collegium.output.report_files import export_performance

    export_performance(out, run, _form(form, to, ReportForm.csv), to, console())


@report_app.command("chart")
def report_chart(
    to: Annotated[Path, typer.Option("--to", help="The SVG file to write.")], out: Out
) -> None:
    """Draws utility against epsilon over the newest study's runs."""
    from collegium.output.report_files import export_chart

    export_chart(out, to, console())


@app.command()
@needs("dashboard")
def dashboard(
    out: Folder, port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8501
) -> None:
    """Opens the dashboard on a folder of runs."""
    from collegium.output.dashboard_server import open_dashboard

    open_dashboard(out, port, console())


def _tell_unverified(out: Path) -> None:
    """Says beside figures that nobody has compared them with the log; that takes longer."""
    folder = "--home" if is_hospital(out) else "--out"
    console().print(
        f"not verified: collegium audit verify {folder} {out} checks these figures against the "
        "signed log",
        markup=False,
        soft_wrap=True,
    )
