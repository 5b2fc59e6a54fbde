"""Sweeps: one study at several epsilons and seeds, each run a Ray task.

Every task is a whole coordinator without torch; the hospitals are shared, so
each run of the sweep is charged to the same patients, as it would be in life.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from collegium.consortium import Consortium, Settings, consortium, index_file
from collegium.pricing import budget_for
from collegium.progress import Progress
from collegium.runs import new_run_id, run_task
from collegium.simulation import fresh_workspace, with_budget
from compliance.accounting import calibrate
from protocol.errors import FederationError, StudyRefused
from protocol.study import DistributedPrivacy, NoPrivacy, Study

_MOST_RUNS = 400


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
    """Returns the seeds of a comma-separated list.

    >>> parse_seeds("1,2, 3")
    (1, 2, 3)

    Raises:
        StudyRefused: an entry is not a whole number from 0 to 2**53 - 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) < 2**53 for part in parts):
        raise StudyRefused(f"--seeds: {text!r} is not a list of whole numbers such as 1,2,3")
    return tuple(dict.fromkeys(int(part) for part in parts))


def variants(study: Study, epsilons: Sequence[float | None], seeds: Sequence[int]) -> list[Study]:
    """Returns the studies of a sweep, in the order they are run.

    Raises:
        StudyRefused: too many, or an epsilon for a study that declares no privacy.
    """
    if len(epsilons) * len(seeds) > _MOST_RUNS:
        raise StudyRefused(f"a sweep of more than {_MOST_RUNS} runs: take fewer")
    if isinstance(study.privacy, NoPrivacy) and any(epsilon is not None for epsilon in epsilons):
        raise StudyRefused(
            "privacy.mode is none, so there is no clip and delta to go with an epsilon: "
            "declare mode local"
        )
    return [_at(study, epsilon).with_seed(seed) for epsilon in epsilons for seed in seeds]


def _at(study: Study, epsilon: float | None) -> Study:
    """Returns the study at another epsilon; distributed noise is declared with it."""
    privacy = study.privacy
    if epsilon is None or not isinstance(privacy, DistributedPrivacy):
        return study.with_epsilon(epsilon)
    noise_multiplier = calibrate(
        epsilon=epsilon,
        delta=privacy.delta,
        sampling_rate=privacy.sampling_rate,
        steps=study.releases,
    )
    return study.with_noise(epsilon, noise_multiplier)


def sweep_study(
    study: Study,
    folder: Path,
    out: Path,
    grid: tuple[Sequence[float | None], Sequence[int]],
    settings: Settings,
    console: Console,
) -> dict[str, Any]:
    """Runs a sweep in a new output folder; returns every run's JSON."""
    from collegium.show import finish_folder, summarise_sweep

    studies = variants(study, *grid)
    settings.require_sources(study)
    index = index_file(study, folder)
    priced = with_budget(settings, budget_for(studies))
    with fresh_workspace(out) as workspace, Progress(console, study, runs=len(studies)) as progress:
        progress.say("starting the hospitals")
        with consortium(workspace, study, priced) as hospitals:
            runs = run_all(hospitals, studies, index, progress)
    results = [finish_folder(workspace, run_id) for run_id in runs]
    summarise_sweep(results, workspace, console)
    return {"study": study.name, "runs": results}


def run_all(
    hospitals: Consortium, studies: Sequence[Study], index: bytes | None, progress: Progress
) -> list[str]:
    """Runs studies side by side; returns the runs' ids in the studies' order.

    Raises:
        FederationError: a run failed; the others are finished first.
    """
    sweep = new_run_id()
    waiting = {
        run_task.remote(hospitals, study, index, f"{sweep}-{place:03d}", sweep): place
        for place, study in enumerate(studies)
    }
    ended: dict[int, str | FederationError] = {}
    while waiting:
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        ended[waiting.pop(reference)] = ray.get(reference)
        progress.run_finished()
    failures = [end for end in ended.values() if isinstance(end, FederationError)]
    if failures:
        raise failures[0]
    return [str(ended[place]) for place in sorted(ended)]
