"""The attacker's views of a training, in either mode, and the claims about it.

Under per-site noise every hospital's update must protect its own patients: the
attacker sees one update bare. Under shared noise the attacker is the
coordinator together with C hospitals: of the sum it knows all but what
h = t - max(C, 1) honest hospitals put in. A second view is what is left if more
collude: one hospital's share alone, held against the fallback that the claim
itself names (``docs/protocol.md``).
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from collegium.redteam.harness import Floats, patient_privacy
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.events import SampledGaussian
from protocol.errors import StudyRefused, UpdateRefused
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.rounds.noise_shares import honest_shares, share_multiplier, units_for
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.local_steps import LocalStart, ended
from protocol.study.strategies.registry import strategy_of
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary
from protocol.vectors.keystream import RingVector
from protocol.vectors.tensors import Layout, layout_of
from silos.training.randomness import Entropy, RoundInput
from silos.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The promise of one hospital to its training patients, and the mechanism it names for that.

    ``evaluation`` is the noise multiplier that it names for its test patients.
    """

    site: str
    epsilon: float
    delta: float
    event: SampledGaussian
    evaluation: float | None = None

    @classmethod
    def planned(cls, study: Study, site: str) -> "Claim":
        """Returns what a hospital would claim of a study.

        Raises:
            StudyRefused: the study claims nothing, or what no hospital could keep.
        """
        privacy, plan = study.privacy_of(site), PrivacyPlan.at(study, site)
        if not isinstance(privacy, PatientPrivacy) or plan is None:
            raise StudyRefused(
                "privacy.mode is none: nothing is claimed, so there is nothing to contradict; "
                "declare mode per_site or distributed"
            )
        return cls(
            site=site,
            epsilon=plan.epsilon,
            delta=plan.delta,
            event=plan.training,
            evaluation=plan.evaluation.noise_multiplier,
        )

    @classmethod
    def signed(cls, study: Study, summary: Summary) -> "Claim | None":
        """Returns what a hospital signed about a run; None where it claimed nothing."""
        if summary.epsilon is None or summary.delta is None or summary.noise_multiplier is None:
            return None
        event = SampledGaussian(
            noise_multiplier=summary.noise_multiplier,
            sampling_rate=summary.sampling_rate,
            steps=study.priced_steps_of(summary.site),
        )
        return cls(
            site=summary.site,
            epsilon=summary.epsilon,
            delta=summary.delta,
            event=event,
            evaluation=summary.evaluation_noise_multiplier,
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """An attacker's view of every round, and the mechanism that was claimed for it.

    ``sites`` put in what the attacker does not know, each with noise of
    ``multiplier`` times the clipping bound; ``event`` is what the claim prices.
    """

    title: str
    sites: tuple[str, ...]
    multiplier: float
    event: SampledGaussian
    claimed_as: str

    @property
    def deviation(self) -> float:
        """The deviation of all noise in the view, in units of the clipping bound."""
        return self.multiplier * math.sqrt(len(self.sites))


def own_multiplier(study: Study, claim: Claim) -> float:
    """Returns the deviation of the noise that one hospital adds, in units of the clip."""
    if isinstance(study.privacy, DistributedPrivacy):
        return share_multiplier(study, study.privacy)
    return claim.event.noise_multiplier


def views_of(study: Study, claim: Claim) -> tuple[View, ...]:
    """Returns what is attacked; the first view is the one that the claim is about."""
    own = own_multiplier(study, claim)
    if not isinstance(study.privacy, DistributedPrivacy):
        return (
            View(
                title="one hospital's update", sites=(claim.site,), multiplier=own,
                event=claim.event, claimed_as="the claim",
            ),
        )  # fmt: skip
    honest = honest_shares(study.threshold, study.aggregation.colluders)
    others = [site for site in study.site_names if site != claim.site]
    return (
        View(
            title=f"the sum, with the noise of {honest} hospitals",
            sites=(claim.site, *others[: honest - 1]),
            multiplier=own,
            event=claim.event,
            claimed_as="the claim",
        ),
        View(
            title="one hospital's share alone",
            sites=(claim.site,),
            multiplier=own,
            event=replace(claim.event, noise_multiplier=own),
            claimed_as="the fallback if too many collude",
        ),
    )


class Hospital(Protocol):
    """One hospital's trainer as the attacker meets it: a model goes in, a release comes out."""

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each step's noised gradient in one release."""

    def released(self, given: RoundInput) -> Floats:
        """Returns a round's (size,) noised gradient, in integer units of the clip."""

    def ring_elements(self, given: RoundInput) -> RingVector:
        """Returns what the hospital would mask, as elements of the 64-bit ring."""


@dataclass(frozen=True, kw_only=True)
class LocalHospital:
    """Releases updates that its own noise protects; without a multiplier, bare ones."""

    study: Study
    site: str
    trainer: Trainer
    entropy: Entropy

    @property
    def weights(self) -> tuple[float, ...]:
        """By how much each gradient of a round moves its update: a strategy's rule is linear."""
        training, strategy = self.study.training, strategy_of(self.study.training)
        start = LocalStart(
            layout=Layout(names=("one",), shapes=((1,),)),
            parameters=np.zeros(1),
            round=0,
            steps=training.local_steps,
            bound=math.inf,
        )
        ends = [
            ended(strategy.local(training, start), partial(_one_at, place))
            for place in range(training.gradients_per_round)
        ]
        return tuple(-float(end.update[0]) / training.learning_rate for end in ends)

    def released(self, given: RoundInput) -> Floats:
        """Returns the update, divided by what one unit of one step moves."""
        privacy = patient_privacy(self.study, self.site)
        expected = self.study.expected_batch(self.site)
        unit = privacy.clip / units_for(layout_of(given.model).size) / expected
        update = self.trainer.update(given, self.entropy).update
        return np.asarray(-update / (unit * self.study.training.learning_rate))

    def ring_elements(self, given: RoundInput) -> RingVector:
        """Returns the weighted update as the hospital encodes it; zeros where it must refuse."""
        vector = round_vector(self.study, given.model, given.number)
        update = self.trainer.update(given, self.entropy).update
        try:
            return vector.encode(self.site, update)
        except UpdateRefused:  # an unprotected training may diverge
            return vector.encode(self.site, np.zeros_like(update))


def _one_at(place: int, number: int, _parameters: Floats) -> Floats:
    """Returns a gradient of 1 where the asking has this number, of 0 elsewhere."""
    return np.array([float(number == place)])


@dataclass(frozen=True, kw_only=True)
class SharingHospital:
    """Releases gradient sums with its share of the noise."""

    study: Study
    site: str
    trainer: Trainer
    entropy: Entropy

    @property
    def weights(self) -> tuple[float, ...]:
        """One step is one round; momentum is the coordinator's."""
        return (1.0,)

    def released(self, given: RoundInput) -> Floats:
        """Returns the sum, which is whole already."""
        summed = self.trainer.noised_sum(given, self.entropy)
        return np.asarray(summed, dtype=np.float64)

    def ring_elements(self, given: RoundInput) -> RingVector:
        """Returns the sum as it is added up."""
        summed = self.trainer.noised_sum(given, self.entropy)
        return round_vector(self.study, given.model, given.number).encode(self.site, summed)


def hospital_at(study: Study, site: str, trainer: Trainer, entropy: Entropy) -> Hospital:
    """Returns the hospital that a study makes of a trainer."""
    kind = SharingHospital if isinstance(study.privacy, DistributedPrivacy) else LocalHospital
    return kind(study=study, site=site, trainer=trainer, entropy=entropy)
