"""Prices for a patient of two hospitals, and for groups of patients of one.

A patient of two hospitals may be a training patient at both, a test patient at
both, or one here and the other there; a group's members likewise. The dearest
of these is the price.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import joint_epsilon
from compliance.privacy.events import JointRelease
from protocol.study.privacy import DistributedPrivacy
from protocol.study.study import Study


@dataclass(frozen=True, kw_only=True)
class JointPrices:
    """Epsilons at the study's delta, for plans that were fixed beforehand.

    ``two_hospitals`` is the price of one patient who is also treated at the dearest of the
    study's other hospitals; ``group_of_two`` and ``group_of_three`` that of the presence
    of so many patients (a family, say) of this hospital.
    """

    two_hospitals: float
    group_of_two: float
    group_of_three: float


def joint_prices(study: Study, site: str) -> JointPrices | None:
    """Returns what several parts of a study cost together; None when it protects nobody.

    Raises:
        StudyRefused: some hospital's noise does not keep what it promises.
    """
    own = PrivacyPlan.at(study, site)
    if own is None:
        return None
    return JointPrices(
        two_hospitals=max(
            joint_epsilon(releases, own.delta)
            for other in dict.fromkeys(_plans_of_others(study, site))
            for releases in _in_two(study, own, other)
        ),
        group_of_two=_group(own, 2),
        group_of_three=_group(own, 3),
    )


def _plans_of_others(study: Study, site: str) -> Iterator[PrivacyPlan]:
    for name in study.site_names:
        plan = PrivacyPlan.at(study, name) if name != site else None
        if plan is not None:
            yield plan


def _in_two(
    study: Study, own: PrivacyPlan, other: PrivacyPlan
) -> Iterator[tuple[JointRelease, ...]]:
    """Yields every way to be a patient of both hospitals."""
    shared = isinstance(study.privacy, DistributedPrivacy)
    for here, there in product((own.training, own.evaluation), (other.training, other.evaluation)):
        if shared and here is own.training and there is other.training:
            rates = (here.sampling_rate, there.sampling_rate)  # both gradients are in one sum
            noise, steps = here.noise_multiplier, here.steps
            yield (JointRelease(noise_multiplier=noise, rates=rates, steps=steps),)
        else:
            yield JointRelease.of(here), JointRelease.of(there)


def _group(plan: PrivacyPlan, members: int) -> float:
    """Returns the dearest way to divide a group between training and test patients."""
    return max(
        joint_epsilon(
            (
                JointRelease.of(plan.training, parties=trained),
                JointRelease.of(plan.evaluation, parties=members - trained),
            ),
            plan.delta,
        )
        for trained in range(members + 1)
    )
