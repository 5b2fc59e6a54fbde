"""``collegium report``: reports that people sign, made from a folder, signed, and verified."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import AsJson, Declared, Folder, Key, Records, Run, known_runs
from collegium.output.console import answers, console, emit
from silos.config.folder import is_hospital

app = typer.Typer(help="Reports for officers: made, signed, verified.", no_args_is_help=True)


class ReportForm(StrEnum):
    """The formats that a report can be written in."""

    pdf = "pdf"
    html = "html"
    json = "json"
    csv = "csv"
    oscal = "oscal"


class TableForm(StrEnum):
    """The formats that a table can be written in."""

    html = "html"
    json = "json"
    csv = "csv"


class About(StrEnum):
    """Things that a report can be about."""

    run = "run"
    study = "study"
    sweep = "sweep"
    hospital = "hospital"
    period = "period"


ReportPath = Annotated[Path, typer.Argument(metavar="FILE", help="A report's file.")]


def _ending(to: Path) -> str:
    return to.suffix.removeprefix(".").lower()


@app.command("list")
def report_list(as_json: AsJson = False) -> None:
    """Lists the kinds of report: what each answers, by which text."""
    from collegium.reports.export import list_kinds

    emit(list_kinds(answers(as_json)), as_json)


@app.command("export")
def report_export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run's name, or its beginning; with --about what that says: a study, a sweep, "
            "a hospital, a year (2026) or month (2026-11).",
            autocompletion=known_runs,
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    out: Folder,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="Which report; report list says what each is for. Default: privacy-statement.",
        ),
    ] = None,
    about: Annotated[About, typer.Option("--about", help="What the report is about.")] = About.run,
    form: Annotated[
        ReportForm | None,
        typer.Option(
            "--format",
            help="Paper, a page, one JSON value, a line for each value, or OSCAL. Default: as the "
            "file's name ends, else html.",
        ),
    ] = None,
    declarations: Declared = None,
    until: Annotated[
        int | None,
        typer.Option("--until", min=1, help="Only what was logged before this entry."),
    ] = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Writes a report. Page 1 counts what is evidenced, declared, missing."""
    named = next((one for one in ReportForm if one.value == _ending(to)), ReportForm.html)
    chosen = (form or named).value
    if is_hospital(out):
        from collegium.verification import own_folder

        _require_left_out(
            {
                "--kind": kind is not None,
                "--about": about is not About.run,
                "--declarations": declarations is not None,
                "--until": until is not None,
            }
        )
        own_folder.export_report(out, name, chosen, to, console())
        return
    from collegium.reports.export import export_report
    from collegium.reports.request import ReportRequest
    from compliance.reports.kinds import DEFAULT_KIND

    asked = ReportRequest(
        name=name,
        scope=about.value,
        kind=kind or DEFAULT_KIND,
        declarations=declarations,
        until=until,
    )
    key = None if as_key is None else read_key_file(as_key)
    emit(export_report(out, asked, chosen, to, console(), key=key), as_json)


@app.command("declarations")
def report_declarations(
    to: Annotated[Path, typer.Option("--to", help="The file to write.")] = Path("consortium.yaml"),
    schema: Annotated[
        bool, typer.Option("--schema", help="Write the file's JSON schema to stdout.")
    ] = False,
) -> None:
    """Writes a consortium file to fill in: what only people know."""
    if schema:
        from compliance.reports.declarations import declarations_schema

        typer.echo(declarations_schema(), nl=False)
        return
    from collegium.reports.export import write_template

    write_template(to, console())


@app.command("sign")
def report_sign(
    file: ReportPath,
    key: Annotated[
        Path | None, typer.Option("--key", help="Your private key: PEM, P-256 or Ed25519.")
    ] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="Its certificate: PEM.")] = None,
    name: Annotated[str, typer.Option("--name", help="Your name.")] = "",
    role: Annotated[str, typer.Option("--role", help="The role in which you sign.")] = "",
    as_key: As = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--home", help="With --as: the folder in which you are registered."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; default: FILE-signed.pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Signs a report's PDF. The report stays in it byte for byte.

    By your registered key (--as and --out; it is an act of the log), or by
    another one with its certificate (--key, --cert, --name).
    """
    if key is None and as_key is not None and out is not None:
        from collegium.reports.person_signature import sign_report_as

        written, told = sign_report_as(file, out, read_key_file(as_key), to)
        console().print(f"wrote {written}: {told}", markup=False, soft_wrap=True)
        emit({"file": str(written), "told": told}, as_json)
        return
    if key is None or cert is None or not name:
        from protocol.errors import MessageRefused

        raise MessageRefused("give --as and --out, or --key, --cert and --name")
    from collegium.reports.signing import sign_report

    written = sign_report(file, key, cert, to, name=name, role=role)
    console().print(f"wrote {written}: signed by {name}", markup=False, soft_wrap=True)
    emit({"file": str(written), "name": name, "role": role}, as_json)


@app.command("verify")
def report_verify(
    file: ReportPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--home", help="The folder of runs that it was made from."),
    ] = None,
    declarations: Declared = None,
    key: Key = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option("--trust", metavar="CERT", help="A certificate to trust; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks a report against its records, and its signatures.

    It also says what it cannot check. Exit codes: 0 no fault; 2 a fault, or
    nothing was there to check.
    """
    from collegium.reports.verifying import require_verified, verify_report
    from collegium.verification.inputs import read_key

    public = None if key is None else read_key(key)
    found = verify_report(
        file,
        answers(as_json),
        out=out,
        declarations=declarations,
        public=public,
        trusted=trust or (),
    )
    emit(found, as_json)
    require_verified(found, file)


@app.command("performance")
def report_performance(
    run: Run,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    out: Folder,
    form: Annotated[
        TableForm | None,
        typer.Option(
            "--format",
            help="A page, one JSON value, or a table with a line for each part. Default: as the "
            "file's name ends, else csv.",
        ),
    ] = None,
) -> None:
    """Writes TRIPOD+AI's performance table, by site and group."""
    from collegium.reports.report_files import export_performance

    export_performance(out, run, _table_form(form, to), to, console())


@app.command("chart")
def report_chart(
    to: Annotated[Path, typer.Option("--to", help="The SVG file to write.")], out: Records
) -> None:
    """Draws utility against epsilon over the newest study's runs."""
    from collegium.reports.report_files import export_chart

    export_chart(out, to, console())


def _require_left_out(given: Mapping[str, bool]) -> None:
    """Refuses options about reports that a hospital's own folder has not.

    Raises:
        MessageRefused: names those that were given.
    """
    from protocol.errors import MessageRefused

    if any(given.values()):
        named = ", ".join(option for option, is_given in given.items() if is_given)
        raise MessageRefused(f"a hospital's own folder has one report of a run: leave out {named}")


def _table_form(form: TableForm | None, to: Path) -> str:
    """Returns the format that is asked for, or that a file's name ends in."""
    named = next((one for one in TableForm if one.value == _ending(to)), TableForm.csv)
    return (form or named).value
