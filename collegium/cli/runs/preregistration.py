"""``collegium runs preregistration`` and ``deviate``: a plan, its outcome, and deviations."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.coordinator.persons import As, perform_as
from collegium.cli.options import AsJson, Records, Run
from collegium.output.console import answer, emit, say
from protocol.errors import WorkspaceRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance.facts.dossier import Dossier
    from compliance.facts.dossier.preregistration import PreregistrationOutcome

app = typer.Typer()


@app.command()
def preregistration(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN|STUDY", help="A run, or a study: its name, or a beginning."),
    ],
    out: Records,
    as_json: AsJson = False,
) -> None:
    """Shows what became of a preregistration.

    Criteria, deviations that records show or people declared, and earlier runs.
    """
    from compliance.facts.dossier.preregistration import preregistration_outcome

    dossiers = _dossiers(out, name)
    found = [said for one in dossiers if (said := preregistration_outcome(one)) is not None]
    if not found:
        raise WorkspaceRefused(
            f"{name} has no preregistration: the study has no section preregistration, and none "
            "can be added after the fact"
        )
    tell = answer(as_json)
    for said in found:
        _tell(said, tell)
    emit([said.to_json() for said in found], as_json)


@app.command()
def deviate(
    run: Run,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What was done otherwise, and why.")],
    out: Records,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Declares a deviation from a run's preregistration.

    It is signed, and the log holds its digest; no patient's data in it.
    """
    from coordinator.views.views import open_views

    with closing(open_views(out)) as views:
        dossier = views.dossier(run)
    details = {"text": " ".join(text.split())}
    told = perform_as(out, as_key, "run.deviate", ("run", dossier.run_id), details)
    released = any(one.type == "release" for one in dossier.audit.entries)
    say(
        f"declared   deviation of run {dossier.run_id} by {told['person']}, "
        + ("after its figures were released" if released else "before any figure was released")
    )
    emit(told, as_json)


def _dossiers(out: Path, name: str) -> "tuple[Dossier, ...]":
    """Returns the run of a name; else every run of the study of that name, oldest first."""
    from coordinator.views.views import open_views

    with closing(open_views(out)) as views:
        if any(run.run_id.startswith(name) for run in views.runs()):
            return (views.dossier(name),)
        return views.subject("study", name).dossiers


def _tell(said: "PreregistrationOutcome", tell: "Callable[..., Any]") -> None:
    tell(f"run        {said.run_id}", f"           {said.sentence}", f"           {said.timing}")
    for one in said.hypotheses:
        which = "primary" if one.hypothesis.primary else "secondary"
        tell(f"{which:<10} {one.hypothesis.name}: {one.words}", f"           {one.hypothesis.text}")
        for each in one.criteria:
            tell(
                f"criterion  {each.criterion.name}: {each.verdict.value}",
                f"           {each.asked}",
                f"           {each.why}",
            )
    for planned in said.contingencies:
        tell(f"planned    {planned.words}")
    if said.plan.stopping is not None:
        tell(f"stopping   {said.plan.stopping}")
    for line in said.plan.exploratory:
        tell(f"explores   {line}")
    for found in said.found:
        tell(f"deviation  {found.text}")
    for declared in said.declared:
        tell(f"declared   {declared.text}", f"           {said.declared_text(declared)}")
    if not said.found and not said.declared:
        tell("deviation  the records show none, and nobody declared any")
