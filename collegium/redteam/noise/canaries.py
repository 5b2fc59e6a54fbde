"""One-run audits: canaries are told apart by what is released, which bounds epsilon from below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import Claim, View, hospital_at
from collegium.redteam.harness import (
    AttackRandomness,
    Floats,
    MakeTrainer,
    build_model,
    canary_trainer,
    declaring,
    patient_privacy,
    sampled_at,
    varied,
    whole_cycles,
)
from collegium.redteam.noise.releases import MAX_LOCAL_STEPS, round_deviation
from compliance.privacy.accounting import epsilon
from compliance.privacy.empirical_audit.one_run import (
    OneRun,
    audit_in_runs,
    guess,
    lower_bound,
    max_guesses,
    planned_guesses,
)
from compliance.privacy.events import SampledGaussian
from pipelines.attacks.canaries import ChosenGradients, Directions
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.tensors import layout_of
from silos.training.randomness import DrawContext, RoundInput

_MIN_CANARIES, _ENOUGH_CANARIES, _MAX_CANARIES = 100, 1000, 2000
_RUNS = 1  # for each view, fixed beforehand
_LEVEL = 0.05
_AUDIT_DELTA = 1e-5
_AUDIT_WORK = 2e9  # canaries x parameters x steps


@dataclass(frozen=True, kw_only=True)
class OneRunAudit:
    """Every one-run audit of one view, and what they were held against.

    ``event`` is the plan that was attacked, ``claim`` its epsilon at ``delta``. No audit is
    ``offered`` where even right guesses could not contradict the claim: then ``runs`` is empty
    and ``guesses`` the most that could be made.
    """

    view: View
    event: SampledGaussian
    runs: tuple[OneRun, ...]
    canaries: int
    guesses: int
    level: float
    claim: float
    delta: float
    contradicted: bool

    @property
    def offered(self) -> bool:
        """Whether an audit was made."""
        return bool(self.runs)

    @property
    def steps(self) -> int:
        """The number of steps attacked; of correlated noise, of cycles."""
        return self.event.steps

    def bound_of(self, run: OneRun) -> float:
        """Returns the lower bound of epsilon that one run gives."""
        return lower_bound(run, self.event, self.delta, self.level)

    @cached_property
    def bound(self) -> float:
        """The largest lower bound of epsilon; 0 where no audit is offered."""
        return max((self.bound_of(run) for run in self.runs), default=0.0)

    @cached_property
    def ceiling(self) -> float:
        """The bound that so many guesses would give, were all of them right."""
        return self.bound_of(
            OneRun(canaries=self.canaries, guesses=self.guesses, correct=self.guesses)
        )


def one_run_audits(
    study: Study,
    claim: Claim,
    views: Sequence[View],
    make: MakeTrainer,
    randomness: AttackRandomness,
) -> tuple[OneRunAudit, ...]:
    """Bounds epsilon of each view from below, with 95 % confidence for all views together."""
    level = _LEVEL / len(views)
    return tuple(one_run_audit(study, claim, view, make, randomness, level) for view in views)


def one_run_audit(
    study: Study,
    claim: Claim,
    view: View,
    make: MakeTrainer,
    randomness: AttackRandomness,
    level: float = _LEVEL,
) -> OneRunAudit:
    """Bounds epsilon of one view from below; what contradicts the claim is tested again."""
    size = layout_of(build_model(study)).size
    training = study.training
    steps = whole_cycles(study, MAX_LOCAL_STEPS)
    wanted = _canaries_for(study, view, size)
    most = _AUDIT_WORK / (min(wanted, _ENOUGH_CANARIES) * size * steps)
    rounds = max(1, min(training.rounds, int(most)))
    affordable = int(_AUDIT_WORK / (size * steps * rounds))
    canaries = max(_MIN_CANARIES, min(wanted, affordable))
    delta = min(claim.delta, _AUDIT_DELTA)
    event = replace(view.event, steps=rounds * steps // study.privacy.bands)
    guesses = planned_guesses(canaries, event, level / _RUNS)
    runs: Sequence[OneRun] = ()
    contradicted = False
    if guesses is not None:
        shorter = varied(study, rounds=rounds, local_steps=steps)
        rate = claim.event.sampling_rate / study.privacy.bands  # others may sample more, and pay
        shorter = sampled_at(shorter, rate)
        guessed = guesses

        def run(number: int) -> OneRun:
            scores, inside = canary_scores(shorter, view, canaries, make, randomness, number)
            return guess(scores, inside, guessed)

        runs, contradicted = audit_in_runs(run, event, runs=_RUNS, alpha=level)
    return OneRunAudit(
        view=view, event=event, runs=tuple(runs), canaries=canaries,
        guesses=max_guesses(canaries) if guesses is None else guesses,
        level=level / _RUNS, claim=epsilon(event, delta), delta=delta, contradicted=contradicted,
    )  # fmt: skip


def _canaries_for(study: Study, view: View, size: int) -> int:
    """Returns how many canaries a network of this size tells apart.

    One a parameter; of small networks more, up to a thousand, where the noise is larger than what
    the sharers of a parameter add to each other: a quarter of a canary squared for each of them.
    """
    steps, rate = study.training.local_steps, study.privacy.sampling_rate
    noise = view.deviation / (rate * math.sqrt(steps))
    sharing = max(1.0, 4 * noise * noise)
    shared = min(_ENOUGH_CANARIES, size * sharing)
    return int(max(_MIN_CANARIES, min(_MAX_CANARIES, max(size, shared))))


def canary_scores(
    study: Study,
    view: View,
    canaries: int,
    make: MakeTrainer,
    randomness: AttackRandomness,
    attempt: int,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Returns each canary's score over all rounds' releases, and what its coin said.

    Canaries are shared among the view's hospitals. One that is out is a patient who
    contributes nothing: the adjacency that the claim is about. The public
    patient count stays.
    """
    size = layout_of(build_model(study)).size
    inside = _coins(study, view.sites[0], canaries, randomness, attempt)
    directions = Directions(inside, size, randomness.random)
    clip = patient_privacy(study, view.sites[0]).clip
    chosen = ChosenGradients(lambda numbers: directions.gradients(numbers, clip))
    hospitals = []
    for place, site in enumerate(view.sites):
        numbers = np.arange(place, canaries, len(view.sites))
        own = declaring(study, site, len(numbers))
        trainer, model = canary_trainer(own, site, numbers, make, chosen)
        hospitals.append(hospital_at(own, site, trainer, randomness.entropy))
    weights, units = hospitals[0].weights, units_for(size)
    rate = study.privacy.sampling_rate
    length = units * sum(weights) * rate  # what a canary that is in adds to a release, on average
    for number in range(study.training.rounds):
        given = RoundInput(
            model=model, number=number, attempt=attempt, noise_multiplier=view.multiplier
        )
        seen = np.sum([h.released(given) for h in hospitals], axis=0)
        directions.observe(seen / length)
        directions.turn()
    sharing = math.sqrt(len(view.sites))
    deviation = (
        view.multiplier * sharing * units * round_deviation(study, weights, size, view.multiplier)
    )
    return directions.estimates((deviation / length) ** 2), inside


def _coins(
    study: Study, site: str, count: int, randomness: AttackRandomness, attempt: int
) -> NDArray[np.bool_]:
    stream = randomness.entropy.stream(
        DrawContext(
            use="coins",
            study=study.digest,
            site=site,
            round_kind="audit",
            round=0,
            attempt=attempt,
            step=0,
            dataset="canaries",
            model="",
            sample="",
        )  # fmt: skip
    )
    return (stream.words(count, np.uint64) & np.uint64(1)).astype(np.bool_)
