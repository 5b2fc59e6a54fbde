"""``collegium audit``: the tamper-evident log."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import AsJson, Folder, Key, Out, known_runs
from collegium.output.console import answers, complain, emit
from protocol.errors import FederationError

app = typer.Typer(help="The tamper-evident log.", no_args_is_help=True)

#: As sysexits.h has them: 2 is kept for what was tampered with.
USAGE, _NOT_FOUND, _UNSETTLED = 64, 66, 75


@app.command("verify")
def audit_verify(
    out: Folder,
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
        found = verify(out, given, answers(as_json))
    emit(found, as_json)
    require_sound(found, out, given)
    if not found["verified"]:
        raise typer.Exit(_UNSETTLED)


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
