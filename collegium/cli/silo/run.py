"""``collegium silo run``: what a hospital's people decide about a run that is under way."""

from dataclasses import asdict
from typing import Annotated

import typer

from collegium.cli.options import AsJson
from collegium.cli.silo.options import Home
from collegium.output.console import ask_for_name, console, emit, say

app = typer.Typer(help="A run that this hospital takes part in.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``run`` a group of commands while it has only one."""


@app.command()
def leave(
    run: Annotated[str, typer.Argument(metavar="RUN", help="As collegium silo status shows it.")],
    home: Home,
    by: Annotated[str, typer.Option("--by", help="The name of the person who decides.")],
    reason: Annotated[str, typer.Option("--reason", help="Kept beside the decision.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ends this hospital's part in a run, for good.

    The supervisor need not be stopped.
    """
    from silos.config.site_file import site_file_of
    from silos.operations.budget import print_budgets
    from silos.operations.runs import leave_run

    site = site_file_of(home).name
    say(
        f"{site} will send nothing more in run {run} and cannot join it again. What was sent stays "
        "charged; what was reserved and not sent is free again.",
    )
    if not yes:
        ask_for_name(site)
    left = leave_run(home, run, by=by, reason=reason)
    told = asdict(left.run)
    del told["notice"], told["end"]
    decided = f", by {left.run.left_by}" if left.run.left_by else ""
    say(f"left       run {run} at {left.run.changed_at}{decided}")
    print_budgets({left.site: left.budget}, console())
    emit(told | {"budget": left.budget}, as_json)
