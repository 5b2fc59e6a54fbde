"""Rules about a study's promises, noise and secure sum."""

import math
from collections.abc import Iterator

from protocol.study.privacy import DistributedPrivacy, NoPrivacy
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord
from protocol.vectors.ring_bounds import finest_frac_bits, fits, max_sum_of_updates

#: The count of a batch as small as this leaves too little of the clip's bound to the gradient.
_LEAST_COUNTED = 21
#: Half of a smaller delta may be no number that a price can be computed from.
_LEAST_DELTA = 1e-300


def privacy_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of promises and noise: of the clip, and of each hospital."""
    problems: list[Problem] = []
    clip = study.privacy.clip
    if clip is not None and not 1e-20 <= clip <= 1e15:
        problems.append(
            (
                "privacy.clip",
                "a clip lies between 1e-20 and 1e15: others are no float32, or no number in JSON",
            )
        )
    if isinstance(study.privacy, NoPrivacy):
        chosen = [site.name for site in study.sites if site.epsilon is not None]
        if chosen:
            problems.append(
                ("sites", f"{chosen[0]} promises an epsilon in a study without privacy")
            )
        return problems
    batch = study.whole_batch
    if study.privacy.adaptive_clip is not None and batch <= _LEAST_COUNTED:
        problems.append(
            (
                "privacy.adaptive_clip",
                f"a step is expected to draw {batch:g} patients at all hospitals: with "
                f"{_LEAST_COUNTED} or fewer the count of patients within the clip leaves too "
                "little of the bound to the gradient; raise privacy.sampling_rate, or leave "
                "adaptive_clip out",
            )
        )
    if study.privacy.delta < _LEAST_DELTA:
        problems.append(
            ("privacy.delta", f"{study.privacy.delta:g} is nothing: {_LEAST_DELTA:g} is the least")
        )
    problems += _hardly_drawn(study, study.privacy.delta)
    for site in study.sites:
        if site.epsilon is not None and site.epsilon > study.privacy.epsilon:
            problems.append(
                (
                    "sites",
                    f"{site.name} promises epsilon {site.epsilon:g}, more than the study's "
                    f"{study.privacy.epsilon:g}: a hospital may choose a smaller one only",
                )
            )
        if study.privacy.delta >= 1 / site.patients:
            problems.append(
                (
                    "privacy.delta",
                    f"delta must be below 1/n; {site.name} declares "
                    f"{site.patients} patients, so below {1 / site.patients:.2g}",
                )
            )
    return problems


def _hardly_drawn(study: StudyRecord, delta: float) -> Iterator[Problem]:
    """Yields the problem of a hospital whose patients are as good as never drawn.

    Any noise, also none, keeps such a promise, so no noise multiplier follows from it.
    """
    if not study.trains:
        return
    for site in study.sites:
        rate, steps = study.privacy_of(site.name).priced_rate, study.priced_steps_of(site.name)
        if rate < 1 and -math.expm1(steps * math.log1p(-rate)) <= delta:
            yield (
                "privacy.sampling_rate" if site.sampling_rate is None else "sites",
                f"in its whole training {site.name} draws a patient with a chance of delta "
                f"({delta:g}) at most, so nothing is learned: raise sampling_rate",
            )
            return


def aggregation_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of the secure sum: threshold, colluders, and the size of the ring."""
    n, t, colluders = len(study.sites), study.threshold, study.aggregation.colluders
    problems = []
    if t > n:
        problems.append(("aggregation.threshold", f"threshold {t} exceeds the {n} sites"))
    if not 2 * t > n + colluders or t - colluders < 2:
        problems.append(
            (
                "aggregation.threshold",
                f"threshold {t} is too low: 2t > n + C and t - C >= 2 must "
                f"hold with n = {n} sites and C = {colluders} colluders",
            )
        )
    if study.aggregation.min_sites > n:
        problems.append(("aggregation.min_sites", f"the minimum cohort exceeds the {n} sites"))
    bound, frac_bits, sent = (
        study.aggregation.bound,
        study.aggregation.frac_bits,
        study.communication,
    )
    if not fits(max_sum_of_updates(sites=n, bound=bound, frac_bits=frac_bits), 64):
        problems.append(
            (
                "aggregation.frac_bits",
                f"{n} sites x bound {bound:g} x 2^{frac_bits} could wrap 64 bits: "
                "lower frac_bits or bound",
            )
        )
    elif sent is not None and not isinstance(study.privacy, DistributedPrivacy):
        widest = sent.rings[-1]
        if finest_frac_bits(sites=n, bound=bound, ring_bits=widest, most=0) is None:
            most = 2.0 ** (widest - 1) / n
            problems.append(
                (
                    "communication.ring_bits",
                    f"{n} sites x bound {bound:g} could wrap {widest} bits, in units of 1 even: "
                    f"lower aggregation.bound below {most:g}, or use a wider ring",
                )
            )
    return problems
