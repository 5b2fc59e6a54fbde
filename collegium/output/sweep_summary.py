"""The summary of a sweep: a table of its settings, and what one mode gains over another."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from rich.console import Console

from collegium.output.folder_page import shown_of_sweep
from collegium.output.summary import plain_table
from compliance.charts.descriptions import (
    WITHOUT_PRIVACY,
    describe_comparison,
    interval_text,
    range_text,
    released_text,
    runs_text,
    studies_text,
)
from compliance.facts.comparison.modes import (
    FEWEST,
    comparison_json,
    next_to_chance,
    num_missing,
    over_of,
    reached,
)
from compliance.facts.dossier import Dossier, run_json
from compliance.facts.formatting import Format, show
from compliance.facts.privacy_utility import (
    MODES,
    NO_BETTER,
    RELEASED,
    UtilityPoint,
    Withheld,
    best_known,
    figure_of,
)
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.study.study import Study


def show_sweep(
    workspace: Workspace, studies: Sequence[Study], run_ids: Sequence[str], console: Console
) -> dict[str, Any]:
    """Prints what a sweep's runs say together, and returns it with every run as JSON."""
    with closing(open_views(workspace.root)) as views:
        dossiers = [views.dossier(run_id) for run_id in run_ids]
        shown = shown_of_sweep(views, run_ids)
        points, withheld = views.utility(shown), views.withheld(shown)
        references = views.references()
    found = comparison_json(points, withheld)
    summarise_sweep(points, withheld, workspace, shown, console)
    lost = sum(r.figures[r.figure.name] is None for r in references)
    if lost:
        console.print(
            f"{lost} of {len(references)} pooled references have no figure: their training "
            "diverged, or there is one class only; a smaller learning rate may help",
            style="yellow",
        )
    return {
        "study": studies[0].name,
        "studies": [study.name for study in studies],
        "runs": [run_json(dossier) | {"mode": _mode(dossier)} for dossier in dossiers],
        "references": [
            {
                "reference": reference.name,
                "name": MODES[reference.mode],
                "mode": reference.mode,
                "epsilon_promised": reference.epsilon,
                "seed": reference.seed,
                **reference.figures,
            }
            for reference in references
        ],
        **found,
    }


def _mode(dossier: Dossier) -> str:
    return str(dossier.study["privacy"]["mode"])


def summarise_sweep(
    points: Sequence[UtilityPoint],
    withheld: Sequence[Withheld],
    workspace: Workspace,
    run_id: str,
    console: Console,
) -> None:
    """Prints a sweep: a line for each mode and epsilon, then what one mode gains over another.

    ``run_id`` is the run that the folder's page is about.
    """
    over, useless = over_of(points), next_to_chance(points)
    table = plain_table(
        "mode", "epsilon", f"{figure_of(points).label}*", f"95 % interval over {over}", over
    )
    for level in reached(points):
        marked = f" {NO_BETTER}" if useless[level.mode, level.study, level.epsilon] else ""
        table.add_row(
            f"{MODES[level.mode]}, {level.study}" if level.study else MODES[level.mode],
            "none" if level.epsilon is None else show(level.epsilon, Format.EPSILON),
            f"{level.value.mean:.3f}{marked}",
            range_text(level.value) or f"needs {FEWEST} {over}",
            runs_text(
                level.value.count,
                num_missing(points, withheld, level.epsilon, level.mode, study=level.study),
            ),
        )
    console.print(table)
    kinds = {point.kind for point in best_known(points)}
    console.print(f"  * {' and '.join(sorted(kinds))}, mean over {over}", markup=False)
    console.print(f"  {interval_text(points)}\n", markup=False, soft_wrap=True)
    if said := studies_text(points):
        console.print(f"  {said}\n", markup=False, soft_wrap=True)
    if any(point.epsilon is None for point in points):
        console.print(f"  {WITHOUT_PRIVACY}\n", markup=False, soft_wrap=True)
    if RELEASED not in kinds:
        for sentence in released_text(points, withheld):
            console.print(f"  {sentence}", markup=False, soft_wrap=True)
    for sentence in describe_comparison(points, withheld):
        console.print(f"  {sentence}", markup=False, soft_wrap=True)
    console.print(
        f"\nThe page: {workspace.page}\nIts first chart is of all these runs, the rest of run "
        f"{run_id}",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"Its runs: collegium runs list --out {workspace.root}", markup=False)
