"""The sections of a study as one record, and what follows from them; ``study`` checks them.

Everything here follows from the study alone, so that both institutions compute the same.
"""

import math
from collections.abc import Collection
from typing import Literal

from pydantic import Field

from protocol.study.cohort.cohort import Cohort
from protocol.study.frozen_model import FrozenModel, Lines, OneLine
from protocol.study.privacy import DistributedPrivacy, NoPrivacy, PerSitePrivacy, Privacy
from protocol.study.strategies.registry import STRATEGIES, TrainingSection
from protocol.study.strategies.training import Training
from protocol.study.study.agreed.preregistration import Preregistration
from protocol.study.study.agreed.release import ReleaseTerms
from protocol.study.study.names import Name
from protocol.study.study.schedule import EvaluationSchedule
from protocol.study.study.sites import Partitioning, Site
from protocol.study.study.splits import KeyedHashSplit, Split
from protocol.study.study.sums.aggregation import Aggregation, Seeds
from protocol.study.study.sums.communication import Communication
from protocol.study.study.sums.participation import SiteBatches, SumOfSites
from protocol.study.study.sums.robust import RobustRule
from protocol.study.task.evaluation import Evaluation, Grouping
from protocol.study.task.monitoring import Monitoring
from protocol.study.task.recipes import RecipePackage
from protocol.study.task.statistics import Statistics
from protocol.study.task.task import (
    MulticlassClassification,
    Segmentation,
    Survival,
    Task,
    prevalence_of,
)
from protocol.vectors.adaptive_clip import NOISE_PART, clip_of
from protocol.vectors.evaluation import (
    EVALUATION_VECTORS,
    EvaluationVector,
    column_counts,
    confidence_counts,
    distance_sums,
)
from protocol.vectors.number_of_bins import NUMBERS, number_of_bins, roughly_noised
from protocol.vectors.tensors import Tensors

#: The share of a hospital's patients who are tested, where the split does not say.
_USUALLY_TESTED = 0.3


def no_training() -> Training:
    """Returns the section of a study that trains nothing, where it is left out."""
    keys = STRATEGIES["fedavg"].keys
    return keys.model_validate(
        {"strategy": "fedavg", "rounds": 0, "local_steps": 1, "learning_rate": 1.0}
    )


class StudyRecord(FrozenModel):
    """The sections of a study, each checked by itself; ``Study`` checks them together."""

    collegium: Literal[1]
    name: Name
    title: OneLine = Field(min_length=1, max_length=200)
    purpose: Lines = Field(min_length=1, max_length=2000)
    cohort: Cohort
    sites: tuple[Site, ...]
    partition: Partitioning | None = None
    split: Split = Field(default_factory=KeyedHashSplit)
    task: Task
    training: TrainingSection = Field(default_factory=no_training)
    privacy: Privacy
    aggregation: Aggregation = Field(default_factory=Aggregation)
    communication: Communication | None = Field(
        default=None, exclude_if=lambda section: section is None
    )
    evaluation: Evaluation = Field(default_factory=Evaluation)
    seeds: Seeds = Field(default_factory=Seeds)
    recipes: tuple[RecipePackage, ...] = Field(
        default=(), max_length=8, exclude_if=lambda named: not named
    )
    participation: SiteBatches | None = Field(default=None, exclude_if=lambda named: named is None)
    robust: RobustRule | None = Field(default=None, exclude_if=lambda named: named is None)
    release: ReleaseTerms | None = Field(default=None, exclude_if=lambda terms: terms is None)
    preregistration: Preregistration | None = Field(
        default=None, exclude_if=lambda section: section is None
    )

    @property
    def site_names(self) -> tuple[str, ...]:
        """The cohort's names, sorted: the order every protocol step uses."""
        return tuple(sorted(site.name for site in self.sites))

    @property
    def threshold(self) -> int:
        """t: how many sites must answer; floor(2n/3) + 1 unless declared."""
        return self.aggregation.threshold or 2 * len(self.sites) // 3 + 1

    def sums(self, round_kind: str, number: int) -> tuple[SumOfSites, ...]:
        """Returns the secure sums of a round, which counts from 0: one, unless groups are named.

        Batches and groups are of training; the evaluation is one sum of all hospitals.
        """
        if round_kind == "training" and self.robust is not None:
            return tuple(SumOfSites.over(group) for group in self.robust.groups)
        if round_kind == "training" and self.participation is not None:
            return (SumOfSites.over(self.participation.of_round(number)),)
        return (self.whole_sum,)

    def sum_with(self, site: str, round_kind: str, number: int) -> SumOfSites | None:
        """Returns the sum of a round that a hospital is in; None where it has no part in it."""
        return next((one for one in self.sums(round_kind, number) if site in one.sites), None)

    @property
    def whole_sum(self) -> SumOfSites:
        """The secure sum of all hospitals."""
        return SumOfSites(sites=self.site_names, threshold=self.threshold)

    @property
    def partial_sums(self) -> tuple[SumOfSites, ...]:
        """The sums of training that are not of all hospitals: one for each batch or group."""
        parts = self.robust.groups if self.robust is not None else ()
        parts += self.participation.batches if self.participation is not None else ()
        return tuple(SumOfSites.over(part) for part in parts)

    def least_in(self, one: SumOfSites) -> int:
        """Returns how many hospitals a sum has at least."""
        return max(one.threshold, self.aggregation.min_sites)

    def least_sums(self, round_kind: str) -> int:
        """Returns how many sums a round of a kind has at least: of groups, as the rule needs."""
        grouped = round_kind == "training" and self.robust is not None
        return self.robust.least_groups if grouped and self.robust is not None else 1

    def enough(self, round_kind: str, number: int, there: Collection[str]) -> bool:
        """Whether a round, which counts from 0, can be made among the hospitals that are there."""
        able = [
            one
            for one in self.sums(round_kind, number)
            if len(set(one.sites) & set(there)) >= self.least_in(one)
        ]
        return len(able) >= self.least_sums(round_kind)

    def fewest_with(self, site: str) -> int:
        """Returns the fewest hospitals in any sum that a hospital may be in."""
        own = [one for one in self.partial_sums if site in one.sites]
        return min(map(self.least_in, [self.whole_sum, *own]))

    def rounds_of(self, site: str) -> int:
        """Returns the number of training rounds that a hospital takes part in."""
        rounds = self.training.rounds
        return rounds if self.participation is None else self.participation.rounds_of(site, rounds)

    @property
    def evaluation_vector(self) -> EvaluationVector:
        """The sizes and bounds of what a hospital counts in the evaluation."""
        if isinstance(self.task, Statistics):
            return column_counts(self.task.columns(self.cohort))
        return self._vector_of(self.score_bins)

    @property
    def score_bins(self) -> int:
        """The number of bins that scores are counted in, chosen where the study says ``auto``."""
        bins = self.evaluation.bins
        return self._chosen_bins if bins == "auto" else bins

    @property
    def _chosen_bins(self) -> int:
        split, privacy, evaluation = self.split, self.privacy, self.evaluation
        tested = split.test_fraction if isinstance(split, KeyedHashSplit) else _USUALLY_TESTED
        groups, deviation = self.task.groups(self.cohort.label), 0.0
        if not isinstance(privacy, NoPrivacy):
            budgets = [self.evaluation_epsilon_of(site) for site in self.site_names]
            vector = self._vector_of(min(NUMBERS))
            deviation = vector.influence * roughly_noised(
                [budget for budget in budgets if budget is not None],
                privacy.delta,
                self.priced_evaluations,
                evaluation.site_share,
            )
        return number_of_bins(
            sum(site.patients for site in self.sites) * tested / (1 - tested),
            prevalence_of(self.task) or 0.5,
            deviation,
            rows=groups if isinstance(self.task, Survival) else 1,
        )

    def _vector_of(self, bins: int) -> EvaluationVector:
        task, evaluation = self.task, self.evaluation
        layout = EVALUATION_VECTORS[task.kind]
        if isinstance(task, Segmentation) and task.distances:
            layout = distance_sums
        elif isinstance(task, MulticlassClassification) and task.confidence:
            layout = confidence_counts
        return layout(bins, task.groups(self.cohort.label)).with_parts(
            site_bins=evaluation.site_bins,
            groups=tuple(len(grouping.groups) for grouping in evaluation.groups.values()),
            group_bins=evaluation.group_bins,
        )

    @property
    def evaluation_epsilon(self) -> float | None:
        """The epsilon of one test patient, or None when nothing is protected."""
        if isinstance(self.privacy, NoPrivacy):
            return None
        return self.evaluation.epsilon or self.privacy.epsilon

    def privacy_of(self, site: str) -> Privacy:
        """Returns what this hospital promises its patients: the study's privacy, or more.

        Where it chose a smaller epsilon, its noise multiplier follows from that and
        its sampling rate; shared noise stays the study's, and the rate makes up for it.
        """
        own, privacy = self.site(site), self.privacy
        update: dict[str, float | None] = {}
        if own.sampling_rate is not None:
            update["sampling_rate"] = own.sampling_rate
        if own.epsilon is not None:
            update["epsilon"] = own.epsilon
        if update and isinstance(privacy, PerSitePrivacy):
            update["noise_multiplier"] = None
        return privacy.model_copy(update=update)

    def evaluation_epsilon_of(self, site: str) -> float | None:
        """Returns the epsilon of a hospital's test patients; at most its training patients'."""
        most, own = self.evaluation_epsilon, self.site(site).epsilon
        return most if most is None or own is None else min(most, own)

    @property
    def weights(self) -> dict[str, float]:
        """Each site's public weight: its declared number of training patients."""
        return {site.name: float(site.patients) for site in self.sites}

    def groupings_of(self, site: str) -> tuple[Grouping, ...]:
        """Returns the groupings of which this hospital counts groups: none if it declined."""
        return tuple(self.evaluation.groups.values()) if self.site(site).groups else ()

    def local_steps_of(self, site: str) -> int:
        """Returns how many local steps a hospital takes in a round: the study's, or fewer."""
        return self.site(site).local_steps or self.training.local_steps

    def expected_batch(self, site: str) -> float:
        """Returns what a site's sums are divided by: sampling rate x declared patients."""
        return self.privacy_of(site).sampling_rate * self.site(site).patients

    @property
    def count_deviation(self) -> float:
        """The noise of one hospital's count of patients within an adaptive clip, in patients.

        Of the noises that a sum is claimed to hold (all hospitals' own, or one that they share) the
        deviation is a twentieth of the batch that is expected at all hospitals.
        """
        noises = len(self.sites) if isinstance(self.privacy, PerSitePrivacy) else 1
        return self.whole_batch * NOISE_PART / math.sqrt(noises)

    def clip_of(self, model: Tensors) -> float | None:
        """Returns the clip that a model brings where it is adaptive; None where it is fixed."""
        privacy = self.privacy
        if isinstance(privacy, NoPrivacy) or privacy.adaptive_clip is None:
            return None
        return clip_of(model, privacy.clip)

    @property
    def whole_batch(self) -> float:
        """The number of patients that a step is expected to draw at all hospitals."""
        return sum(self.expected_batch(site.name) for site in self.sites)

    @property
    def records_per_patient(self) -> int:
        """The most records of a patient that are used at once; 1 where each record is a patient."""
        alone = self.cohort.patient_key == "row"
        if isinstance(self.privacy, PerSitePrivacy | DistributedPrivacy):
            alone = alone or self.privacy.unit == "record"
        return 1 if alone else self.cohort.max_records_per_patient

    @property
    def has_model(self) -> bool:
        """False of a statistics study: it counts columns of every patient, and has no network."""
        return not isinstance(self.task, Statistics)

    @property
    def trains(self) -> bool:
        """False of a study without a round of training: statistics, or a given model's evaluation.

        An evaluation-only study evaluates the parameters of ``task.pretrained`` on each hospital's
        test patients.
        """
        return self.has_model and self.training.rounds > 0

    @property
    def priced_steps(self) -> int:
        """The number of noised gradients that a hospital plans to send in every round.

        See ``priced_steps_of``.
        """
        return self._priced(self.training.rounds)

    def priced_steps_of(self, site: str) -> int:
        """Returns how many noised gradients a hospital plans to send, spare ones included.

        They are those of the rounds that it takes part in. A spare draw repeats a round: as many
        steps as a round has. Of a study that trains nothing it is the number of its releases, which
        every patient pays who is counted.
        """
        return self._priced(self.rounds_of(site))

    def steps_of(self, site: str) -> int:
        """Returns how many gradients a hospital takes in the rounds that it takes part in."""
        return self.rounds_of(site) * self.training.gradients_per_round

    def _priced(self, rounds: int) -> int:
        if not self.trains:
            return self.priced_evaluations
        return (rounds + self.aggregation.spare_draws) * self.priced_steps_of_round

    @property
    def priced_steps_of_round(self) -> int:
        """The number of releases that a patient pays for in a round, or in a repeated draw of it.

        Whole: a round has whole cycles of correlated noise, and no patient is in more than one of
        a cycle's steps.
        """
        return -(-self.training.gradients_per_round // self.privacy.bands)

    @property
    def priced_evaluations(self) -> int:
        """The number of evaluations that a hospital pays for beforehand, spare ones included.

        One and the interim ones; where the study monitors, its reference and every release of its
        calendar.
        """
        return self.evaluation.attempts + self.evaluations.interim + (self.calendar or 0)

    @property
    def evaluations(self) -> EvaluationSchedule:
        """The evaluations of a run, and after which rounds they are made."""
        return EvaluationSchedule(rounds=self.training.rounds, every=self.evaluation.every)

    @property
    def calendar(self) -> int | None:
        """The number of releases after the reference, of a monitoring study; None of others."""
        return self.task.releases if isinstance(self.task, Monitoring) else None

    @property
    def spare_draws(self) -> dict[str, int]:
        """The draws beyond the first of each round that a run pays for, by kind of round."""
        return {
            "training": self.aggregation.spare_draws,
            "evaluation": self.evaluation.attempts - 1,
        }

    def site(self, name: str) -> Site:
        """Returns the site of that name; KeyError when the study has none."""
        return {site.name: site for site in self.sites}[name]
