"""Attacks on the noise: what a hospital releases when an auditor chooses the gradients."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from collegium.redteam_bench import (
    Chances,
    Floats,
    MakeTrainer,
    build_model,
    canary_trainer,
    local_privacy,
    varied,
)
from compliance.accounting import SampledGaussian, epsilon
from compliance.auditing import (
    Check,
    OneRun,
    audit_in_runs,
    check_independence,
    check_residues,
    check_sampling,
    check_shape,
    check_variance,
    check_whole_numbers,
    guess,
)
from pipelines.canaries import ChosenGradients, Directions
from protocol.noise_shares import units_for
from protocol.study import Study
from protocol.tensors import Tensors, flatten, layout_of
from silos.entropy import Moment
from silos.participation import PrivacyPlan

_COORDINATES = 100_000
_MOST_RELEASES = 5000
_EMPTY_RATE = 1e-12
_LEAST_PATIENTS = 64
_MOST_PATIENTS = 100_000
_BATCH = 16  # patients a batch on average, at least, so that its size can be judged
_MOST_LOCAL_STEPS = 50

_CANARIES = 1000
_GUESSED = 0.3  # of the canaries, fixed beforehand
_RUNS = 1
_LEVEL = 0.05
_AUDIT_DELTA = 1e-5
_AUDIT_WORK = 2e9  # canaries x parameters x steps


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Every one-run audit, and the claim they were held against."""

    runs: tuple[OneRun, ...]
    claim: float
    delta: float
    steps: int
    contradicted: bool

    @property
    def bound(self) -> float:
        """The largest lower bound of epsilon."""
        return max(run.bound for run in self.runs)


def conformance(
    study: Study, z: float, make: MakeTrainer, chances: Chances, attempt: int
) -> tuple[Check, ...]:
    """Hands zero gradients to the trainer and examines what it releases.

    Each release is one step of rate 1 without momentum, so that a release is
    the step's noise; a second bench takes the study's own local steps.
    """
    plain = varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    benches = [_Bench(plain, site, z, make, chances, attempt) for site in study.site_names[:2]]
    size = benches[0].size
    count = max(8, min(_MOST_RELEASES, math.ceil(_COORDINATES / size)))
    released, sizes = zip(
        *(benches[number % 2].release(number) for number in range(count)), strict=True
    )
    raw = np.stack(released)
    noise, sigma = np.rint(np.nan_to_num(raw)).astype(np.int64), benches[0].sigma
    checks = [
        check_variance(noise, sigma),
        check_shape(noise, sigma),
        check_whole_numbers(raw),
        check_residues(noise, sigma),
        check_independence(noise, sigma),
        check_sampling(np.array(sizes), benches[0].patients, study.privacy.sampling_rate),
        _check_empty(plain, z, make, chances, attempt, count),
    ]
    if study.training.local_steps > 1:
        checks.append(_check_round(study, z, make, chances, attempt, count))
    return tuple(checks)


def _check_empty(
    plain: Study, z: float, make: MakeTrainer, chances: Chances, attempt: int, count: int
) -> Check:
    rare = plain.model_copy(
        update={"privacy": plain.privacy.model_copy(update={"sampling_rate": _EMPTY_RATE})}
    )
    bench = _Bench(rare, plain.site_names[0], z, make, chances, attempt)
    rounds = range(count, count + max(4, count // 5))
    raw = np.stack([bench.release(number)[0] for number in rounds])
    return check_variance(raw, bench.sigma, name="noise of empty batches")


def _check_round(
    study: Study, z: float, make: MakeTrainer, chances: Chances, attempt: int, count: int
) -> Check:
    """A round's update is a weighted sum of its steps: common noise would make it wider."""
    steps = min(study.training.local_steps, _MOST_LOCAL_STEPS)
    momentum = study.training.momentum
    own = varied(study, local_steps=steps, momentum=momentum, learning_rate=1.0)
    bench = _Bench(own, study.site_names[0], z, make, chances, attempt)
    weights = _step_weights(steps, momentum)
    sigma = bench.sigma * math.sqrt(sum(weight * weight for weight in weights))
    rounds = range(2 * count, 2 * count + max(4, count // steps))
    raw = np.stack([bench.release(number)[0] for number in rounds])
    return check_variance(raw, sigma, name=f"independence of a round's {steps} steps")


def _step_weights(steps: int, momentum: float) -> list[float]:
    """Returns how much each step's gradient moves the round's parameters."""
    return [sum(momentum**later for later in range(steps - step)) for step in range(steps)]


class _Bench:
    """A trainer of one site with zero gradients, and what it releases in integer units."""

    def __init__(
        self, study: Study, site: str, z: float, make: MakeTrainer, chances: Chances, attempt: int
    ) -> None:
        rate = study.privacy.sampling_rate
        self.patients = _LEAST_PATIENTS
        if rate > _EMPTY_RATE:
            self.patients = min(_MOST_PATIENTS, max(_LEAST_PATIENTS, math.ceil(_BATCH / rate)))
        trainer, model = canary_trainer(study, site, self.patients, make)
        self._model: Tensors = {name: np.zeros_like(tensor) for name, tensor in model.items()}
        self._trainer, self._z, self._chances, self._attempt = trainer, z, chances, attempt
        self.size = flatten(model).size
        self._gradients = ChosenGradients(
            lambda numbers: np.zeros((len(numbers), self.size), dtype=np.float32)
        )
        trainer._gradients = self._gradients
        units = units_for(self.size)
        expected = rate * self.patients
        self._unit = local_privacy(study).clip / units / expected
        self.sigma = z * units

    def release(self, number: int) -> tuple[Floats, int]:
        """Returns one round's noise in integer units, and how many patients it sampled."""
        before = self._gradients.num_seen
        update = self._trainer.update(
            self._model, number, self._attempt, self._z, self._chances.entropy
        )
        return -update / self._unit, self._gradients.num_seen - before


def one_run_audit(study: Study, plan: PrivacyPlan, make: MakeTrainer, chances: Chances) -> Audit:
    """Bounds epsilon from below with 95 % confidence; an excess is tested again."""
    size = layout_of(build_model(study)).size
    training = study.training
    steps = min(training.local_steps, _MOST_LOCAL_STEPS)
    most = _AUDIT_WORK / (_CANARIES * size * steps)
    rounds = max(1, min(training.rounds, int(most)))
    canaries = max(100, min(_CANARIES, int(_CANARIES * most)))
    delta = min(plan.delta, _AUDIT_DELTA)
    event = replace(plan.training, steps=rounds * steps)
    claim = epsilon(event, delta)
    shorter = varied(study, rounds=rounds, local_steps=steps)

    def run(number: int, alpha: float) -> OneRun:
        scores, inside = canary_scores(shorter, event, canaries, make, chances, number)
        return guess(scores, inside, int(_GUESSED * canaries), delta, alpha)

    runs, contradicted = audit_in_runs(run, claim, runs=_RUNS, alpha=_LEVEL)
    return Audit(
        runs=tuple(runs), claim=claim, delta=delta, steps=event.steps, contradicted=contradicted
    )


def canary_scores(
    study: Study,
    event: SampledGaussian,
    canaries: int,
    make: MakeTrainer,
    chances: Chances,
    attempt: int,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Returns each canary's score over all rounds' updates, and what its coin said.

    A canary that is out is a patient who contributes nothing: the adjacency
    that the claim is about. The public patient count stays.
    """
    site = study.site_names[0]
    trainer, model = canary_trainer(study, site, canaries, make)
    coins = chances.entropy.stream(
        Moment(
            use="coins",
            study=study.digest,
            site=site,
            purpose="audit",
            round=0,
            attempt=attempt,
            step=0,
            dataset=trainer.dataset_digest,
            model="",
            sample="",
        )  # fmt: skip
    )
    inside = (coins.words(canaries, np.uint64) & np.uint64(1)).astype(np.bool_)
    size, clip = flatten(model).size, local_privacy(study).clip
    directions = Directions(inside, size, chances.random)
    trainer._gradients = ChosenGradients(lambda numbers: directions.gradients(numbers, clip))
    privacy, training, z = local_privacy(study), study.training, event.noise_multiplier
    weights = _step_weights(training.local_steps, training.momentum)
    expected = privacy.sampling_rate * canaries
    # A canary that is in moves a round's update by this much, on average.
    length = training.learning_rate * clip * sum(weights) * privacy.sampling_rate / expected
    for number in range(training.rounds):
        update = trainer.update(model, number, attempt, z, chances.entropy)
        directions.observe(-update / length)
        directions.turn()
    spread = sum(weight * weight for weight in weights)
    noise_variance = spread * (z / sum(weights) / privacy.sampling_rate) ** 2
    return directions.estimates(noise_variance), inside
