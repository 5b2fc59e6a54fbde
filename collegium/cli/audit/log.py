"""``collegium audit``: the tamper-evident log, and proofs of its entries."""

from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.audit.exit_codes import UNSETTLED, audit_exit_codes
from collegium.cli.audit.witness import app as witness
from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import FOLDER, AsJson, Declared, Key, Records, known_runs
from collegium.output.console import answer, answers, emit, say

app = typer.Typer(help="The tamper-evident log.", no_args_is_help=True)
app.add_typer(witness, name="witness")


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
    declarations: Declared = None,
    hospital: Annotated[
        Path | None,
        typer.Option("--hospital", help="A hospital's own folder, to check against the log."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", metavar="FILE", help="A tlog-policy: the keys of witnesses outside."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks log, records, files and hospitals.

    It writes nothing.

    It also says what it cannot check.

    Exit codes: 0 verified; 2 tampered with or damaged; 64 wrong usage; 66 not found; 75 a run is
    at work and what was looked at changed meanwhile.
    """
    from collegium.verification.inputs import AuditInputs
    from collegium.verification.verify import require_sound, verify

    given = AuditInputs(
        key=key,
        checkpoints=checkpoint or (),
        report=report,
        declarations=declarations,
        hospital=hospital,
        policy=policy,
    )
    with audit_exit_codes(as_json):
        place = _one_of(bundle, out)
        found = verify(place, given, answers(as_json))
    emit(found, as_json)
    require_sound(found, place, given)
    if not found["verified"]:
        raise typer.Exit(UNSETTLED)


@app.command("export")
def audit_export(
    out: Records,
    to: Annotated[Path, typer.Option("--to", help="The bundle to write, a ZIP file.")],
    records_only: Annotated[
        bool, typer.Option("--records-only", help="Leave out models, kept rounds and the page.")
    ] = False,
    key: Key = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Writes all evidence as one bundle for an auditor.

    Log, records and the files that they name.

    What was written is verified; exit codes as audit verify. Where people are registered, the
    export is logged first and stands in the bundle.
    """
    from collegium.reports.access_record import record_export
    from collegium.verification.bundle.export import export_bundle
    from collegium.verification.inputs import AuditInputs
    from collegium.verification.verify import require_sound, verify

    given = AuditInputs(key=key)
    with audit_exit_codes(as_json):
        person = None if as_key is None else read_key_file(as_key)
        recorded = record_export(out, person, ("evidence", to.name), {"records_only": records_only})
        export_bundle(out, to, records_only=records_only)
        found = verify(to, given, answers(as_json))
    say(recorded.note)
    emit(found | {"written": str(to), "act": recorded.act, "access": recorded.note}, as_json)
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
    out: Records,
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
    from collegium.verification.recomputed_round import recompute_round

    with audit_exit_codes(as_json):
        found = recompute_round(out, wanted, run, answers(as_json), key=key)
    emit(found, as_json)


@app.command("policy")
def audit_policy(
    out: Records,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Writes it to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes the policy that proofs are verified with.

    A tlog-policy: it names the log's key, the newest run's hospitals, and the quorum of them. Add
    witnesses outside the consortium by hand: witness NAME KEY URL.
    """
    from collegium.verification.proofs import folder_policy
    from compliance.storage.atomic_file import write_named

    tell = answer(as_json)
    with audit_exit_codes(as_json):
        policy = folder_policy(out)
        if to is not None:
            write_named(to, policy.to_bytes)
    emit(
        {
            "policy": policy.to_bytes.decode(),
            "quorum": policy.quorum,
            "witnesses": [one.name for one in policy.witnesses],
            "file": None if to is None else str(to),
        },
        as_json,
    )
    if to is not None:
        tell(f"wrote  {to}: collegium audit verify-proof FILE --policy {to}")
    else:
        tell(policy.to_bytes.decode().rstrip("\n"))


@app.command("prove")
def audit_prove(
    what: Annotated[
        str, typer.Argument(metavar="RUN|ENTRY", help="A run, or the number of an entry.")
    ],
    out: Records,
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="The proof: a .tlog-proof file.")
    ],
    kind: Annotated[
        str | None,
        typer.Option("--type", help="Of a run, the type of the entry: release, result, snapshot."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes the proof that an entry stands in the log.

    A tlog-proof, under the newest head over it that a quorum of the hospitals has cosigned. The
    entry is in the file; whoever has it needs neither this folder nor the coordinator.
    """
    from collegium.verification.proofs import cosigned_json, make_proof
    from compliance.storage.atomic_file import write_named

    tell = answer(as_json)
    with audit_exit_codes(as_json):
        made = make_proof(out, what, kind)
        write_named(to, made.proof.to_bytes)
    names = [one.key.name for one in made.cosigners]
    tell(f"wrote  {to}: entry {made.proof.index}")
    tell(f"cosigned by {', '.join(names) or 'nobody yet'}")
    if not made.meets_quorum:
        tell("a quorum of the hospitals has not cosigned a head over this entry yet")
    emit(
        {
            "file": str(to),
            "index": made.proof.index,
            "entry": made.entry.decode(),
            "cosigned_by": cosigned_json(made.cosigners),
            "meets_quorum": made.meets_quorum,
        },
        as_json,
    )


@app.command("verify-proof")
def audit_verify_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tlog-proof file.")],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="The tlog-policy that you trust."),
    ] = None,
    key: Key = None,
    entry: Annotated[
        Path | None, typer.Option("--entry", help="The entry, where it is not in the file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks a proof that somebody gave you.

    It needs nothing else.

    Exit codes: 0 it holds; 2 it does not; 64 wrong usage; 66 a file is not there.
    """
    from collegium.verification.inputs import read_key
    from collegium.verification.proofs import verify_proof
    from protocol.errors import MessageRefused, StoreBroken

    tell = answer(as_json)
    with audit_exit_codes(as_json):
        if policy is None and key is None:
            raise MessageRefused("give --policy, or at least --key, from somewhere you trust")
        public = None if key is None else read_key(key)
        try:
            found = verify_proof(file, policy=policy, public=public, entry=entry)
        except MessageRefused as error:
            raise StoreBroken(f"{file} proves nothing: {error}") from error
    tell(f"verified  entry {found['index']} of {found['size']} under root {found['root']}")
    if found["entry"] is not None:
        about = f" of run {found['entry']['run']}" if found["entry"].get("run") else ""
        tell(f"proven    {found['entry']['type']}{about}, {found['entry']['time']}")
        tell(f"about     {found['entry']['payload']}")
    names = [one["name"] for one in found["cosigned_by"]]
    tell(f"cosigned by {', '.join(names) or 'nobody that was asked for'}")
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
