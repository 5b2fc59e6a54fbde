"""The demo: the bundled study once, then three epsilons at two seeds, in about a minute."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.output.progress import Progress
from collegium.output.summary import finish_folder, summarise
from collegium.simulation.consortium import DEFAULT_BUDGET, Settings, consortium
from collegium.simulation.pricing import budget_for
from collegium.simulation.runs import new_run_id, run_study
from collegium.simulation.sweep import Grid, plan_jobs, run_all
from coordinator.database.workspace import Workspace
from protocol.errors import WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study

EPSILONS = (0.1, 1.0, 2.0)
SEEDS = (1, 2)


def demo_study() -> Study:
    """Returns the study that the demo runs."""
    text = (files("collegium") / "studies" / "breast-cancer.yaml").read_text(encoding="utf-8")
    return read_study(text, source="breast-cancer.yaml")


def run_demo(out: Path, console: Console) -> dict[str, Any]:
    """Runs the demo in a new folder; an earlier demo's folder gives way to a numbered one."""
    study = demo_study()
    sweep = plan_jobs([study], Grid(epsilons=EPSILONS, seeds=SEEDS))
    workspace = _fresh(out)
    console.print(
        f"[bold]Collegium[/bold]: {len(study.sites)} hospitals train together on 569 real "
        "patients.\n"
        "Every record, key and privacy budget stays in its hospital; the coordinator sees sums."
    )
    settings = Settings(budget=budget_for([study, *(job.study for job in sweep)]))
    with Progress(console, study, runs=len(sweep)) as progress, workspace.at_work():
        progress.say("starting the hospitals")
        with consortium(workspace, study, settings, DEFAULT_BUDGET) as hospitals:
            run_id = run_study(hospitals, study, None, new_run_id(), None, progress)
            progress.say(f"the same study at epsilon {', '.join(f'{e:g}' for e in EPSILONS)}")
            run_all(hospitals, sweep, None, progress)
    result = finish_folder(workspace, run_id)
    summarise(result, workspace, console)
    return result


def _fresh(out: Path) -> Workspace:
    """Makes the folder; a demo may be repeated, so an earlier one is left alone, not refused."""
    for place in (out, *(out.with_name(f"{out.name}-{number}") for number in range(2, 100))):
        if not place.exists() or not any(place.iterdir()):
            return Workspace.create(place)
    raise WorkspaceRefused(f"--out {out} and 98 numbered folders are taken: remove some")
