"""``collegium audit``: the tamper-evident log."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import FOLDER, AsJson, Key, Out, known_runs
from collegium.output.console import answers, complain, emit, say
from protocol.errors import FederationError

app = typer.Typer(help="The tamper-evident log.", no_args_is_help=True)

#: As sysexits.h has them: 2 is kept for what was tampered with.
USAGE, _NOT_FOUND, _UNSETTLED = 64, 66, 75


@app.command("verify")
def audit_verify(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="BUNDLE", help="What audit export wrote; or --out, a folder."),
    ] = None,
    out: Annotated[Path | None, FOLDER] = None,
    key: Key = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="A signed head of the log that others kept; repeatable.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="A report to check against these records.")
    ] = None,
    hospital: Annotated[
        Path | None,
        typer.Option("--hospital", help="A hospital's own folder, to check against the log."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks log, records, files and hospitals; writes nothing.

    It also says what it cannot check.

    Exit codes: 0 verified; 2 tampered with or damaged; 64 wrong usage; 66 not found; 75 a run is
    at work and what was looked at changed meanwhile.
    """
    from collegium.verification.inputs import AuditInputs
    from collegium.verification.verify import require_sound, verify

    given = AuditInputs(key=key, checkpoints=checkpoint or (), report=report, hospital=hospital)
    with _auditing(as_json):
        place = _one_of(bundle, out)
        found = verify(place, given, answers(as_json))
    emit(found, as_json)
    require_sound(found, place, given)
    if not found["verified"]:
        raise typer.Exit(_UNSETTLED)


@app.command("export")
def audit_export(
    out: Out,
    to: Annotated[Path, typer.Option("--to", help="The bundle to write, a ZIP file.")],
    records_only: Annotated[
        bool, typer.Option("--records-only", help="Leave out models, kept rounds and the page.")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Writes log, records and files as one bundle for an auditor.

    What was written is verified; exit codes as audit verify.
    """
    from collegium.verification.bundle.export import export_bundle
    from collegium.verification.inputs import AuditInputs
    from collegium.verification.verify import require_sound, verify

    given = AuditInputs(key=key)
    with _auditing(as_json):
        export_bundle(out, to, records_only=records_only)
        found = verify(to, given, answers(as_json))
    emit(found | {"written": str(to)}, as_json)
    require_sound(found, to, given)


@app.command("verifier")
def audit_verifier(
    to: Annotated[Path, typer.Option("--to", help="The Python file to write.")],
) -> None:
    """Writes a verifier of bundles that needs no Collegium.

    One file to read, for Python with the package cryptography.
    """
    from collegium.verification.bundle import single_file
    from compliance.storage.atomic_file import write_named

    write_named(to, Path(single_file.__file__).read_bytes())
    say(f"wrote {to}: python {to} BUNDLE --key KEY")


@app.command("recompute")
def audit_recompute(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="ROUND", help="A training round's number, or: evaluation, evaluation-5."
        ),
    ],
    out: Out,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", help="Which run; the newest when left out.", autocompletion=known_runs
        ),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Computes a kept round's sum again. From what the hospitals sent, bit by bit."""
    from collegium.verification.verify import recompute_round

    with _auditing(as_json):
        found = recompute_round(out, wanted, run, answers(as_json), key=key)
    emit(found, as_json)


def _one_of(bundle: Path | None, out: Path | None) -> Path:
    """Returns the bundle or the folder, of which one must be given.

    Raises:
        MessageRefused: none is, or both are.
        WorkspaceRefused: there is no such bundle.
    """
    from protocol.errors import MessageRefused, WorkspaceRefused

    place = out if bundle is None else bundle
    if place is None or None not in (bundle, out):
        raise MessageRefused("give a BUNDLE, or a folder of runs with --out or --home, one of them")
    if bundle is not None and not bundle.is_file():
        raise WorkspaceRefused(f"there is no file {bundle}: audit export writes a bundle")
    return place


@contextmanager
def _auditing(as_json: bool) -> Iterator[None]:
    """Lets a nightly job tell tampering from a wrong folder or option; JSON always answers."""
    from protocol.errors import MessageRefused, PolicyRefused, WorkspaceRefused

    try:
        yield
    except FederationError as error:
        emit({"verified": False, "error": str(error)}, as_json)
        code = {WorkspaceRefused: _NOT_FOUND, MessageRefused: USAGE, PolicyRefused: _NOT_FOUND}
        for kind, number in code.items():
            if isinstance(error, kind):
                complain(str(error))
                raise typer.Exit(number) from error
        raise
