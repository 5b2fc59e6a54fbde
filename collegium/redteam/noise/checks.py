"""Checks of the noise that hospitals release, against what their plans promise."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from collegium.redteam.adversary import Claim, View, own_multiplier
from collegium.redteam.evaluation import evaluation_checks
from collegium.redteam.harness import (
    AttackRandomness,
    MakeTrainer,
    sampled_at,
    varied,
    whole_cycles,
)
from collegium.redteam.noise.releases import (
    EMPTY_RATE,
    MAX_LOCAL_STEPS,
    NoiseSample,
    NoiseSource,
    round_deviation,
)
from collegium.redteam.patients import patient_checks
from compliance.privacy.empirical_audit.checks import (
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
from protocol.study.rounds.noise_shares import units_for
from protocol.study.strategies.registry import changed
from protocol.study.study import Study

_COORDINATES = 100_000
_SUM_COORDINATES = 400_000  # so that a ratio of two deviations is known to 0.4 %


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
    the step's noise; one check takes the study's own local steps. Of correlated
    noise whole cycles are taken, and undone: what is examined is the noise that
    the matrix was applied to.
    """
    plain = varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    if study.privacy.correlated_noise is not None:
        steps = whole_cycles(study, MAX_LOCAL_STEPS)
        averaged = changed(study.training, strategy="fedavg", local_steps=steps, learning_rate=1.0)
        plain = study.model_copy(update={"training": averaged})
    sums = [view for view in views if len(view.sites) > 1]
    alike: dict[float, list[str]] = {}
    for site in study.site_names:  # a hospital may have chosen a smaller epsilon
        alike.setdefault(own_multiplier(study, claims[site]), []).append(site)
    checks: list[AuditCheck] = []
    for multiplier, sites in alike.items():
        wanted = _SUM_COORDINATES if sums else _COORDINATES // len(sites)
        sample = NoiseSample(plain, sites, multiplier, wanted, make, randomness, attempt)
        found = [*_check_noise(sample), *_check_empty(sample), *_check_round(sample, study)]
        for view in sums:
            found += _check_sum(sample, view)
        if len(alike) > 1:
            found = [replace(check, name=f"{check.name}, {sites[0]}") for check in found]
        checks += found
    checks += patient_checks(study, study.site_names, make, randomness, attempt)
    checks += evaluation_checks(study, claims, make, randomness, attempt)
    return tuple(checks)


def _check_noise(sample: NoiseSample) -> Iterable[AuditCheck]:
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


def _check_empty(sample: NoiseSample) -> Iterable[AuditCheck]:
    rare = sampled_at(sample.study, EMPTY_RATE)
    source = NoiseSource(rare, sample.sites[0], sample.make, sample.randomness, sample.attempt)
    rounds = range(sample.rounds, sample.rounds + max(4, sample.rounds // 5))
    raw = [noise for number in rounds for noise, _ in source.releases(number, sample.multiplier)]
    yield check_variance(np.stack(raw), sample.sigma, name="noise of empty batches")


def _check_round(sample: NoiseSample, study: Study) -> Iterable[AuditCheck]:
    """Checks a round's update, a weighted sum of its steps: common noise would make it wider."""
    if study.training.local_steps == 1:
        return
    steps = whole_cycles(study, MAX_LOCAL_STEPS)
    own = varied(study, local_steps=steps, learning_rate=1.0)
    source = NoiseSource(own, sample.sites[0], sample.make, sample.randomness, sample.attempt)
    weighted = round_deviation(own, source.hospital.weights, sample.size, sample.multiplier)
    sigma = sample.multiplier * units_for(sample.size) * weighted
    rounds = range(2 * sample.rounds, 2 * sample.rounds + max(4, sample.rounds // steps))
    raw = np.stack([source.update(number, sample.multiplier) for number in rounds])
    yield check_variance(raw, sigma, name=f"independence of a round's {steps} steps")


def _check_sum(sample: NoiseSample, view: View) -> Iterable[AuditCheck]:
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
