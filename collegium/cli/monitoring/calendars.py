"""``collegium monitor``: the drift of a model in use, in a calendar that is priced as one."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import (
    AsJson,
    Budget,
    Data,
    Folder,
    Out,
    StudyFile,
    TestNoise,
    read_study,
)
from collegium.extras import needs
from collegium.output.console import answers, console, emit

app = typer.Typer(
    help="Drift of a model in use: plan, releases, series.",
    no_args_is_help=True,
)


@app.command("plan")
def monitor_plan(
    study: StudyFile,
    to: Annotated[Path, typer.Option("--to", help="The plan to write.")],
    releases: Annotated[
        int, typer.Option("--releases", min=1, max=120, help="After the reference.")
    ] = 6,
    epsilon: Annotated[
        float | None,
        typer.Option(
            "--epsilon", help="What each patient may pay for all of it. Default: as the study."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN", help="The run whose model is watched by its scores."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder of that run; its hospitals' budgets are asked."),
    ] = None,
    watch: Annotated[
        str | None, typer.Option("--watch", help="Features, for example age,sex. Default: all.")
    ] = None,
    bins: Annotated[
        int, typer.Option("--bins", min=2, max=64, help="Of a number, and of the scores.")
    ] = 8,
    patients: Annotated[
        int | None,
        typer.Option(
            "--patients",
            min=1,
            help="In a release, at all hospitals, for the forecast. Default: those declared.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a plan: what it costs, what it would see.

    Where that is nothing useful, or more than a budget has left, it says so and writes none.
    """
    from collegium.studies.authoring.monitoring_study import CalendarWish
    from collegium.studies.monitoring.plan import NOT_ENOUGH, PlanPlaces, plan_monitoring

    wish = CalendarWish(
        releases=releases,
        epsilon=epsilon,
        bins=bins,
        watch=tuple(name.strip() for name in watch.split(",")) if watch else (),
    )
    places = PlanPlaces(to=to, out=out, run=run)
    found = plan_monitoring(read_study(study), wish, places, answers(as_json), patients=patients)
    emit(found, as_json)
    if found["outcome"] == NOT_ENOUGH:
        raise typer.Exit(2)


@app.command("run")
@needs("silo")
def monitor_run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A monitoring plan (YAML).")],
    out: Out,
    data: Data = None,
    budget: Budget = None,
    test_noise: TestNoise = False,
    as_json: AsJson = False,
) -> None:
    """Makes the next release, in a simulation.

    The first is the reference. It counts the hospitals' records as they are in --data now.
    """
    from collegium.output.progress import on_screen
    from collegium.simulation.settings import SimulationSettings
    from collegium.studies.monitoring.series import next_release, show_calendar
    from protocol.study.study_file import lines_of

    settings = SimulationSettings(data=data, budget=budget, test_noise=test_noise)
    with redirect_stdout(sys.stderr):
        read = read_study(plan)
        with lines_of(plan):
            calendar = next_release(read, plan.parent, out, settings, on_screen(console()))
    show_calendar(calendar, answers(as_json))
    emit(calendar.to_json(), as_json)


@app.command("show")
def monitor_show(
    out: Folder,
    study: Annotated[
        str | None,
        typer.Option("--study", help="The plan's name or digest. Default: the one that ran last."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="The page to write, of a coordinator's folder.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Every distance, a line each: the file to write.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows every release beside the reference.

    What has drifted, and what the budgets have left.
    """
    from collegium.studies.monitoring.series import kept_calendar, show_calendar

    calendar = kept_calendar(out, study, page=page, table=table)
    show_calendar(calendar, answers(as_json))
    emit(calendar.to_json(), as_json)
