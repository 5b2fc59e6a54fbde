"""The table of one cohort: of each strategy the chosen settings, and what they reach."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context

import numpy as np

from collegium.simulation.baselines.scoring import TestPatients
from collegium.simulation.comparison.plan import POOLED_RECORDS, variants
from tests.long.results.choosing import STRATEGIES, chosen, figures, pooled
from tests.long.results.cohorts import COHORTS, PUBLISHED, Cohort

SEEDS, WORKERS = 5, 2


@lru_cache(maxsize=2)
def _cohort(name: str) -> Cohort:
    return COHORTS[name]()


def row(name: str, strategy: str) -> tuple[str, str, list[float], list[float]]:
    """Returns a strategy's settings, and its figure on all patients and by hospital, by seed.

    By hospital it is the plain mean over the hospitals that have one.
    """
    cohort = _cohort(name)
    study, hospitals = cohort.study, cohort.hospitals
    setting, _ = chosen(cohort, "fedavg" if strategy == POOLED_RECORDS else strategy)
    trainings = variants(study, [setting], SEEDS)[:SEEDS]
    if strategy == POOLED_RECORDS:
        trainings = tuple(pooled(study, setting, SEEDS))
    patients = TestPatients(study, hospitals)
    everybody, sites = [], []
    for variant in trainings:
        _, found = figures(study, hospitals, patients, variant)
        everybody.append(_known(found.get("", {}).get(cohort.figure)))
        own = [_known(found.get(site, {}).get(cohort.figure)) for site in hospitals]
        sites.append(float(np.nanmean(own)))
    return strategy, setting, everybody, sites


def _known(value: float | None) -> float:
    return np.nan if value is None else value


def lines(name: str) -> Iterator[str]:
    """Yields a line of the table for each strategy."""
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(row, name, one) for one in (*STRATEGIES, POOLED_RECORDS)]
        for job in jobs:
            strategy, setting, everybody, sites = job.result()
            mean, deviation = PUBLISHED[name].get(strategy, (np.nan, np.nan))
            told = "" if np.isnan(mean) else f"{mean:.3f} ± {deviation:.3f}"
            keys = setting.partition(":")[2].replace(":", ", ").replace("=", " ")
            yield (f"| {strategy} | {keys} | {_told(everybody)} | {told} | {_told(sites)} |")


def _told(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
