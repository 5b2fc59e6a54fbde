"""Sweeps: studies at several epsilons, seeds and modes of privacy, each run a Ray task.

Every task is a whole coordinator without torch; the hospitals are shared, so
each run of the sweep is charged to the same patients, as it would be in life.
Pooled references are trained beside them, in processes of their own.
"""

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collegium.output.progress import Watch, Watching
from collegium.simulation.consortium import Consortium, consortium
from collegium.simulation.pooled_baseline import PooledTrainer
from collegium.simulation.pricing import budget_for
from collegium.simulation.runs import run_task
from collegium.simulation.settings import Settings
from collegium.simulation.simulate import simulation_folder
from compliance.facts.privacy_utility import DISTRIBUTED, MODES, NONE, PER_SITE, POOLED
from compliance.governance.study_store import index_beside
from compliance.privacy.accounting import calibrate
from coordinator.database.baselines import keep_reference
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import new_run_id
from pipelines.sources.faults import MAX_TOLD
from protocol.errors import CohortRefused, FederationError, StudyRefused
from protocol.study.privacy import DistributedPrivacy, NoPrivacy, PatientPrivacy
from protocol.study.study import Study
from protocol.study.variants import as_distributed, as_per_site, question, with_fresh_split
from silos.training.ray_runtime import ray

_MAX_RUNS = 400
#: What drawing the split again costs the patients.
ANEW = (
    "Who is tested on in one split is trained on in another: each run is charged to every patient "
    "in full, for training and evaluation. Real hospitals split their patients once, for life."
)
_MAX_NOISE = 1000.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a sweep varies; ``modes`` is empty where every study runs in its own.

    With ``splits`` each seed draws its own split of the patients into training and test.
    """

    epsilons: tuple[float | None, ...]
    seeds: tuple[int, ...]
    modes: tuple[str, ...] = ()
    splits: bool = False

    @property
    def warning(self) -> str:
        """What drawing the split again costs the patients; empty where it costs them nothing."""
        protected = any(epsilon is not None for epsilon in self.epsilons)
        return ANEW if self.splits and protected else ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training of a sweep: a run of the consortium, or a pooled reference."""

    mode: str
    study: Study

    @property
    def words(self) -> str:
        """What a person calls it."""
        privacy = self.study.privacy
        epsilon = "" if isinstance(privacy, NoPrivacy) else f", epsilon {privacy.epsilon:g}"
        return f"{MODES[self.mode]}{epsilon}, seed {self.study.seeds.model}"


def parse_epsilons(text: str) -> tuple[float | None, ...]:
    """Returns the epsilons of a comma-separated list; ``none`` is no privacy.

    >>> parse_epsilons("0.5, 2,none")
    (0.5, 2.0, None)

    Raises:
        StudyRefused: an entry is not a number above zero.
    """
    epsilons: list[float | None] = []
    for part in text.split(","):
        if part.strip().lower() == "none":
            epsilons.append(None)
            continue
        try:
            epsilon = float(part)
        except ValueError:
            raise StudyRefused(
                f"--epsilon: {part.strip()!r} is neither a number nor none"
            ) from None
        if not 0 < epsilon < math.inf:
            raise StudyRefused(f"--epsilon: {part.strip()} must be finite and above zero")
        epsilons.append(epsilon)
    return tuple(dict.fromkeys(epsilons))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds of a comma-separated list of numbers and ranges.

    >>> parse_seeds("1,2, 3"), parse_seeds("7,1-3")
    ((1, 2, 3), (7, 1, 2, 3))

    Raises:
        StudyRefused: an entry is neither a whole number from 0 to 2**53 - 1 nor a range of them.
    """
    seeds: list[int] = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isdecimal() and int(end) < 2**53 for end in ends):
            raise StudyRefused(
                f"--seeds: {text!r} is not a list of whole numbers or ranges such as 1,2,3 or 1-10"
            )
        first, last = int(ends[0]), int(ends[-1])
        if not first <= last < first + _MAX_RUNS:
            raise StudyRefused(
                f"--seeds: {part.strip()} must be a rising range of at most {_MAX_RUNS} seeds"
            )
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def parse_modes(text: str) -> tuple[str, ...]:
    """Returns the modes of a comma-separated list.

    >>> parse_modes("per_site, pooled")
    ('per_site', 'pooled')

    Raises:
        StudyRefused: an entry is no mode, or there is nothing but the reference.
    """
    modes = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    unknown = [mode for mode in modes if mode not in (PER_SITE, DISTRIBUTED, POOLED)]
    if unknown:
        raise StudyRefused(
            f"--modes: {unknown[0]!r} is not one of {PER_SITE}, {DISTRIBUTED}, {POOLED}; "
            "no privacy is --epsilon none"
        )
    if modes == (POOLED,):
        raise StudyRefused("--modes: pooled is a reference: name per_site or distributed beside it")
    return modes


def plan_jobs(studies: Sequence[Study], grid: Grid) -> list[Job]:
    """Returns what a sweep trains, in order.

    Each mode is the study declared in it, or else derived from the first one;
    so are the pooled reference and the runs without privacy, once each.

    Raises:
        StudyRefused: too many, studies that cannot be compared, or no way into a mode.
    """
    _require_comparable(studies)
    own: dict[str, Study] = {study.privacy.mode: study for study in studies}
    first = studies[0]
    modes = grid.modes or tuple(own)
    if len(modes) * len(grid.epsilons) * len(grid.seeds) > _MAX_RUNS:
        raise StudyRefused(f"a sweep of more than {_MAX_RUNS} runs: take fewer")
    if NONE in own and (grid.modes or any(epsilon is not None for epsilon in grid.epsilons)):
        raise StudyRefused(
            "privacy.mode is none, so there is no clip and delta to go with an epsilon: "
            "declare mode per_site"
        )
    left_out = [study.name for mode, study in own.items() if mode not in modes]
    if left_out and len(studies) > 1:
        raise StudyRefused(f"--modes leaves out the mode of study {left_out[0]}: add it")
    by_mode = {mode: own.get(mode) or _in_mode(first, mode) for mode in modes}
    jobs = []
    for epsilon in grid.epsilons:
        if epsilon is None:  # the mode of protecting is then no difference
            varied = {NONE: first} | ({POOLED: first} if POOLED in modes else {})
        else:
            varied = by_mode
        studied = [(mode, at_epsilon(study, epsilon)) for mode, study in varied.items()]
        jobs += [
            Job(mode=mode, study=_repeated(study, seed, grid))
            for (mode, study), seed in itertools.product(studied, grid.seeds)
        ]
    return jobs


def _repeated(study: Study, seed: int, grid: Grid) -> Study:
    seeded = study.with_seed(seed)
    return with_fresh_split(seeded) if grid.splits else seeded


def _require_comparable(studies: Sequence[Study]) -> None:
    first = studies[0]
    for study in studies[1:]:
        if (question(study), study.seeds.split) != (question(first), first.seeds.split):
            raise StudyRefused(
                f"studies {first.name} and {study.name} do not ask the same question: cohort, "
                "sites and their records, partition, split, split seed and task must be equal"
            )
        if _delta(study) != _delta(first):
            raise StudyRefused(
                f"studies {first.name} and {study.name} promise different deltas: an epsilon of "
                "one is not an epsilon of the other"
            )
    modes = [study.privacy.mode for study in studies]
    twice = [mode for mode in modes if modes.count(mode) > 1]
    if twice:
        raise StudyRefused(
            f"two studies of mode {twice[0]}: their points could not be told apart; sweep them "
            "one after the other"
        )


def _delta(study: Study) -> float | None:
    return None if isinstance(study.privacy, NoPrivacy) else study.privacy.delta


def _in_mode(study: Study, mode: str) -> Study:
    if mode == POOLED:
        return study
    return as_per_site(study) if mode == PER_SITE else as_distributed(study)


def at_epsilon(study: Study, epsilon: float | None) -> Study:
    """Returns the study at another epsilon; distributed noise is declared with it.

    None is the reference without privacy: the same training without the noise.

    Raises:
        StudyRefused: shared noise for so small an epsilon would leave nothing to learn.
        ValueError: the study is without privacy, so no clip and delta go with an epsilon.
    """
    privacy = study.privacy
    if epsilon is None:
        return study.without_noise()
    if not isinstance(privacy, DistributedPrivacy):
        return study.with_epsilon(epsilon)
    noise_multiplier = calibrate(
        epsilon=epsilon,
        delta=privacy.delta,
        sampling_rate=privacy.sampling_rate,
        steps=study.releases,
    )
    if noise_multiplier > _MAX_NOISE:
        raise StudyRefused(
            f"--epsilon: {epsilon:g} over {study.releases} steps needs a noise multiplier of "
            f"{noise_multiplier:.0f}: nothing could be learned; raise it, or take fewer steps"
        )
    return study.with_noise(epsilon, noise_multiplier)


def sweep_studies(
    documents: Sequence[tuple[Study, Path]],
    out: Path,
    grid: Grid,
    settings: Settings,
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
    from collegium.output.summary import keep_sweep_page

    studies = [study for study, _ in documents]
    jobs = plan_jobs(studies, grid)
    settings.require_sources(studies[0])
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
            run_ids = run_all(hospitals, jobs, index, progress)
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
    hospitals: Consortium, jobs: Sequence[Job], index: bytes | None, progress: Watching
) -> list[str]:
    """Trains side by side; returns the runs' ids in the jobs' order, references left out.

    Raises:
        FederationError: a training failed; the others are finished first.
    """
    sweep = new_run_id()
    names = [f"{sweep}-{place:03d}" for place in range(len(jobs))]
    waiting = _started(hospitals, jobs, names, index, sweep)
    failures: list[FederationError] = []
    while waiting:
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        place = waiting.pop(reference)
        ended: str | dict[str, Any] | FederationError = ray.get(reference)
        if isinstance(ended, FederationError):
            failures.append(ended)
        elif isinstance(ended, dict):
            _keep(hospitals, names[place], sweep, jobs[place].study, ended)
        progress.run_finished(jobs[place].words)
    if failures:
        raise failures[0]
    return [name for name, job in zip(names, jobs, strict=True) if job.mode != POOLED]


def _started(
    hospitals: Consortium,
    jobs: Sequence[Job],
    names: Sequence[str],
    index: bytes | None,
    sweep: str,
) -> dict[Any, int]:
    """Starts everything; references are dealt to as many processes as there are CPUs."""
    pooled = sum(job.mode == POOLED for job in jobs)
    trainers = itertools.cycle(
        [
            PooledTrainer.remote(hospitals.data, index)  # type: ignore[attr-defined]
            for _ in range(min(pooled, os.cpu_count() or 1))
        ]
    )
    waiting = {}
    for place, (job, name) in enumerate(zip(jobs, names, strict=True)):
        if job.mode == POOLED:
            reference = next(trainers).train.remote(job.study)
        else:
            reference = run_task.remote(hospitals, job.study, index, name, sweep)
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
