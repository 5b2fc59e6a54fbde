"""Sweeps: studies at several epsilons, seeds and modes of privacy, each run a Ray task.

Every task is a whole coordinator without torch; the hospitals are shared, so
each run of the sweep is charged to the same patients, as it would be in life.
Pooled references are trained beside them, in processes of their own.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collegium.output.progress import Watch, Watching
from collegium.simulation.baselines.pooled import PooledTrainer
from collegium.simulation.consortium import Consortium, consortium
from collegium.simulation.pricing import budget_for
from collegium.simulation.runs import run_task
from collegium.simulation.settings import SimulationSettings, require_network
from collegium.simulation.simulate import simulation_folder
from collegium.simulation.sweeps.grid import Grid, Job, plan_jobs
from compliance.facts.privacy_utility import POOLED
from coordinator.database.baselines import keep_reference
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import new_run_id
from pipelines.sources.faults import MAX_TOLD
from protocol.errors import CohortRefused, FederationError, StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.training.ray_runtime import here, ray


def sweep_studies(
    documents: Sequence[tuple[Study, Path]],
    out: Path,
    grid: Grid,
    settings: SimulationSettings,
    watch: Watch,
) -> list[str]:
    """Runs a sweep in an output folder and writes its page; returns the names of its runs.

    Args:
        documents: the studies and the folders that their documents lie in.
        out: the folder, new or used.
        grid: what is varied.
        settings: what the simulation is told beside the studies.
        watch: begins to show the sweep's progress.

    Raises:
        CohortRefused: a split puts more patients into a part than its hospital declares, or
            does not fit otherwise: nothing has begun.
        FederationError: see the tree; nothing that was finished is lost.
    """
    from collegium.output.folder_page import keep_sweep_page

    studies = [study for study, _ in documents]
    jobs = plan_jobs(studies, grid)
    settings.require_sources(studies[0])
    require_network(studies[0])
    index = _one_index(documents)
    if grid.splits:
        require_splits_fit([job.study for job in jobs], settings.data, index)
    runs = [job.study for job in jobs if job.mode != POOLED]
    enough = budget_for(runs)
    with (
        simulation_folder(out) as workspace,
        watch(studies[0], len(jobs), False) as progress,
    ):
        progress.say("starting the hospitals")
        with consortium(workspace, studies[0], settings, enough) as hospitals:
            run_ids = run_all(hospitals, jobs, index, progress, settings.processes)
    keep_sweep_page(workspace, run_ids)
    return run_ids


def require_splits_fit(studies: Sequence[Study], data: Path | None, index: bytes | None) -> None:
    """Refuses splits that a hospital's records do not fit, before anything is trained.

    Each split puts other numbers of patients into training and test; a run whose split
    does not fit would fail when its turn comes, and the sweep with it.

    Args:
        studies: of one question, which differ in their splits.
        data: the folder of the records.
        index: the bytes of the split's index file, where they name one.

    Raises:
        CohortRefused: every hospital and split that do not fit, once for each fault.
    """
    from collegium.simulation.records import partitioned_records, simulated_parts

    known = partitioned_records(studies[0], data)
    splits = {(study.seeds.split, _unit(study)): study for study in studies}
    told: dict[str, list[int]] = {}
    for study in splits.values():
        for site, records in known.items():
            try:
                simulated_parts(study, site, records, index)
            except CohortRefused as error:
                told.setdefault(str(error), []).append(study.seeds.model)
    if told:
        lines = [
            f"--splits: seed {', '.join(map(str, dict.fromkeys(seeds)))}: {fault}"
            for fault, seeds in told.items()
        ]
        more = len(lines) - MAX_TOLD
        raise CohortRefused(
            "\n".join(lines[:MAX_TOLD] + ([f"and {more} more faults"] if more > 0 else []))
        )


def _unit(study: Study) -> str:
    privacy = study.privacy
    return privacy.unit if isinstance(privacy, PatientPrivacy) else "patient"


def _one_index(documents: Sequence[tuple[Study, Path]]) -> bytes | None:
    found = {index_beside(study, folder) for study, folder in documents}
    if len(found) > 1:
        raise StudyRefused("split.file: the studies' index files differ: give them the same one")
    return found.pop()


def run_all(
    hospitals: Consortium,
    jobs: Sequence[Job],
    index: bytes | None,
    progress: Watching,
    processes: int,
) -> list[str]:
    """Trains side by side; returns the runs' ids in the jobs' order, references left out.

    Args:
        hospitals: started.
        jobs: the runs and references.
        index: the file that says which patients are tested on, if the study names one.
        progress: is told of each that has ended.
        processes: how many train references at most.

    Raises:
        FederationError: a training failed; the others are finished first.
    """
    sweep = new_run_id()
    names = [f"{sweep}-{place:03d}" for place in range(len(jobs))]
    waiting = _started(hospitals, jobs, names, index, sweep, processes)
    failures: list[FederationError] = []
    while waiting:
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        place = waiting.pop(reference)
        ended: str | dict[str, Any] | FederationError = ray.get(reference)
        if isinstance(ended, FederationError):
            failures.append(ended)
        elif isinstance(ended, dict):
            _keep(hospitals, names[place], sweep, jobs[place].study, ended)
        progress.run_finished(jobs[place].text)
    if failures:
        raise failures[0]
    return [name for name, job in zip(names, jobs, strict=True) if job.mode != POOLED]


def _started(
    hospitals: Consortium,
    jobs: Sequence[Job],
    names: Sequence[str],
    index: bytes | None,
    sweep: str,
    processes: int,
) -> dict[Any, int]:
    """Starts everything; references are shared among so many processes."""
    pooled = sum(job.mode == POOLED for job in jobs)
    trainers = itertools.cycle(
        [
            PooledTrainer.options(scheduling_strategy=here()).remote(  # type: ignore[attr-defined]
                hospitals.data, index
            )
            for _ in range(min(pooled, processes))
        ]
    )
    waiting = {}
    for place, (job, name) in enumerate(zip(jobs, names, strict=True)):
        if job.mode == POOLED:
            reference = next(trainers).train.remote(job.study)
        else:
            task = run_task.options(scheduling_strategy=here())
            reference = task.remote(hospitals, job.study, index, name, sweep)
        waiting[reference] = place
    return waiting


def _keep(
    hospitals: Consortium, name: str, sweep: str, study: Study, figures: dict[str, Any]
) -> None:
    workspace = Workspace.open(hospitals.root)
    store = Store(workspace.database)
    try:
        keep_reference(store, workspace.signing_key(), name, sweep, study, figures)
    finally:
        store.close()
