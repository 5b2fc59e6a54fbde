"""Mode D: noise shares that are enough only together, and how large their sums become.

Every hospital adds its share of the noise to its patients' clipped integer
gradients, and the secure sum shows only the total. With
h = t - max(C, 1) guaranteed honest shares, each of deviation z x units / sqrt(h), the
honest noise in the total is at least z x units after any drop-outs and collusion. One is
left out even where C is 0: a member that colludes with nobody sees the total in the
next model, and knows its own share of the noise.

Rules:

1. One step is one round: noise shares pass through nothing before the sum.
2. The noise multiplier z stands in the study: every hospital's share and the
   size of the ring follow from public values, the same at both institutions.
3. A hospital's own share is never below ``own_noise`` x units: what its
   patients still have if more than C others collude.
4. An attempt that fails was a release: the next draws new noise and pays.
5. In a narrow ring the clipping bound is fewer units, and patients' gradients are cut to these
   coarser integers. The price stays as it is: one patient still moves a sum by ``units`` at most,
   exactly, and the noise still is z x units. Two things must be fine enough for that: a typical
   coordinate spans ``LEAST_STEPS`` units, or truncation would leave nothing of it; and one
   hospital's noise has a deviation of ``LEAST_DEVIATION`` units, from which on a sum of discrete
   Gaussians is one but for a part of exp(-pi**2 x 64), and is priced as one.

Source: Kairouz, Liu & Steinke 2021 (2102.06387).
"""

import math
from dataclasses import dataclass, replace

from protocol.errors import StudyRefused
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import count_units_for
from protocol.vectors.ring_bounds import (
    FAILURE,
    LEAST_STEPS,
    Batch,
    fits,
    is_fine,
    least_ring_bits,
    max_in_batch,
    max_sum_of_updates,
)

#: The least deviation of a hospital's noise in a narrow ring, in units.
LEAST_DEVIATION = 8.0


def units_for(dim: int) -> int:
    """Returns how many integer units the clipping bound is divided into.

    >>> units_for(14), units_for(10**6 + 1)
    (131072, 1048576)

    A typical coordinate then spans 100 units or more. In a narrow ring there are fewer units of a
    sum with shared noise: ``units_of``.
    """
    return 2**17 if dim <= 10**6 else 2**20


def units_of(study: Study, dim: int) -> int:
    """Returns how many integer units the clipping bound of a study's steps is divided into.

    Raises:
        StudyRefused: the study's ring cannot hold sums of steps that are fine enough.
    """
    if study.communication is None or not isinstance(study.privacy, DistributedPrivacy):
        return units_for(dim)
    return NoiseShares.of(study, study.privacy, dim).units


@dataclass(frozen=True, kw_only=True)
class NoiseShares:
    """The noise shares of a study in the mode ``distributed``, for a network of some size.

    ``units`` stand for the clipping bound; ``multiplier`` is one share's
    deviation in units of the bound; ``bound`` is the L2 norm, for each site,
    that the sum stays below but for a chance of ``ring_bounds.FAILURE``. ``ring_bits`` is the
    width of the ring that holds such sums.
    """

    units: int
    multiplier: float
    bound: float
    ring_bits: int

    @classmethod
    def of(cls, study: Study, privacy: DistributedPrivacy, dim: int) -> "NoiseShares":
        """Returns the shares of a study.

        Where it names its communication, the ring is the narrowest of those it allows in which a
        unit is small enough: see rule 5.

        Raises:
            StudyRefused: in none of them is it.
        """
        usual, sites = cls._in_units(study, privacy, dim, units_for(dim)), len(study.sites)
        if study.communication is None:
            return usual
        for ring_bits in study.communication.rings:
            found = replace(usual, ring_bits=ring_bits)
            while found.units > 1 and not fits(sites * math.ceil(found.bound), ring_bits):
                units = found.units // 2
                found = replace(cls._in_units(study, privacy, dim, units), ring_bits=ring_bits)
            is_small = found.units == usual.units or (
                is_fine(found.units, dim) and found.multiplier * found.units >= LEAST_DEVIATION
            )
            if is_small and fits(sites * math.ceil(found.bound), ring_bits):
                return found
        raise StudyRefused(
            f"communication.ring_bits: a ring of {study.communication.rings[-1]} bits leaves "
            f"{found.units} units of privacy.clip in sums of {sites} sites' steps; {dim} "
            f"parameters need {math.ceil(LEAST_STEPS * math.sqrt(dim))}, and noise of a site "
            f"{LEAST_DEVIATION:g} (it has {found.multiplier * found.units:g}): use a wider ring, "
            "or lower privacy.sampling_rate"
        )

    @classmethod
    def _in_units(
        cls, study: Study, privacy: DistributedPrivacy, dim: int, units: int
    ) -> "NoiseShares":
        sites = len(study.sites)
        multiplier = share_multiplier(study, privacy)
        failure = FAILURE / (sites + 1)
        patients = sum(
            max_in_batch(
                Batch(
                    patients=site.patients,
                    rate=study.privacy_of(site.name).sampling_rate,
                ),
                failure,
            )
            for site in study.sites
        )
        deviation = multiplier * units * math.sqrt(sites)
        tail = -math.log(failure)
        noise = deviation * math.sqrt(dim + 2 * math.sqrt(dim * tail) + 2 * tail)
        # Rounded up to a power of two: two institutions' logarithms may differ in the last bit.
        bound = float(1 << math.ceil((patients * units + noise) / sites).bit_length())
        most = max_sum_of_updates(sites=sites, bound=bound, frac_bits=0)
        return cls(units=units, multiplier=multiplier, bound=bound, ring_bits=least_ring_bits(most))


def count_units_of(study: Study, privacy: PatientPrivacy, dim: int, noise_multiplier: float) -> int:
    """Returns how many units a patient adds to the count of an adaptive clip; 0 for a fixed one.

    Args:
        study: the study.
        privacy: what the hospital promises.
        dim: the size of the vector, the count's coordinate included.
        noise_multiplier: of the hospital's own noise; what is shared is the study's.

    Raises:
        ValueError: the noise is too large for any count; ``PrivacyPlan`` refuses such a study.
    """
    if privacy.adaptive_clip is None:
        return 0
    shared = privacy.noise_multiplier if isinstance(privacy, DistributedPrivacy) else None
    return count_units_for(
        units_of(study, dim),
        noise_multiplier=shared or noise_multiplier,
        deviation=study.count_deviation,
    )


def honest_shares(threshold: int, colluders: int) -> int:
    """Returns h: how many of t shares of noise nobody who looks at the sum knows.

    >>> honest_shares(6, 2), honest_shares(5, 0)
    (4, 4)
    """
    return threshold - max(colluders, 1)


def share_multiplier(study: Study, privacy: DistributedPrivacy) -> float:
    """Returns the deviation of one hospital's share, in units of the clipping bound."""
    honest = honest_shares(study.threshold, study.aggregation.colluders)
    return max(privacy.noise_multiplier / math.sqrt(honest), privacy.own_noise)
