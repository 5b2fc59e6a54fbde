"""Settings of strategies, chosen on training patients alone.

Each setting of a strategy is trained on four fifths of every hospital's training patients and
judged on the rest, five times; the one with the best mean figure on all of these is taken, of equal
ones the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from collegium.simulation.baselines.scoring import Hospitals, TestPatients, scored_model
from collegium.simulation.comparison.plan import POOLED_RECORDS, Variant, variants
from pipelines.tasks.registry import task_of
from protocol.errors import StudyRefused
from protocol.study.study import Study
from silos.training.randomness import Entropy, FixedEntropy
from tests.long.results.cohorts import Cohort

_FOLDS, _SEED = 5, 1
#: Rounds and local steps, and learning rates of hospitals.
_LENGTHS, _RATES = ((20, 2), (20, 5)), (0.3, 1.0, 2.0)
#: What else a strategy is tried with.
_MORE: Mapping[str, Mapping[str, Sequence[float]]] = {
    "fedprox": {"mu": (0.01, 0.1)},
    "fedavgm": {"server_momentum": (0.5, 0.9)},
    "fedadam": {"server_learning_rate": (0.03, 0.1, 0.3)},
    "fedyogi": {"server_learning_rate": (0.03, 0.1, 0.3)},
    "fedadagrad": {"server_learning_rate": (0.1, 0.3, 1.0)},
    "mrmtl": {"pull": (0.1, 0.3, 1.0)},
    "ditto": {"pull": (0.1, 0.3, 1.0)},
    "interpolation": {"own_share": (0.25, 0.5)},
    "finetuning": {"own_rounds": (1, 5)},
    "perfedavg": {"own_rate": (0.01, 0.1)},
}
STRATEGIES = (
    "fedavg", "fedavgm", "fedprox", "scaffold", "fednova", "fedexp", "fedadam", "fedyogi",
    "fedadagrad", "mrmtl", "ditto", "interpolation", "finetuning", "perfedavg",
)  # fmt: skip


def settings_of(strategy: str) -> Iterator[str]:
    """Yields every setting of a strategy, as ``collegium compare`` takes it."""
    more = _MORE.get(strategy, {})
    for (rounds, steps), rate, *own in product(_LENGTHS, _RATES, *more.values()):
        keys = {"rounds": rounds, "local_steps": steps, "learning_rate": rate}
        keys |= dict(zip(more, own, strict=True))
        yield ":".join([strategy, *(f"{key}={value:g}" for key, value in keys.items())])


def figures(
    study: Study,
    hospitals: Hospitals,
    patients: TestPatients,
    variant: Variant,
    entropy: Entropy | None = None,
) -> tuple[float, dict[str, dict[str, float | None]]]:
    """Returns how good one training is on all test patients, and its figures of all and by site.

    The first is the task's headline; minus infinity where it diverged. Sampling and noise follow
    the variant's seed, unless they come from elsewhere.
    """
    entropy = entropy or FixedEntropy(variant.seed, simulated=True)
    scores = scored_model(variant.baseline, hospitals, patients, entropy).scores
    if scores is None:
        return -np.inf, {}
    labels, exact = patients.labels(), task_of(study.task, study.cohort).exact
    whole = [np.concatenate([one[site] for site in scores]) for one in (scores, labels)]
    found = {site: dict(exact(scores[site], labels[site])) for site in scores}
    headline, *_ = (all_of := dict(exact(*whole))).values()
    return -np.inf if headline is None else headline, {"": all_of, **found}


def chosen(cohort: Cohort, strategy: str) -> tuple[str, float]:
    """Returns the setting of a strategy with the best mean figure, and that figure."""
    study, folds = cohort.study, cohort.folds(_FOLDS, _SEED)
    tested = [TestPatients(study, fold) for fold in folds]
    best, found = "", -np.inf
    for setting in settings_of(strategy):
        try:
            (variant, *_) = variants(study, [setting], 1)
        except StudyRefused:  # such as steps beyond the global model
            continue
        each = [
            figures(study, fold, patients, variant)[0]
            for fold, patients in zip(folds, tested, strict=True)
        ]
        if np.mean(each) > found:
            best, found = setting, float(np.mean(each))
    return best, found


def pooled(study: Study, setting: str, seeds: int) -> list[Variant]:
    """Returns the trainings on all records in one place, with the settings of a strategy."""
    (first, *_) = variants(study, [setting], 1)
    return [one for one in variants(first.study, [setting], seeds) if one.name == POOLED_RECORDS]
