"""Membership inference: who was among a model's training patients?

The attacker knows every patient, trains models of its own with and without
each of them, and compares. Two attacks:

- LiRA (Carlini et al. 2022, arXiv 2112.03570): 16 to 64 models; the strongest for small tables.
- RMIA (Zarifzadeh et al. 2024, arXiv 2312.03262): 2 to 4 reference models; for costly networks.

Every model is attacked in turn with the help of the others, so that few models
give many guesses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.evaluation.metrics import auroc
from pipelines.gradients.clipping import scores
from pipelines.records import Records

Floats = NDArray[np.float64]
Members = NDArray[np.bool_]

FALSE_ALARMS = 0.01
_RESAMPLES = 300
_REFERENCES = 4
_GAMMA = 2.0


@dataclass(frozen=True, kw_only=True)
class AttackEstimate:
    """A figure with its 95 % interval, by resampling attacked models and patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Membership:
    """An attack's success in telling members from others.

    ``true_alarms`` is the share of members found while 1 % of the others are
    accused. Guessing gives an ``auroc`` of 0.5 and ``true_alarms`` of 0.01.
    ``advantage`` is the share of members that are called members less that of others who are, at
    the limit which is best for the other half of the patients: guessing gives 0.
    """

    attack: str
    models: int
    patients: int
    auroc: AttackEstimate
    true_alarms: AttackEstimate
    advantage: AttackEstimate


def halves(models: int, patients: int, random: np.random.Generator) -> Members:
    """Returns (models, patients): each patient is in half of the models, at random.

    Raises:
        ValueError: the number of models is odd, or below 4.
    """
    if models < 4 or models % 2:
        raise ValueError(f"an even number of models, at least 4, is needed: {models}")
    half = np.arange(models) < models // 2
    return np.stack([random.permutation(half) for _ in range(patients)], axis=1)


def margins(logits: Floats, labels: Floats) -> Floats:
    """Returns each patient's logit of the true label: how sure the model is, and right."""
    return np.where(labels > 0, logits, -logits)


def lira(sure: Floats, members: Members) -> Floats:
    """Returns (models, patients) scores, each model attacked with the help of all others.

    Args:
        sure: (models, patients) margins.
        members: (models, patients) who trained which model.

    A Gaussian for in and one for out for each patient, with a common deviation.

    Source: Carlini et al. 2022, algorithm 1 with the fixed variance of section VI.B.
    """
    found = np.zeros_like(sure)
    for target in range(len(sure)):
        others = np.arange(len(sure)) != target
        inside = _law(sure[others], members[others])
        outside = _law(sure[others], ~members[others])
        found[target] = _log_density(sure[target], *inside) - _log_density(sure[target], *outside)
    return found


def rmia(sure: Floats, members: Members) -> Floats:
    """Returns (models, patients) scores, each model attacked with at most four others.

    A patient's score is the share of other patients whose probability rose
    clearly less, from the reference models to the attacked one.

    Source: Zarifzadeh et al. 2024, equations 3 to 5; p(x) is the mean of the references with
    and of those without the patient.
    """
    chances = 1 / (1 + np.exp(-np.clip(sure, -30, 30)))
    found = np.zeros_like(sure)
    for target in range(len(sure)):
        references = np.array([n for n in range(len(sure)) if n != target][:_REFERENCES])
        sides = [
            _mean_where(chances[references], members[references] == side) for side in (True, False)
        ]
        usual = np.nanmean(np.stack(sides), axis=0)
        ratio = chances[target] / usual
        order = np.sort(ratio)
        found[target] = np.searchsorted(order, ratio / _GAMMA, side="right") / len(ratio)
        found[target] += 1e-9 * ratio  # breaks ties
    return found


def measure(
    attack: str, found: Floats, members: Members, random: np.random.Generator
) -> Membership:
    """Returns how well the scores tell members from others, with intervals.

    Raises:
        ValueError: there are no members, or no others.
    """
    if members.all() or not members.any():
        raise ValueError("an attack needs members and others")
    models, patients = found.shape
    accused = _accused(found, members, random)
    areas, alarms = [_area(found, members)], [true_alarms(found, members)]
    leads = [_lead(accused, members)]
    while len(areas) <= _RESAMPLES:
        rows = random.integers(models, size=models)
        columns = random.integers(patients, size=patients)
        drawn = np.ix_(rows, columns)
        if members[drawn].all() or not members[drawn].any():
            continue  # of few others, chance may draw none
        areas.append(_area(found[drawn], members[drawn]))
        alarms.append(true_alarms(found[drawn], members[drawn]))
        leads.append(_lead(accused[drawn], members[drawn]))
    return Membership(
        attack=attack,
        models=models,
        patients=patients,
        auroc=_estimate(areas),
        true_alarms=_estimate(alarms),
        advantage=_estimate(leads),
    )


def true_alarms(found: Floats, members: Members) -> float:
    """Returns the share of members whose score only 1 % of the others reach.

    >>> members = np.arange(200) % 2 == 0
    >>> true_alarms(members * 1.0, members), true_alarms(np.zeros(200), members)
    (1.0, 0.0)
    """
    others = np.sort(found[~members])
    limit = others[len(others) - 1 - int(FALSE_ALARMS * len(others))]
    return float((found[members] > limit).mean())


def _accused(found: Floats, members: Members, random: np.random.Generator) -> Members:
    """Returns whom the attacker calls members, by limits that their own scores did not choose.

    The best limit of the scores that are judged by it would find members where none are.
    """
    half = random.integers(2, size=found.shape[1]) == 1
    accused = np.zeros(found.shape, dtype=np.bool_)
    for tried in (half, ~half):
        accused[:, tried] = found[:, tried] > _best_limit(found[:, ~tried], members[:, ~tried])
    return accused


def _best_limit(found: Floats, members: Members) -> float:
    """Returns the limit above which most members lie, and fewest others; infinity of neither."""
    if members.all() or not members.any():
        return float("inf")
    values = np.unique(found)
    inside, outside = np.sort(found[members]), np.sort(found[~members])
    above = [
        1 - np.searchsorted(part, values, side="right") / len(part) for part in (inside, outside)
    ]
    return float(values[np.argmax(above[0] - above[1])])


def _lead(accused: Members, members: Members) -> float:
    """Returns the share of members who are accused less that of others (Yeom et al. 2018)."""
    return float(accused[members].mean() - accused[~members].mean())


def overtrained(
    make: Callable[[], nn.Module], records: Records, steps: int, rate: float = 0.02
) -> nn.Module:
    """Returns a network trained far too long, without protection: an attack must find its members.

    An attack that fails even here can find no members: what it says elsewhere means nothing.
    """
    module = make()
    features, labels = torch.from_numpy(records.features[:]), torch.from_numpy(records.labels[:])
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    module.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(module(features).reshape(-1), labels)
        torch.autograd.backward(loss)
        optimiser.step()
    return module


def patient_logits(module: nn.Module, records: Records) -> Floats:
    """Returns each patient's mean logit."""
    logits = scores(module, records.features[:]).astype(np.float64)
    counts = np.bincount(records.patients)
    return np.asarray(np.bincount(records.patients, weights=logits) / counts)


def _law(sure: Floats, chosen: Members) -> tuple[Floats, float]:
    centre = _mean_where(sure, chosen)
    spread = np.square(np.where(chosen, sure - centre, 0.0)).sum()
    freedom = max(1, int(chosen.sum()) - sure.shape[1])
    return centre, float(spread / freedom) + 1e-12


def _mean_where(values: Floats, chosen: Members) -> Floats:
    """Returns each column's mean over its chosen entries; NaN where none is."""
    counts = chosen.sum(axis=0)
    totals = np.where(chosen, values, 0.0).sum(axis=0)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _log_density(values: Floats, centre: Floats, variance: float) -> Floats:
    return np.asarray(-0.5 * np.square(values - centre) / variance - 0.5 * np.log(variance))


def _area(found: Floats, members: Members) -> float:
    area = auroc(found.ravel(), members.ravel().astype(np.float64))
    return 0.5 if area is None else area


def _estimate(values: list[float]) -> AttackEstimate:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return AttackEstimate(value=values[0], low=float(low), high=float(high))
