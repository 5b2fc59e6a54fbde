"""``collegium audit timestamp|verify-timestamp``: when a head of the log was, by an authority."""

from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.audit.exit_codes import audit_exit_codes
from collegium.cli.options import AsJson, Records
from collegium.output.console import answer, emit, say

app = typer.Typer()
#: Bytes of a note with cosignatures, or of an answer with certificates, at most.
_MOST = 1 << 20


@app.command("timestamp")
def audit_timestamp(
    out: Records,
    tsa: Annotated[
        str, typer.Option("--tsa", metavar="URL", help="A time stamping authority (RFC 3161).")
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="Its answer; the note lies beside it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Has an authority state when the newest head was.

    The authority is sent a digest and nothing else. FILE holds its answer, FILE.note the head of
    the log, with its cosignatures, that it is about.
    """
    from collegium.verification.timestamps import stamp_newest
    from compliance.storage.atomic_file import write_named

    beside = to.with_name(f"{to.name}.note")
    with audit_exit_codes(as_json):
        made = stamp_newest(out, tsa)
        write_named(to, made.answer)
        write_named(beside, made.note)
    say(f"wrote  {to} and {beside}: collegium audit verify-timestamp {to} --trust ROOT")
    emit({"answer": str(to), "note": str(beside)}, as_json)


@app.command("verify-timestamp")
def audit_verify_timestamp(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An authority's answer.")],
    trust: Annotated[
        list[Path],
        typer.Option("--trust", metavar="CERT", help="A root that you trust, PEM; repeatable."),
    ],
    note: Annotated[
        Path | None, typer.Option("--note", help="The head; default: FILE.note beside it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks when a head was, by an authority that you trust.

    Exit codes: 0 it holds; 2 it does not; 64 wrong usage; 66 a file is not there.
    """
    from collegium.verification.timestamps import verify_timestamp
    from compliance.storage.atomic_file import read_named
    from protocol.errors import MessageRefused, StoreBroken

    beside = note or file.with_name(f"{file.name}.note")
    with audit_exit_codes(as_json):
        head, answered = read_named(beside, "--note", _MOST), read_named(file, "FILE", _MOST)
        try:
            found = verify_timestamp(head, answered, trust)
        except MessageRefused as error:
            raise StoreBroken(f"{file} proves nothing: {error}") from error
    said = f"{found.time:%Y-%m-%d %H:%M:%S} UTC"
    answer(as_json)(f"verified   {found.size} entries under root {found.root.hex()} at {said}")
    told = {"time": found.time.isoformat(), "size": found.size, "root": found.root.hex()}
    emit(told, as_json)
