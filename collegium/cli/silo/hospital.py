"""``collegium silo``: what a hospital's own people do at their own machine.

The answer to a question goes to stdout, as JSON with ``--json``; all else to stderr.
Everything heavy is imported inside the commands, so that help is immediate.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.options import AsJson, StudyFile, read_study
from collegium.cli.silo.keys import app as key_app
from collegium.cli.silo.leaks import app as leaks_app
from collegium.cli.silo.options import By, Home, Reason, Yes
from collegium.cli.silo.patients import app as patients_app
from collegium.cli.silo.patients import freezing_app
from collegium.cli.silo.restoring import app as restoring_app
from collegium.cli.silo.results import app as results_app
from collegium.cli.silo.roster import app as roster_app
from collegium.cli.silo.run import app as run_app
from collegium.cli.silo.supervisor import app as supervisor_app
from collegium.output.console import PAGE, answer, answers, ask, console, emit, say
from protocol.counted import counted
from protocol.errors import PolicyRefused, WorkspaceRefused

if TYPE_CHECKING:
    from protocol.study.study import Study
    from silos.preflight.checks import SiteCheck

app = typer.Typer(help="Commands of a hospital's own people.", no_args_is_help=True)
app.add_typer(roster_app, name="roster")
app.add_typer(key_app, name="key")
app.add_typer(run_app, name="run")
app.add_typer(patients_app, name="patients")
app.add_typer(freezing_app)
app.add_typer(restoring_app)
app.add_typer(results_app)
app.add_typer(leaks_app)
app.add_typer(supervisor_app)


@app.command()
def init(
    home: Home,
    site: Annotated[str, typer.Option("--site", help="The hospital's name in studies.")],
    coordinator: Annotated[
        str | None, typer.Option("--coordinator", help="https://host:port, from the invitation.")
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="For simulations and demonstrations only."),
    ] = False,
    database: Annotated[
        str | None,
        typer.Option("--database", help="postgresql://...: the ledger is kept there instead."),
    ] = None,
) -> None:
    """Makes a hospital's folder. It holds fresh keys, and a site file that allows nothing yet."""
    from silos.operations.site import make_home

    make_home(home, site, coordinator, simulated=simulated, database=database)
    say(
        f"made   {database or home / 'hospital.db'}: privacy ledger of {site}; back it up, never "
        "copy it",
        f"made   {home}/hospital-keys: its private keys; back them up elsewhere",
        f"made   {home}/hospital-heads: shows that the database is no old copy; never back it up",
        f"made   {home}/site.yaml: what this hospital allows; as it stands, nothing",
        f"next   edit {home}/site.yaml: data, policy, approvers",
        f"       collegium silo grant --home {home} --epsilon E --delta D --signed-by NAME",
        f"       collegium silo enrol INVITATION --home {home}",
        f"       collegium silo check STUDY --home {home}",
    )


@app.command()
def grant(
    home: Home,
    epsilon: Annotated[float, typer.Option("--epsilon", help="For each patient, for life.")],
    delta: Annotated[float, typer.Option("--delta", help="Below 1 / patients.")],
    signed_by: Annotated[
        list[str],
        typer.Option(
            "--signed-by",
            help="An approver of the site file; as many as approvals_needed says, repeatable.",
        ),
    ],
    unit: Annotated[str, typer.Option("--unit", help="patient, or record (weaker).")] = "patient",
    as_json: AsJson = False,
) -> None:
    """Opens the patients' privacy budget: once, for life."""
    from silos.config.site_file import site_file_of
    from silos.operations.budget import print_budgets
    from silos.operations.site import grant

    if unit not in ("patient", "record"):
        raise PolicyRefused(f"--unit {unit!r}: give patient or record")
    found = grant(home, epsilon=epsilon, delta=delta, signed_by=signed_by, unit=unit)
    print_budgets({site_file_of(home).name: found}, console())
    emit(found, as_json)


@app.command()
def check(
    study: StudyFile,
    home: Home,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page with drawings; it stays in the hospital."),
    ] = None,
    records: Annotated[bool, typer.Option("--records", help="Look at the records alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Says whether a study could run here, and what to mend first.

    Exit code 2 if there is anything to mend.

    Records (what they are goes to stdout), policy, approval, budget, machine, certificate and
    line; counts only, and nothing of it is sent anywhere.
    """
    from collegium.output.progress import rows_on_screen
    from protocol.study.study_file import read_study_file
    from silos.preflight.checks import check_site
    from silos.preflight.findings import print_findings
    from silos.preflight.quality_table import print_quality

    read = read_study_file(study)
    with rows_on_screen(console()):
        found = check_site(home, read, study.parent, records_only=records)
    screen = answers(as_json, in_a_pipe=PAGE)
    if found.records.quality is not None:
        print_quality({found.site: found.records.quality}, screen)
    print_findings(found.findings, screen)
    if html is not None:
        _write_page(html, read, found)
    emit(found.to_json(), as_json)
    if any(entry.state == "bad" for entry in found.findings):
        raise typer.Exit(2)


def _write_page(to: Path, study: "Study", found: "SiteCheck") -> None:
    """Writes the hospital's own page, for its owner alone."""
    from collegium.reports.report_files import write_own_page
    from compliance.storage.clock import utc_now
    from silos.preflight.quality_page import quality_page

    at = f"{utc_now():%Y-%m-%d %H:%M} UTC"
    page = quality_page(found.site, study, found.findings, found.records, at=at)
    write_own_page(to, page)
    say(f"wrote {to}: about patients' data; it stays in this hospital, and you alone may read it")


@app.command()
def attest(
    home: Home,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    run: Annotated[
        str | None, typer.Option("--run", help="For a run that this hospital was asked to join.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes evidence about this machine, from its processor.

    It also shows what the evidence says.

    Without --run it is a trial, which no run accepts: it shows the measurement and the firmware
    that other hospitals would write into their policies. In a run the supervisor does this itself.
    """
    from silos.operations.attestation import attest as write_evidence

    made = write_evidence(home, to, run)
    about = f"run {run}" if run else "a trial: no run accepts it"
    say(f"wrote {to}: evidence for {about}", *(f"{name:12} {said}" for name, said in made.facts))
    emit({"run": run, **dict(made.facts)}, as_json)


@app.command()
def approve(
    study: StudyFile,
    home: Home,
    by: By,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=1000, help="How often it may run, from now on.")
    ] = 1,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Records a person's approval of a study. It first shows what the study would do here."""
    from protocol.study.study_file import read_study_file
    from silos.operations.site import approve, describe_request

    read = read_study_file(study)
    for heading, words in describe_request(home, read, runs):
        say(f"{heading:<16}{words}")
    if not yes:
        _ask_for_study(read.name)
    done, missing = approve(home, study, by=by, reason=reason, runs=runs)
    say(
        f"approved        by {done.approver} at {done.decided_at}, for runs up to number "
        f"{done.runs} of this study here"
    )
    if missing:
        say(f"not yet         {missing} more must approve it before it may run here")


@app.command()
def withdraw(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="The study's, or its start.")],
    home: Home,
    by: By,
    reason: Reason = "",
) -> None:
    """Withdraws every approval of a study. It cannot join here any more."""
    from silos.operations.site import withdraw

    done = withdraw(home, digest, by=by, reason=reason)
    say(f"withdrawn  study {done.study[:16]}, by {done.approver} at {done.decided_at}")


@app.command()
def studies(home: Home, as_json: AsJson = False) -> None:
    """Lists the studies decided on, and whether each may run now."""
    from silos.operations.site import list_studies

    found = list_studies(home)
    if found:
        _print_studies(found, answer(as_json))
    else:
        answer(as_json)("no study was decided on yet: collegium silo approve STUDY")
    emit(found, as_json)


@app.command()
def status(home: Home, as_json: AsJson = False) -> None:
    """Shows runs, approvals, budget, certificate and contact.

    All of it is read from this hospital's own files.
    """
    from silos.operations.budget import print_budgets
    from silos.operations.site import describe_home

    found = describe_home(home)
    kind = ", SIMULATED" if found["simulated"] else ""
    tell = answer(as_json)
    tell(
        f"hospital     {found['hospital']}{kind}",
        f"supervisor   {_contact(found['supervisor'])}",
        f"certificate  {_certificate(found['certificate'])}",
        f"roster       {_roster(found['roster'])}",
    )
    if found["budget"] is None:
        tell("budget       not opened: collegium silo grant")
    else:
        print_budgets({found["hospital"]: found["budget"]}, answers(as_json))
    _print_studies(found["studies"], tell)
    for run in found["runs"]:
        tell(f"run          {run['run']} {run['state']} at {run['since']}")
    emit(found, as_json)


@app.command("log")
def log_command(
    home: Home,
    to: Annotated[
        Path | None, typer.Option("--to", help="Writes the newest note to this file.")
    ] = None,
    proofs: Annotated[
        Path | None,
        typer.Option(
            "--proofs",
            metavar="FOLDER",
            help="Writes the proofs that the log holds what this hospital sent.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows the newest head held here of the coordinator's log.

    It also shows heads that contradict each other.
    """
    from silos.results.log_view import view_log, write_note, write_proofs

    found, tell = view_log(home), answer(as_json)
    if found.newest is None:
        tell("log    no head is held yet: this hospital has taken part in no round")
    else:
        tell(f"log    {found.newest.size} entries, root {found.newest.root.hex()}")
    if found.cosigned is not None:
        names = ", ".join(found.cosigners)
        tell(f"       a round began under {found.cosigned.size} entries, cosigned by {names}")
        tell(f"       {counted(len(found.own_events), 'proof')} of what this hospital sent")
    for fork in found.forks:
        tell(
            f"FORK   run {fork.run}, {fork.seen_at}: the coordinator showed a log that was not "
            "shown to agree with what this hospital holds; ask the other hospitals",
            fork.kept_note.decode(),
            fork.other_note.decode(),
        )
    if to is not None:
        write_note(found, to)
        say(f"wrote  {to}: collegium audit verify --checkpoint {to}")
    if proofs is not None:
        say(f"wrote  {counted(write_proofs(found, proofs), 'proof')} to {proofs}")
    emit(
        {
            "size": found.newest.size if found.newest else 0,
            "root": found.newest.root.hex() if found.newest else None,
            "note": found.newest.note.decode() if found.newest else None,
            "cosigned": None
            if found.cosigned is None
            else {
                "size": found.cosigned.size,
                "note": found.cosigned.note.decode(),
                "cosigners": list(found.cosigners),
            },
            "own_events": len(found.own_events),
            "forks": [
                {
                    "run": fork.run,
                    "seen_at": fork.seen_at,
                    "kept": fork.kept_note.decode(),
                    "other": fork.other_note.decode(),
                }
                for fork in found.forks
            ],
        },
        as_json,
    )


@app.command()
def backup(
    home: Home,
    to: Annotated[Path, typer.Option("--to", help="The folder where the backup is written.")],
    keys: Annotated[bool, typer.Option("--keys", help="The keys, instead of the ledger.")] = False,
) -> None:
    """Writes an encrypted backup of the ledger, or of the keys.

    The hospital may be at work.
    """
    from silos.operations.backup import back_up

    say(f"written  {back_up(home, to, 'keys' if keys else 'ledger')}")


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="What silo backup wrote.")],
    home: Home,
    identity: Annotated[Path, typer.Option("--identity", help="The file with the age identity.")],
) -> None:
    """Unpacks a backup into a hospital's folder.

    The folder must not hold it yet; nothing is started.
    """
    from silos.operations.backup import restore

    for name in restore(backup, home, identity):
        say(f"restored {name}")


@app.command("budget")
def budget(
    out: Annotated[
        Path | None, typer.Option("--out", help="A simulation's folder: its hospitals.")
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", help="A hospital's own folder.")] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="With --out: one hospital; default: all.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Forecasts what this study would cost.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows what a hospital's patients have spent, reserved and left."""
    from collegium.verification.budget import show_budgets, show_own_budget

    read, screen = None if study is None else read_study(study), answers(as_json)
    if (out is None) == (home is None):
        raise WorkspaceRefused("name --home, a hospital's own folder, or --out, a simulation's")
    if home is not None:
        emit(show_own_budget(home, read, screen), as_json)
    elif out is not None:
        emit(show_budgets(out, site, read, screen), as_json)


@app.command()
def schema() -> None:
    """Writes the JSON Schema of a site file, for editors."""
    from silos.config.site_file import site_schema

    sys.stdout.write(json.dumps(site_schema(), indent=2, sort_keys=True) + "\n")


def _print_studies(found: list[dict[str, Any]], tell: Callable[..., None]) -> None:
    for study in found:
        verdict = "may run" if study["may_run"] else "may NOT run"
        people = ", ".join(study["approved_by"]) or "nobody"
        tell(
            f"study        {study['name'] or '?'}: {verdict}; approved by {people}; "
            f"{study['runs_used']} of {counted(study['runs_approved'], 'run')} used",
            f"             digest {study['digest']}",
        )
        if study["why_not"]:
            tell(f"             {study['why_not']}")


def _contact(note: dict[str, Any] | None) -> str:
    if note is None:
        return "never started: collegium silo start"
    from datetime import UTC, datetime

    when = f"{datetime.fromtimestamp(note['time'], UTC):%Y-%m-%d %H:%M:%S} UTC"
    gone = "" if note["alive"] or note["state"] == "stopped" else "; the process is GONE"
    reason = f" ({note['reason']})" if note["reason"] else ""
    return f"{note['state']}{reason} at {when}{gone}"


def _certificate(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none: collegium silo enrol"
    return f"good until {found['expires']}, {counted(found['days_left'], 'day')}"


def _roster(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none is trusted: collegium silo roster sign, or trust"
    said = f"{found['version']}, until {found['ends'][:10]}, {counted(found['days_left'], 'day')}"
    if not found["is_due"]:
        return said
    return f"{said} ({found['reason']}): the lead proposes the next, and every hospital signs it"


def _ask_for_study(name: str) -> None:
    typed = ask("to approve this, type the study's name")
    if typed != name:
        raise PolicyRefused(f"{typed!r} is not this study's name: nothing was approved")
