"""Attacks on the noise: what hospitals release when an auditor chooses the gradients."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import (
    Claim,
    LocalHospital,
    View,
    hospital_at,
    own_multiplier,
)
from collegium.redteam.evaluation import evaluation_checks
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
from collegium.redteam.patients import patient_checks
from compliance.empirical_audit.checks import (
    AuditCheck,
    check_every_hospital,
    check_independence,
    check_ratio,
    check_residues,
    check_sampling,
    check_shape,
    check_variance,
    check_whole_numbers,
)
from compliance.empirical_audit.one_run import (
    OneRun,
    audit_in_runs,
    guess,
    lower_bound,
    max_guesses,
    planned_guesses,
)
from compliance.privacy.accounting import epsilon
from compliance.privacy.events import SampledGaussian
from pipelines.attacks.canaries import ChosenGradients, Directions
from protocol.study.rounds.noise_shares import units_for
from protocol.study.strategies.registry import changed
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import DrawContext, RoundInput
from silos.training.steps.cycles import cycle_matrix
from silos.training.steps.step_form import Drawn
from silos.training.trainer import Trainer
from silos.training.worker import GradientBackend

_COORDINATES = 100_000
_SUM_COORDINATES = 400_000  # so that a ratio of two deviations is known to 0.4 %
_MAX_RELEASES = 5000
_EMPTY_RATE = 1e-12
_MIN_PATIENTS = 64
_MAX_PATIENTS = 100_000
_BATCH = 16  # patients a batch on average, at least, so that its size can be judged
_MAX_LOCAL_STEPS = 50

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


def conformance(
    study: Study,
    claims: Mapping[str, Claim],
    views: Sequence[View],
    make: MakeTrainer,
    randomness: AttackRandomness,
    attempt: int,
) -> tuple[AuditCheck, ...]:
    """Hands zero gradients to every hospital's trainer and examines what it releases.

    Each release is one step of rate 1 without momentum, so that a release is
    the step's noise; another bench takes the study's own local steps. Of correlated
    noise whole cycles are taken, and undone: what is examined is the noise that
    the matrix was applied to.
    """
    plain = varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    if study.privacy.correlated_noise is not None:
        steps = whole_cycles(study, _MAX_LOCAL_STEPS)
        averaged = changed(study.training, strategy="fedavg", local_steps=steps, learning_rate=1.0)
        plain = study.model_copy(update={"training": averaged})
    sums = [view for view in views if len(view.sites) > 1]
    alike: dict[float, list[str]] = {}
    for site in study.site_names:  # a hospital may have chosen a smaller epsilon
        alike.setdefault(own_multiplier(study, claims[site]), []).append(site)
    checks: list[AuditCheck] = []
    for multiplier, sites in alike.items():
        wanted = _SUM_COORDINATES if sums else _COORDINATES // len(sites)
        sample = _NoiseSample(plain, sites, multiplier, wanted, make, randomness, attempt)
        found = [*_check_noise(sample), *_check_empty(sample), *_check_round(sample, study)]
        for view in sums:
            found += _check_sum(sample, view)
        if len(alike) > 1:
            found = [replace(check, name=f"{check.name}, {sites[0]}") for check in found]
        checks += found
    checks += patient_checks(study, study.site_names, make, randomness, attempt)
    checks += evaluation_checks(study, claims, make, randomness, attempt)
    return tuple(checks)


def _check_noise(sample: "_NoiseSample") -> Iterable[AuditCheck]:
    """Checks that one hospital's noise is all that it must be."""
    raw = sample.raw.reshape(-1, sample.size)
    noise = sample.noise.reshape(-1, sample.size)
    yield check_variance(noise, sample.sigma)
    if len(sample.sites) > 1:
        each = {site: sample.noise[:, place] for place, site in enumerate(sample.sites)}
        yield check_every_hospital(each, sample.sigma)
    yield check_shape(noise, sample.sigma)
    yield check_whole_numbers(raw)
    yield check_residues(noise, sample.sigma)
    yield check_independence(noise, sample.sigma)
    bands = sample.study.privacy.bands
    for rate in dict.fromkeys(source.rate for source in sample.sources):
        places = [place for place, source in enumerate(sample.sources) if source.rate == rate]
        patients, sizes = sample.sources[places[0]].patients, sample.sizes[:, places]
        if bands > 1:  # a cycle draws nobody twice, so its steps' sizes depend on each other
            sizes = sizes.reshape(-1, bands, len(places)).sum(axis=1)
        yield check_sampling(sizes.ravel(), patients, min(1.0, rate * bands))


def _check_empty(sample: "_NoiseSample") -> Iterable[AuditCheck]:
    rare = sampled_at(sample.study, _EMPTY_RATE)
    source = _NoiseSource(rare, sample.sites[0], sample.make, sample.randomness, sample.attempt)
    rounds = range(sample.rounds, sample.rounds + max(4, sample.rounds // 5))
    raw = [noise for number in rounds for noise, _ in source.releases(number, sample.multiplier)]
    yield check_variance(np.stack(raw), sample.sigma, name="noise of empty batches")


def _check_round(sample: "_NoiseSample", study: Study) -> Iterable[AuditCheck]:
    """Checks a round's update, a weighted sum of its steps: common noise would make it wider."""
    if study.training.local_steps == 1:
        return
    steps = whole_cycles(study, _MAX_LOCAL_STEPS)
    own = varied(study, local_steps=steps, learning_rate=1.0)
    source = _NoiseSource(own, sample.sites[0], sample.make, sample.randomness, sample.attempt)
    weighted = _weighted(own, source.hospital.weights, sample.size, sample.multiplier)
    sigma = sample.multiplier * units_for(sample.size) * weighted
    rounds = range(2 * sample.rounds, 2 * sample.rounds + max(4, sample.rounds // steps))
    raw = np.stack([source.update(number, sample.multiplier) for number in rounds])
    yield check_variance(raw, sigma, name=f"independence of a round's {steps} steps")


def _weighted(study: Study, weights: Sequence[float], size: int, multiplier: float) -> float:
    """Returns the deviation of a round's noise by its steps' weights, that of one step being 1."""
    bands = study.privacy.bands
    if bands == 1:
        return math.hypot(*weights)
    cycles = np.array(weights).reshape(-1, bands)
    undone = np.linalg.inv(cycle_matrix(study, size, multiplier).dense)
    return float(np.linalg.norm(cycles @ undone))


def _check_sum(sample: "_NoiseSample", view: View) -> Iterable[AuditCheck]:
    """Checks the noise of a sum of any sites, and what sharing it gains over per-site noise."""
    units, answered = units_for(sample.size), sample.study.threshold
    promised = view.event.noise_multiplier
    honest = sample.noise[:, : len(view.sites)].sum(axis=1)
    yield check_variance(
        honest, view.deviation * units, name=f"noise of {len(view.sites)} honest shares together"
    )
    shared = sample.noise[:, :answered].sum(axis=1).astype(np.float64)
    whole = view.multiplier * math.sqrt(answered) * units
    yield check_variance(shared, whole, name=f"noise in the sum of {answered} hospitals")
    local = np.stack(
        [
            np.sum([source.local(number, promised) for source in sample.sources[:answered]], axis=0)
            for number in range(3 * sample.rounds, 4 * sample.rounds)
        ]
    )
    yield check_ratio(
        local,
        shared,
        promised / view.multiplier,
        name="per-site noise over shared noise, in the mean",
    )


class _NoiseSample:
    """Hospitals with equal noise, and what they released: (rounds, sites, size)."""

    def __init__(
        self,
        study: Study,
        sites: Sequence[str],
        multiplier: float,
        coordinates: int,
        make: MakeTrainer,
        randomness: AttackRandomness,
        attempt: int,
    ) -> None:
        self.study, self.sites, self.multiplier = study, sites, multiplier
        self.make, self.randomness, self.attempt = make, randomness, attempt
        self.sources = [_NoiseSource(study, site, make, randomness, attempt) for site in sites]
        self.size = self.sources[0].size
        scale, steps = 1, 1
        if study.privacy.correlated_noise is not None:
            scale = cycle_matrix(study, self.size, multiplier).scale
            steps = study.training.local_steps
        self.sigma = multiplier * units_for(self.size) * scale
        wanted = min(_MAX_RELEASES, math.ceil(coordinates / self.size))
        self.rounds = max(4, math.ceil(wanted / steps))
        released = [
            [source.releases(number, multiplier) for source in self.sources]
            for number in range(self.rounds)
        ]
        each = [row for round_ in released for row in zip(*round_, strict=True)]
        self.raw = np.stack([[noise for noise, _ in row] for row in each])
        self.noise = np.rint(np.nan_to_num(self.raw)).astype(np.int64)
        self.sizes = np.array([[sampled for _, sampled in row] for row in each])


class _NoiseSource:
    """A trainer of one site with zero gradients, and what it releases in integer units."""

    def __init__(
        self, study: Study, site: str, make: MakeTrainer, randomness: AttackRandomness, attempt: int
    ) -> None:
        self.rate, self.patients = patient_privacy(study, site).sampling_rate, _MIN_PATIENTS
        if self.rate > _EMPTY_RATE:
            needed = math.ceil(_BATCH / self.rate)
            self.patients = min(_MAX_PATIENTS, max(_MIN_PATIENTS, needed))
        self._site, study = site, declaring(study, site, self.patients)
        self._gradients = ChosenGradients(
            lambda numbers: np.zeros((len(numbers), self.size), dtype=np.float32)
        )
        self._study, self._steps = study, _Steps(self._gradients)
        trainer, model = canary_trainer(
            study, site, np.arange(self.patients), self._watched(make), self._gradients
        )
        self._model: Tensors = {name: np.zeros_like(tensor) for name, tensor in model.items()}
        self._attempt = attempt
        self.size = layout_of(model).size
        self.hospital = hospital_at(study, site, trainer, randomness.entropy)
        self._as_local = LocalHospital(
            study=study, site=site, trainer=trainer, entropy=randomness.entropy
        )

    def _watched(self, make: MakeTrainer) -> MakeTrainer:
        """Makes the trainer with a backend that shows where each of its steps began."""

        def watched(study, site, train, test, backend: GradientBackend | None = None, /):  # type: ignore[no-untyped-def]
            self._steps.backend = backend
            made: Trainer = make(study, site, train, test, self._steps)
            return made

        return watched

    def releases(self, number: int, multiplier: float) -> list[tuple[Floats, int]]:
        """Returns the noise of each release of a round, and how many patients it sampled.

        In integer units; of a round of correlated noise, in its matrix's: each step's own noise.
        """
        self._steps.begin()
        noise = self.update(number, multiplier)
        if self._study.privacy.correlated_noise is None:
            return [(noise, sum(self._steps.sampled))]
        matrix = cycle_matrix(self._study, self.size, multiplier)
        momentum, bands = self._study.training.momentum, self._study.privacy.bands
        moved = self._steps.moves_after(noise, self._unit)
        steps = moved - momentum * np.vstack([np.zeros_like(moved[:1]), moved[:-1]])
        own = matrix.scale * matrix.dense @ steps.reshape(-1, bands, self.size)
        return list(zip(own.reshape(steps.shape), self._steps.sampled, strict=True))

    @property
    def _unit(self) -> float:
        privacy = patient_privacy(self._study, self._site)
        return privacy.clip / units_for(self.size) / self._study.expected_batch(self._site)

    def update(self, number: int, multiplier: float) -> Floats:
        """Returns one round's noise in integer units."""
        return self.hospital.released(self._given(number, multiplier))

    def local(self, number: int, multiplier: float) -> Floats:
        """Returns the noise of a round in which this hospital protects itself alone."""
        return self._as_local.released(self._given(number, multiplier))

    def _given(self, number: int, multiplier: float) -> RoundInput:
        return RoundInput(
            model=self._model, number=number, attempt=self._attempt, noise_multiplier=multiplier
        )


class _Steps:
    """A backend that writes down where each step begins, and how many patients it samples."""

    def __init__(self, gradients: ChosenGradients) -> None:
        self.backend: GradientBackend | None = None
        self._gradients = gradients
        self.begin()

    def begin(self) -> None:
        """Forgets the steps of the round before."""
        self._at: list[Floats] = []
        self.sampled: list[int] = []

    @property
    def engine(self) -> str:
        """The name of the engine that computes."""
        return self._own.engine

    @property
    def label(self) -> str:
        """As ``engine``."""
        return self._own.label

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        """Returns the sum of one step."""
        before = self._gradients.num_seen
        summed = self._own.clipped(parameters, drawn, clip, count_units)
        self._at.append(parameters.copy())
        self.sampled.append(self._gradients.num_seen - before)
        return summed

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Yields the sums of a step without privacy."""
        return self._own.plain(parameters, drawn)

    def moves_after(self, released: Floats, unit: float) -> Floats:
        """Returns (steps, size): by how many units of a rate of 1 each step moved the model."""
        ends = np.stack([*self._at[1:], self._at[0] - released * unit])
        return np.asarray((np.stack(self._at) - ends) / unit)

    @property
    def _own(self) -> GradientBackend:
        if self.backend is None:
            raise ValueError("no trainer was made")
        return self.backend


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
    steps = whole_cycles(study, _MAX_LOCAL_STEPS)
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

    Canaries are dealt to the view's hospitals. One that is out is a patient who
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
    deviation = view.multiplier * sharing * units * _weighted(study, weights, size, view.multiplier)
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
