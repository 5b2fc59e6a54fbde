"""The demo: a bundled study in full at one epsilon, then without privacy and at others."""

from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.output.folder_page import finish_folder
from collegium.output.progress import Progress
from collegium.output.summary import summarise
from collegium.simulation.consortium import consortium
from collegium.simulation.pricing import budget_for
from collegium.simulation.records import partitioned_records
from collegium.simulation.runs import run_study
from collegium.simulation.settings import DEFAULT_BUDGET, SimulationSettings
from collegium.simulation.sweeps.grid import Grid, Job, plan_jobs
from collegium.simulation.sweeps.sweep import run_all
from collegium.studies.bundled import BundledStudy
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import new_run_id
from protocol.errors import WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside

#: Of the run that is shown in full.
EPSILON = 2.0
#: Of the others, with what is added to the model seed; None is the same training without privacy.
#: Twice where noise rules the result; the last is the newest run, which a dashboard opens.
OTHERS = ((None, 0), (0.1, 0), (0.1, 1), (0.5, 0), (EPSILON, 1))


def demo_study(bundled: BundledStudy) -> Study:
    """Returns the study of the run that the demo shows in full."""
    return bundled.study.with_epsilon(EPSILON)


def other_runs(study: Study) -> list[Job]:
    """Returns the runs beside the one that is shown in full."""
    grids = [Grid(epsilons=(e,), seeds=(study.seeds.model + more,)) for e, more in OTHERS]
    return [job for grid in grids for job in plan_jobs([study], grid)]


def run_demo(bundled: BundledStudy, out: Path, console: Console) -> dict[str, Any]:
    """Runs the demo in a new folder; an earlier demo's folder gives way to a numbered one."""
    study, index = demo_study(bundled), index_beside(bundled.study, bundled.document.parent)
    sweep = other_runs(study)
    workspace = _fresh(out)
    print_hospitals(bundled, console)
    settings = SimulationSettings(
        data=bundled.data, budget=budget_for([study, *(job.study for job in sweep)])
    )
    with Progress(console, study, runs=len(sweep)) as progress, workspace.at_work():
        progress.say("starting the hospitals")
        with consortium(workspace, study, settings, DEFAULT_BUDGET) as hospitals:
            run_id = run_study(hospitals, study, index, new_run_id(), None, progress)
            progress.say("the same study without privacy, and at other epsilons")
            run_all(hospitals, sweep, index, progress, settings.processes)
    result = finish_folder(workspace, run_id)
    summarise(result, workspace, console)
    return result


def print_hospitals(bundled: BundledStudy, console: Console) -> None:
    """Says which hospitals train together, with how many patients, and whose records these are."""
    records = partitioned_records(bundled.study, bundled.data)
    known = {site: own.num_patients for site, own in records.items()}
    console.print(
        f"[bold]Collegium[/bold]: {len(known)} hospitals train a model together, with "
        f"{sum(known.values())} real patients"
    )
    for site, count in known.items():
        where = bundled.hospitals.get(site, "invented, with real patients")
        console.print(f"  {site:<12} {count:>4}  {where}", markup=False, highlight=False)
    console.print(
        f"  ({bundled.source})\n"
        "Every record, key and privacy budget stays in its hospital; the coordinator sees sums.",
        markup=False,
        highlight=False,
    )


def _fresh(out: Path) -> Workspace:
    """Makes the folder; a demo may be repeated, so an earlier one is left alone, not refused."""
    for place in (out, *(out.with_name(f"{out.name}-{number}") for number in range(2, 100))):
        if not place.exists() or not any(place.iterdir()):
            return Workspace.create(place)
    raise WorkspaceRefused(f"--out {out} and 98 numbered folders are taken: remove some")
