"""Chooses the settings of both studies by cross-validation on training patients only.

Usage, from the repository's root:
    python examples/heart-disease/choose_settings.py FOLDER_WITH_THE_FOUR_FILES

Federated logistic regression is simulated in plain numpy, noise included, on
four fifths of every hospital's training patients and scored on the last fifth,
all hospitals pooled. Test patients are split off by split.csv and never read
after that. Among the settings whose mean AUROC is within 0.001 of the best, the
one with the fewest rounds is chosen, of those the one with the highest accuracy.

The choice itself looks at training patients and is not charged to any budget:
the four files have been public since 1989. On private records choose the
settings on public ones, or pay for the choice (docs/tuning.md).
"""

import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.splits import split
from pipelines.evaluation.metrics import accuracy, auroc
from protocol.study.study import Study
from protocol.study.study_file import read_study

HERE = Path(__file__).parent
EPSILON, DELTA = 1.0, 1e-4
FOLDS, REPEATS = 5, 10
WITHIN = 0.001


@dataclass(frozen=True, kw_only=True)
class SiteDatabase:
    """A hospital's training patients: features with a constant column, labels, folds, weight."""

    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    folds: NDArray[np.int64]  # (repeats, patients)
    weight: float

    def held_out(self, turn: int) -> NDArray[np.bool_]:
        """Returns which patients are scored, not trained on, in a turn of the cross-validation."""
        held: NDArray[np.bool_] = self.folds[turn // FOLDS] == turn % FOLDS
        return held


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One candidate; ``clip`` None means no privacy."""

    clip: float | None
    rounds: int
    local_steps: int
    learning_rate: float

    @property
    def steps(self) -> int:
        """Gradient steps of one hospital over the whole training."""
        return self.rounds * self.local_steps


@dataclass(frozen=True, kw_only=True)
class Result:
    """Means over folds and noise draws, and the spread of the AUROC."""

    setting: Setting
    auroc: float
    spread: float
    accuracy: float


def main(data: Path) -> None:
    """Prints the best candidates and the choice, for both studies."""
    study = read_study((HERE / "study.yaml").read_text(encoding="utf-8"), "study.yaml")
    hospitals = read_training_patients(study, data)
    private = [
        Setting(clip=clip, rounds=rounds, local_steps=1, learning_rate=rate)
        for clip, rounds, rate in itertools.product(
            (0.25, 0.5, 1.0, 2.0), (1, 2, 4, 8, 16), (0.5, 1.0, 2.0, 4.0, 8.0)
        )
    ]
    open_ = [
        Setting(clip=None, rounds=rounds, local_steps=steps, learning_rate=rate)
        for rounds, steps, rate in itertools.product(
            (5, 10, 20, 40), (1, 2, 5), (0.1, 0.3, 1.0, 2.0)
        )
    ]
    report(f"epsilon {EPSILON:g}, delta {DELTA:g} per hospital", private, hospitals, draws=5)
    report("no privacy", open_, hospitals, draws=1)


def read_training_patients(study: Study, data: Path) -> list[SiteDatabase]:
    """Returns every hospital's training part, dealt to folds; the test part is dropped here."""
    index = (HERE / "split.csv").read_bytes()
    deal = np.random.Generator(np.random.PCG64(5))
    hospitals = []
    for site in study.sites:
        records = load_cohort(study.cohort, data / str(site.records), site=site.name)
        train, _ = split(records, study.split, key=b"", site=site.name, index_file=index)
        ones = np.ones((len(train), 1))
        hospitals.append(
            SiteDatabase(
                features=np.concatenate([train.features.astype(np.float64), ones], axis=1),
                labels=train.labels.astype(np.float64),
                folds=np.stack([deal.permutation(len(train)) % FOLDS for _ in range(REPEATS)]),
                weight=study.weights[site.name],
            )
        )
    return hospitals


def report(
    title: str, settings: list[Setting], hospitals: list[SiteDatabase], *, draws: int
) -> None:
    """Prints the five best settings and the chosen one."""
    results = [cross_validate(setting, hospitals, draws) for setting in settings]
    results.sort(key=lambda result: -result.auroc)
    close = [result for result in results if result.auroc >= results[0].auroc - WITHIN]
    chosen = min(close, key=lambda result: (result.setting.rounds, -result.accuracy))
    print(f"{title}: {len(settings)} settings, {REPEATS} x {FOLDS} folds, {draws} draws")
    for mark, result in [*(("   ", r) for r in results[:5]), ("=> ", chosen)]:
        s = result.setting
        print(
            f"{mark}clip {s.clip} rounds {s.rounds} local_steps {s.local_steps} "
            f"learning_rate {s.learning_rate:g}: AUROC {result.auroc:.4f} "
            f"(sd {result.spread:.4f}), accuracy {result.accuracy:.4f}"
        )


def cross_validate(setting: Setting, hospitals: list[SiteDatabase], draws: int) -> Result:
    """Returns a setting's mean figures over folds and noise draws."""
    noise = np.random.Generator(np.random.PCG64(7))
    figures = [
        pair
        for turn in range(FOLDS * REPEATS)
        for pair in score(train(setting, hospitals, turn, draws, noise), hospitals, turn)
    ]
    areas, hits = np.array(figures).T
    return Result(
        setting=setting, auroc=areas.mean(), spread=areas.std(), accuracy=float(hits.mean())
    )


def train(
    setting: Setting,
    hospitals: list[SiteDatabase],
    turn: int,
    draws: int,
    noise: np.random.Generator,
) -> NDArray[np.float64]:
    """Returns (draws, parameters): federated averaging without the patients held out."""
    model = np.zeros((draws, hospitals[0].features.shape[1]))
    sigma = noise_multiplier(setting.steps) * setting.clip if setting.clip else 0.0
    whole = sum(hospital.weight for hospital in hospitals)
    for _ in range(setting.rounds):
        total = np.zeros_like(model)
        for hospital in hospitals:
            local = model.copy()
            for _ in range(setting.local_steps):
                gradient = clipped_sum(local, hospital, turn, setting.clip)
                gradient += noise.normal(size=local.shape) * sigma
                local -= setting.learning_rate * gradient / (~hospital.held_out(turn)).sum()
            total += hospital.weight / whole * local
        model = total
    return model


def clipped_sum(
    model: NDArray[np.float64], hospital: SiteDatabase, turn: int, clip: float | None
) -> NDArray[np.float64]:
    """Returns (draws, parameters): the sum of clipped gradients of every training patient."""
    kept = ~hospital.held_out(turn)
    features, labels = hospital.features[kept], hospital.labels[kept]
    residual = 1 / (1 + np.exp(-(model @ features.T))) - labels
    if clip is not None:
        norms = np.abs(residual) * np.linalg.norm(features, axis=1)
        residual *= np.minimum(1.0, clip / np.maximum(norms, 1e-12))
    gradient: NDArray[np.float64] = residual @ features
    return gradient


def score(
    models: NDArray[np.float64], hospitals: list[SiteDatabase], turn: int
) -> Iterator[tuple[float, float]]:
    """Yields the AUROC and accuracy of each model on the patients held out, hospitals pooled."""
    features = np.concatenate([h.features[h.held_out(turn)] for h in hospitals])
    labels = np.concatenate([h.labels[h.held_out(turn)] for h in hospitals])
    for logits in models @ features.T:
        area, hits = auroc(logits, labels), accuracy(logits, labels)
        if area is not None and hits is not None:
            yield area, hits


def noise_multiplier(steps: int) -> float:
    """Returns the noise multiplier at which ``steps`` full-batch steps cost EPSILON at DELTA.

    Without sampling, steps of a Gaussian mechanism compose to a single one.
    Source: Balle and Wang 2018, arXiv 1805.06530, theorem 8.
    """
    cdf = NormalDist().cdf
    low, high = 0.01, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        mu = 1 / middle
        spent = cdf(mu / 2 - EPSILON / mu) - math.exp(EPSILON) * cdf(-mu / 2 - EPSILON / mu)
        low, high = (middle, high) if spent > DELTA else (low, middle)
    return high * math.sqrt(steps)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
