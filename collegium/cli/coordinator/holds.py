"""``collegium coordinator hold``: legal holds, and how long each class of records is kept."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.coordinator.persons import As, Home, perform_as
from collegium.cli.options import AsJson
from collegium.output.console import answer, emit, say

app = typer.Typer(help="Legal holds, and how long records are kept.", no_args_is_help=True)
OfRun = Annotated[str | None, typer.Option("--run", help="A run's name, or its beginning.")]
OfStudy = Annotated[
    str | None, typer.Option("--study", help="All runs of a study: its name or digest.")
]


@app.command()
def place(
    home: Home,
    reason: Annotated[str, typer.Option("--reason", help="Why it is held.")],
    run: OfRun = None,
    study: OfStudy = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Keeps a run's or a study's rounds from being deleted, from now on."""
    subject = _subject(home, run, study)
    told = perform_as(home, as_key, "hold.place", subject, {"reason": reason})
    if not told["waits"]:
        say(f"held       {subject[0]} {subject[1]}: no finished round of it is deleted")
    emit(told, as_json)


@app.command()
def lift(
    home: Home,
    run: OfRun = None,
    study: OfStudy = None,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Lifts a legal hold. A second person confirms."""
    subject = _subject(home, run, study)
    told = perform_as(home, as_key, "hold.lift", subject)
    if not told["waits"]:
        say(f"lifted     {subject[0]} {subject[1]}")
    emit(told, as_json)


@app.command("list")
def list_holds(home: Home, as_json: AsJson = False) -> None:
    """Lists legal holds, and how long each class of records is kept."""
    from compliance.governance.retention import RECORD_CLASSES
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        holds = views.governance().holds
    tell = answer(as_json)
    for one in RECORD_CLASSES:
        tell(f"{one.name}: {one.kept}; under a hold: {one.held}")
    for hold in holds:
        by, text = hold.placed_by or "NOBODY", f"held {hold.kind} {hold.subject[:32]}"
        ended = f", lifted {hold.lifted_at}" if hold.lifted_at else ""
        tell(f"{text}: {hold.reason}, placed by {by} at {hold.placed_at}{ended}")
    emit(
        {
            "records": [vars(one) for one in RECORD_CLASSES],
            "holds": [vars(hold) for hold in holds],
        },
        as_json,
    )


def _subject(home: Path, run: str | None, study: str | None) -> tuple[str, str]:
    """Returns of which kind and name the held thing is.

    Raises:
        PolicyRefused: not one of the two is named.
    """
    from coordinator.views.views import open_views
    from protocol.errors import PolicyRefused

    with closing(open_views(home)) as views:
        if run is not None and study is None:
            return "run", views.dossier(run).run_id
        if study is not None and run is None:
            return "study", views.study_digest(study)
    raise PolicyRefused("name what is held: --run RUN or --study STUDY")
