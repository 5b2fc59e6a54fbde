"""``collegium silo freeze`` and ``collegium silo patients``: the hospital's patients in studies.

Keys of patients come as arguments, from a file or from stdin. None is printed, logged or kept.
"""

from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import AsJson, StudyFile
from collegium.cli.silo.options import By, Home, Reason
from collegium.output.console import answer, emit, say
from protocol.counted import counted

app = typer.Typer(no_args_is_help=True, help="Opt-outs, consent, use and retention of patients.")
freezing_app = typer.Typer()

Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY]...", help="Patients; a shell keeps arguments: better --file."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--file", help="A file with one patient's key a line; - is stdin."),
]
CANNOT_BE_UNDONE = (
    "What cannot be undone: what was sent before, and every model made of it, here and at the "
    "other hospitals, stays as it is. It is noised, within the budget that the patients granted."
)


@freezing_app.command()
def freeze(study: StudyFile, home: Home, by: By, as_json: AsJson = False) -> None:
    """Freezes the records that a study will run on here.

    They are read as a run would read them. A run on other records is refused from then on; the
    next version is frozen by the same command.
    """
    from protocol.study.study_file import read_study_file
    from silos.patients.own_records import freeze_cohort

    done, before = freeze_cohort(home, read_study_file(study), study.parent, by=by)
    tell = answer(as_json)
    if before is not None and before.number == done.number:
        tell(f"frozen     before, as {done.words}: the records are the same")
    else:
        tell(f"frozen     {done.words}, by {done.by}")
    tell(
        f"           {counted(done.patients, 'patient')} with {counted(done.records, 'record')}: "
        f"{done.training} train, {done.evaluation} test",
        f"source     {done.source.kind} {done.source.name}, sha256 {done.source.sha256}",
        f"digest     {done.digest}",
    )
    emit(done.to_json(), as_json)


@freezing_app.command("croissant")
def croissant(
    study: StudyFile,
    home: Home,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")],
    as_json: AsJson = False,
) -> None:
    """Describes the frozen records of a study as Croissant.

    It holds the digest of the hospital's file: it is for this hospital alone.
    """
    from collegium.models.publication.croissant import (
        DatasetTerms,
        hospital_dataset,
        write_dataset,
    )
    from protocol.study.study_file import read_study_file

    described = hospital_dataset(home, read_study_file(study), DatasetTerms(published=""))
    told = write_dataset(to, described, private=True)
    say(
        f"wrote      {to}: {counted(told['fields'], 'field')}",
        "it holds the digest of the file of records: it stays in this hospital",
    )
    emit(told, as_json)


@app.command("opt-out")
def opt_out_command(
    home: Home,
    by: By,
    keys: Keys = None,
    file: KeyFile = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Records that patients opted out. No study uses their records from the next step on.

    The supervisor need not be stopped. It is for good.
    """
    from dataclasses import asdict

    from silos.patients.opt_outs import opt_out, read_key_lines

    done = opt_out(home, keys or [], by=by, reason=reason, lines=read_key_lines(file))
    tell = answer(as_json)
    tell(f"opted out  {counted(done.patients, 'patient')}, {done.new} of them now, at {done.at}")
    if done.unknown:
        tell(
            f"           {done.unknown} of them in no cohort that is kept here: are the keys "
            "written as in the column of patient numbers? They are left out wherever they turn up"
        )
    for run in done.open_runs:
        tell(f"run        {run} draws them no more from its next step on")
    for run in done.past_runs:
        tell(f"run        {run} could draw them, and is over")
    if done.open_runs or done.past_runs:
        say(CANNOT_BE_UNDONE)
    emit(asdict(done), as_json)


@app.command()
def used(
    home: Home,
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="The patient's; better by --file.")
    ] = None,
    file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Says in which runs one patient's records were used.

    With study, part, when, and the model that came out.

    The answer is for this hospital's own people. Nothing of it is written down.
    """
    from protocol.errors import WorkspaceRefused
    from silos.patients.opt_outs import read_keys
    from silos.patients.used_patients import use_of

    keys = read_keys([] if key is None else [key], file)
    if len(keys) != 1:
        raise WorkspaceRefused(f"{len(keys)} keys were given: ask about one patient at a time")
    found, tell = use_of(home, keys[0]), answer(as_json)
    if found.opted_out_at is not None:
        tell(f"opted out  at {found.opted_out_at}")
    for run in found.runs:
        tell(
            f"run        {run.run_id} of {run.study_name or run.study[:16]}: {run.part}, "
            f"cohort version {run.cohort_version}, from {run.joined_at}"
            + (f" until the patient left at {run.left_at}" if run.left_at else ""),
            f"           {counted(run.sent, 'vector')} of patients' sums sent meanwhile"
            + (f", {run.first_sent} to {run.last_sent}" if run.sent else "")
            + f"; model {run.model or 'none yet'}",
        )
    if not found.runs:
        tell("used       in no run that is known here")
    else:
        tell("           Each step draws patients at random; whom it drew nobody records.")
        say(CANNOT_BE_UNDONE)
    if found.not_known:
        runs = ", ".join(found.not_known)
        tell(f"not known  of {runs}: the lists of their cohorts were deleted by retention")
    emit(found.to_json(), as_json)


@app.command()
def consent(study: StudyFile, home: Home, as_json: AsJson = False) -> None:
    """Shows how many patients may enter a study.

    And how many are left out, and why.

    Counts below ten are not shown.
    """
    from protocol.study.study_file import read_study_file
    from silos.preflight.patients import count_consents

    found, tell = count_consents(home, read_study_file(study), study.parent), answer(as_json)
    for name, count in found.items():
        tell(f"{name.replace('_', ' '):<16}{count}")
    emit(found, as_json)


@app.command()
def retention(
    home: Home,
    by: By,
    days: Annotated[
        int | None,
        typer.Option("--days", min=0, help="After a run's end; the site file's when left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Deletes what runs that are over needed of patients.

    Once they are over for so many days; it signs that it did.

    Opt-outs, ledger, decisions and patients' sides stay. The supervisor need not be stopped.
    """
    from dataclasses import asdict

    from silos.patients.retention import apply_retention

    done, tell = apply_retention(home, by=by, days=days), answer(as_json)
    for kind, count in done.counts.items():
        tell(f"deleted    {count} {kind}")
    if done.at is None:
        tell("deleted    nothing: nothing is as old")
    emit(asdict(done), as_json)
