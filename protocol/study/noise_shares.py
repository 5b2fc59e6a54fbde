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

Source: Kairouz, Liu & Steinke 2021 (2102.06387).
"""

import math
from dataclasses import dataclass

from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import count_units_for
from protocol.vectors.ring_bounds import FAILURE, Batch, max_in_batch


def units_for(dim: int) -> int:
    """Returns how many integer units the clipping bound is divided into.

    >>> units_for(14), units_for(10**6 + 1)
    (131072, 1048576)

    A typical coordinate then spans 100 units or more.
    """
    return 2**17 if dim <= 10**6 else 2**20


@dataclass(frozen=True, kw_only=True)
class NoiseShares:
    """The noise shares of a study in the mode ``distributed``, for a network of some size.

    ``units`` stand for the clipping bound; ``multiplier`` is one share's
    deviation in units of the bound; ``bound`` is the L2 norm, for each site,
    that the sum stays below but for a chance of ``ring_bounds.FAILURE``.
    """

    units: int
    multiplier: float
    bound: float

    @classmethod
    def of(cls, study: Study, privacy: DistributedPrivacy, dim: int) -> "NoiseShares":
        """Returns the shares of a study."""
        units = units_for(dim)
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
        return cls(
            units=units,
            multiplier=multiplier,
            # Rounded up to a power of two: two institutions' logarithms may differ in the last bit.
            bound=float(1 << math.ceil((patients * units + noise) / sites).bit_length()),
        )


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
        units_for(dim),
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
