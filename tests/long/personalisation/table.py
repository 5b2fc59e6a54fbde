"""The table of one cohort at one epsilon: training alone, MR-MTL with each pull, and FedAvg.

Rows of as many steps draw the same patients and the same noise, whatever they make of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import product
from multiprocessing import get_context

import numpy as np
from scipy.stats import t as student

from collegium.simulation.baselines.scoring import TestPatients
from collegium.simulation.comparison.plan import variants
from protocol.errors import StudyRefused
from tests.long.communication.utility import SameNoise
from tests.long.personalisation.cohorts import COHORTS, X_RAYS
from tests.long.results.choosing import figures
from tests.long.results.cohorts import Cohort

EPSILONS = (1.0, 4.0)
ALONE, AVERAGED = "alone", "fedavg"
#: By how much of the way to the mean a step goes back, ``pull`` times ``learning_rate``, and the
#: own model in the end, ``last_pull``.
PULLS = (0.03, 0.1, 0.3, 0.6, 0.9, 0.99)
ROWS = (ALONE, *(f"{pull:g}" for pull in PULLS), AVERAGED)
SEEDS: Mapping[str, int] = {name: 5 if name == X_RAYS else 20 for name in COHORTS}
_FOLDS, _WORKERS = 5, 2
#: A hospital with fewer test patients of either outcome has no AUROC here.
FEWEST = 5


def grid(name: str) -> tuple[tuple[tuple[int, int], ...], tuple[float, ...]]:
    """Returns the rounds with local steps, and the learning rates, that every row is tried with.

    Tables are small, and every patient is in every step; of images one in twenty is.
    """
    if name == X_RAYS:
        return ((10, 10), (100, 1)), (0.5, 1.0, 2.0)
    return ((24, 1), (72, 1)), (0.5, 2.0, 8.0)


def setting(row: str, rounds: int, steps: int, rate: float) -> str:
    """Returns a row with these keys, as ``collegium compare`` takes it."""
    share = 0.0 if row in {ALONE, AVERAGED} else float(row)
    pulls = f":pull={share / rate:g}:last_pull={share:g}" if share else ":pull=0"
    own = "fedavg" if row == AVERAGED else f"mrmtl{pulls}"
    return f"{own}:rounds={rounds}:local_steps={steps}:learning_rate={rate:g}"


@lru_cache(maxsize=1)
def _cohort(name: str, epsilon: float) -> Cohort:
    found = COHORTS[name]()
    return Cohort(
        name=found.name,
        study=found.study.with_epsilon(epsilon),
        hospitals=found.hospitals,
        figure=found.figure,
    )


def chosen(name: str, epsilon: float, row: str) -> str:
    """Returns the keys of a row with the best mean figure of hospitals on training patients."""
    cohort = _cohort(name, epsilon)
    folds = [*cohort.folds(_FOLDS, 1), *cohort.folds(_FOLDS, 2)][: 1 if name == X_RAYS else None]
    tested = [TestPatients(cohort.study, fold) for fold in folds]
    best, found = "", -np.inf
    for (rounds, steps), rate in product(*grid(name)):
        asked = setting(row, rounds, steps, rate)
        try:
            trainings = variants(cohort.study, [asked], len(folds))[: len(folds)]
        except StudyRefused:
            continue
        each = []
        for fold, patients, training in zip(folds, tested, trainings, strict=True):
            entropy = SameNoise(training.seed, simulated=True)
            _, known = figures(cohort.study, fold, patients, training, entropy)
            each.append(np.nanmean(_by_site(cohort, known, patients)))
        if np.mean(each) > found:
            best, found = asked, float(np.mean(each))
    return best


def _by_site(
    cohort: Cohort, known: Mapping[str, Mapping[str, float | None]], patients: TestPatients
) -> list[float]:
    """Returns each hospital's figure; none where an AUROC would be of a few patients' order."""
    found = []
    for site, labels in patients.labels().items():
        one = known.get(site, {}).get(cohort.figure)
        few = cohort.figure == "auroc" and min(labels.sum(), (1 - labels).sum()) < FEWEST
        found.append(np.nan if one is None or few else one)
    return found


def trained(name: str, epsilon: float, row: str) -> tuple[str, str, list[list[float]]]:
    """Returns a row, its keys, and each hospital's figure of each of its trainings."""
    cohort = _cohort(name, epsilon)
    asked, count = chosen(name, epsilon, row), SEEDS[name]
    patients = TestPatients(cohort.study, cohort.hospitals)
    found = []
    for training in variants(cohort.study, [asked], count)[:count]:
        entropy = SameNoise(training.seed, simulated=True)
        _, known = figures(cohort.study, cohort.hospitals, patients, training, entropy)
        found.append(_by_site(cohort, known, patients))
    return row, asked, found


def lead(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Returns the mean of paired differences and its 95 % interval (Student's t)."""
    apart = np.subtract(ours, theirs)
    reach = student.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / len(apart) ** 0.5
    return float(apart.mean()), float(apart.mean() - reach), float(apart.mean() + reach)


def lines(name: str, epsilon: float) -> Iterator[str]:
    """Yields a line of the table for each row: keys, mean and worst hospital, and leads."""
    with ProcessPoolExecutor(max_workers=_WORKERS, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(trained, name, epsilon, row) for row in ROWS]
        found = {
            row: (keys, np.array(figures)) for row, keys, figures in (j.result() for j in jobs)
        }
    means = {row: np.nanmean(figures, axis=1) for row, (_, figures) in found.items()}
    worst = {row: np.nanmin(figures, axis=1) for row, (_, figures) in found.items()}
    for row, (keys, _) in found.items():
        told = ", ".join(one.replace("=", " ") for one in keys.split(":") if "=" in one)
        yield " | ".join([
            f"| {row}", told, f"{means[row].mean():.3f}", f"{worst[row].mean():.3f}",
            _told(lead(means[row], means[AVERAGED])), _told(lead(worst[row], worst[AVERAGED])),
            f"{_told(lead(means[row], means[ALONE]))} |",
        ])  # fmt: skip


def _told(found: tuple[float, float, float]) -> str:
    value, low, high = found
    return "" if value == low == high == 0 else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
