"""The tables of docs/robustness.md: poisoned runs by rule, and minorities by rule."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context

import numpy as np

from protocol.study.study import Study
from tests.long.poisoning.attacks import ATTACKS
from tests.long.poisoning.cohorts import COHORTS, HEART, Cohort, in_groups, noised
from tests.long.poisoning.minority import MINORITIES, told
from tests.long.poisoning.training import auroc_of

SEEDS, WORKERS = 5, 2
#: How the noise of a run is named.
NOISES = ("none", "per site")


@lru_cache(maxsize=2)
def cohort_of(name: str) -> Cohort:
    """Returns a cohort, read once."""
    return COHORTS[name]()


def studies_of(cohort: Cohort, noise: str) -> tuple[Study, Study]:
    """Returns a cohort's study with the mean of all hospitals, and with the median of groups."""
    study = noised(cohort.study) if noise == NOISES[1] else cohort.study
    return study, in_groups(study)


def aurocs(name: str, noise: str, attack: str, seeds: Sequence[int]) -> list[list[float]]:
    """Returns the AUROC by seed, with the mean and with the median."""
    cohort = cohort_of(name)
    return [
        [auroc_of(cohort, study, attack, seed) for seed in seeds]
        for study in studies_of(cohort, noise)
    ]


def poisoned_row(name: str, noise: str, attack: str) -> str:
    """Returns a line of a cohort's table."""
    plain, median = aurocs(name, noise, attack, range(SEEDS))
    return f"| {noise} | {attack} | {_told(plain)} | {_told(median)} |"


def minority_row(minority: str) -> str:
    """Returns a line of the table of minorities."""
    cohort = cohort_of(HEART)
    cells, ill = [], 0.0
    for study in studies_of(cohort, NOISES[0]):
        found = [told(cohort, study, minority, seed) for seed in range(SEEDS)]
        risk, ill, accuracy = np.mean(found, axis=0)
        cells += [f"{risk:.2f}", f"{accuracy:.2f}"]
    return f"| {minority} | {ill:.2f} | {' | '.join(cells)} |"


def lines() -> Iterator[str]:
    """Yields both tables, heading by heading."""
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=get_context("spawn")) as pool:
        for name in COHORTS:
            jobs = [
                pool.submit(poisoned_row, name, noise, attack)
                for noise in NOISES
                for attack in ATTACKS
            ]
            yield f"\n{name}\n"
            yield from (job.result() for job in jobs)
        yield "\nminorities\n"
        yield from pool.map(minority_row, MINORITIES)


def _told(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
