"""The Study: the plan that hospitals agree to, as one frozen record.

Rules that every record keeps:

1. At least three sites, named once each; threshold t and colluders C obey
   2t > n + C, t > C and t - C >= 2 (``docs/protocol.md``).
2. epsilon is finite and above zero, delta lies in (0, 1) and below 1/n for
   every declared patient count.
3. The masked sum cannot wrap a ring of 64 bits (``ring_bounds``).
4. Canonical bytes (RFC 8785) and their SHA-256 name the study; any change
   makes another study.
"""

import difflib
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from protocol.encoding import canonical, digest, digest_json
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.cohort.labels import SurvivalLabel, TimeToEventLabel
from protocol.study.cohort.vocabulary import Token
from protocol.study.frozen_model import Epsilon, FrozenModel
from protocol.study.privacy import DistributedPrivacy, NoPrivacy, PerSitePrivacy, Privacy
from protocol.study.strategies.registry import STRATEGIES, TrainingSection, changed, strategy_of
from protocol.study.strategies.strategy import Problem
from protocol.study.strategies.training import Training
from protocol.study.task.evaluation import Evaluation, Grouping
from protocol.study.task.monitoring import SCORE, Monitoring
from protocol.study.task.networks.fusions import LateFusion
from protocol.study.task.networks.registry import networks_for
from protocol.study.task.recipes import RecipePackage, RecipeUse, bind_recipes, recipe_problems
from protocol.study.task.statistics import Statistics
from protocol.study.task.task import (
    LABEL_FORMS,
    BinaryClassification,
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
    distance_sums,
)
from protocol.vectors.number_of_bins import number_of_bins, roughly_noised
from protocol.vectors.ring_bounds import fits, max_sum_of_updates
from protocol.vectors.tensors import Tensors

NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME)]
Digest: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _stays_below(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path:
        raise ValueError("must be a relative path that stays inside its folder")
    return path


RelativePath: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=255), AfterValidator(_stays_below)
]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]

#: The count of a batch as small as this leaves too little of the clip's bound to the gradient.
_LEAST_COUNTED = 21
#: The bundled records: 569 real patients that come with scikit-learn.
#: The share of a hospital's patients who are tested, where the split does not say.
_USUALLY_TESTED = 0.3
BUNDLED = "bundled:breast-cancer-wisconsin"


class Site(FrozenModel):
    """One hospital's place in the study.

    ``records`` says where a simulation finds this hospital's file below the
    data folder; a real hospital configures its own source. ``patients`` is the
    declared number of the site's training patients: a public round number, frozen
    for the study, that the site's sums are divided by and that is its weight. The
    site takes part only while neither its training nor its test patients are more,
    so nothing that it sends depends on how many they are.
    ``epsilon`` is less than the study's where the hospital promises its patients
    more; ``sampling_rate`` is then its own too, if it wants another. With ``groups: false``
    it has declined to count groups of its patients (``evaluation.groups``): they are in all
    other figures. With ``local_steps`` it takes fewer of them in a round than the study says.
    """

    name: Name
    records: RelativePath | None = None
    value: Token | None = None
    patients: int = Field(ge=1, le=10_000_000)
    epsilon: Epsilon | None = None
    sampling_rate: float | None = Field(default=None, gt=0, le=1)
    groups: bool = Field(default=True, exclude_if=lambda counted: counted)
    local_steps: int | None = Field(
        default=None, ge=1, le=10_000, exclude_if=lambda steps: steps is None
    )


class PartitionByColumn(FrozenModel):
    """A simulation's partitioning rule: the site is written in a column."""

    rule: Literal["column"]
    column: str = Field(min_length=1)


class PartitionBySkew(FrozenModel):
    """A simulation's partitioning rule: unequal shares, with label skew.

    For each class the shares are drawn from Dirichlet(concentration x shares);
    a low concentration gives hospitals with very different prevalence. A
    patient's records stay together.
    """

    rule: Literal["label_skew"]
    shares: tuple[Annotated[float, Field(gt=0)], ...]
    concentration: float = Field(default=8.0, gt=0, le=1e6)
    seed: Seed


class Partitioning(FrozenModel):
    """A simulation's partitioning of one set of records among the sites."""

    records: RelativePath
    how: Annotated[PartitionByColumn | PartitionBySkew, Field(discriminator="rule")]


class KeyedHashSplit(FrozenModel):
    """Patients are split by a keyed hash of their key; each hospital keeps its own key."""

    method: Literal["keyed_hash"] = "keyed_hash"
    test_fraction: float = Field(default=0.3, gt=0, lt=1)


class ColumnSplit(FrozenModel):
    """The part of a record is written in a column (``part`` for npz cohorts)."""

    method: Literal["column"]
    column: str = Field(min_length=1)
    train: tuple[Token, ...] = Field(min_length=1)
    test: tuple[Token, ...] = Field(min_length=1)


class FileSplit(FrozenModel):
    """The part of a record is written in an index file beside the study.

    A CSV with the header ``site,row,part``: the row counts a site's records
    from 0 as they stand in its file, part is ``train`` or ``test``. Records
    that the file does not name are not used.
    """

    method: Literal["file"]
    file: RelativePath
    sha256: Digest | None = None


Split: TypeAlias = Annotated[
    KeyedHashSplit | ColumnSplit | FileSplit, Field(discriminator="method")
]


class Aggregation(FrozenModel):
    """Secure aggregation: t answers unmask, up to C silos may collude with the coordinator.

    An update is shortened to the L2 norm ``bound`` and sent in units of
    ``2**-frac_bits``; 32 bits for each parameter, or 64 where the sum could wrap
    them. A round is begun ``attempts`` times at most. Once its noised vectors were
    revealed, another attempt needs them drawn anew: ``spare_draws`` such draws of
    a round are priced beforehand, for the whole training. The coordinator keeps the
    masked vectors of the last ``keep_rounds`` rounds, so that anybody can
    recompute their sums.
    """

    threshold: int | None = Field(default=None, ge=2)
    colluders: int = Field(default=1, ge=0)
    min_sites: int = Field(default=3, ge=3)
    bound: float = Field(default=16.0, gt=0, le=1e9)
    frac_bits: int = Field(default=20, ge=4, le=30)
    attempts: int = Field(default=3, ge=1, le=20)
    spare_draws: int = Field(default=1, ge=0, le=20)
    keep_rounds: int = Field(default=2, ge=0, le=1000)


class Seeds(FrozenModel):
    """Public seeds. Noise and keys never come from a seed outside a marked simulation."""

    model: Seed = 0
    split: Seed = 0


def _no_training() -> Training:
    """Returns the section of a study that trains nothing, where it is left out."""
    keys = STRATEGIES["fedavg"].keys
    return keys.model_validate(
        {"strategy": "fedavg", "rounds": 0, "local_steps": 1, "learning_rate": 1.0}
    )


class Study(FrozenModel):
    """The whole plan. Its digest is registered before any work.

    ``recipes`` are the packages of code that it takes networks, transforms or a loss from.
    ``training`` is left out where the task is ``statistics``, and nowhere else.
    """

    collegium: Literal[1]
    name: Name
    title: str = Field(min_length=1, max_length=200)
    purpose: str = Field(min_length=1, max_length=2000)
    cohort: Cohort
    sites: tuple[Site, ...]
    partition: Partitioning | None = None
    split: Split = Field(default_factory=KeyedHashSplit)
    task: Task
    training: TrainingSection = Field(default_factory=_no_training)
    privacy: Privacy
    aggregation: Aggregation = Field(default_factory=Aggregation)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    seeds: Seeds = Field(default_factory=Seeds)
    recipes: tuple[RecipePackage, ...] = Field(
        default=(), max_length=8, exclude_if=lambda named: not named
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for path, problem in _contradictions(self):
            raise PydanticCustomError("study", "{problem}", {"problem": problem, "path": path})
        bind_recipes(self.recipes, self.task.recipe_uses)
        return self

    @property
    def site_names(self) -> tuple[str, ...]:
        """The cohort's names, sorted: the order every protocol step uses."""
        return tuple(sorted(site.name for site in self.sites))

    @property
    def threshold(self) -> int:
        """t: how many sites must answer; floor(2n/3) + 1 unless declared."""
        return self.aggregation.threshold or 2 * len(self.sites) // 3 + 1

    @property
    def evaluation_vector(self) -> EvaluationVector:
        """The sizes and bounds of what a hospital counts in the evaluation."""
        if isinstance(self.task, Statistics):
            return column_counts(self.task.columns(self.cohort))
        groups = self.task.groups(self.cohort.label)
        if isinstance(self.task, Segmentation) and self.task.distances:
            return self._with_parts(distance_sums(groups))
        return self._with_parts(EVALUATION_VECTORS[self.task.kind](self.score_bins, groups))

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
            vector = self._with_parts(EVALUATION_VECTORS[self.task.kind](4, groups))
            deviation = vector.influence * roughly_noised(
                [budget for budget in budgets if budget is not None],
                privacy.delta,
                evaluation.attempts,
                evaluation.site_share,
            )
        return number_of_bins(
            sum(site.patients for site in self.sites) * tested / (1 - tested),
            prevalence_of(self.task) or 0.5,
            deviation,
            rows=groups if isinstance(self.task, Survival) else 1,
        )

    def _with_parts(self, vector: EvaluationVector) -> EvaluationVector:
        evaluation = self.evaluation
        return vector.with_parts(
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
        return self._whole_batch * NOISE_PART / math.sqrt(noises)

    def clip_of(self, model: Tensors) -> float | None:
        """Returns the clip that a model brings where it is adaptive; None where it is fixed."""
        privacy = self.privacy
        if isinstance(privacy, NoPrivacy) or privacy.adaptive_clip is None:
            return None
        return clip_of(model, privacy.clip)

    @property
    def _whole_batch(self) -> float:
        return sum(self.expected_batch(site.name) for site in self.sites)

    @property
    def records_per_patient(self) -> int:
        """The most records of a patient that are used at once; 1 where each record is a patient."""
        alone = self.cohort.patient_key == "row"
        if isinstance(self.privacy, PerSitePrivacy | DistributedPrivacy):
            alone = alone or self.privacy.unit == "record"
        return 1 if alone else self.cohort.max_records_per_patient

    @property
    def trains(self) -> bool:
        """False of a statistics study: it counts every patient, and has no round of training."""
        return not isinstance(self.task, Statistics)

    @property
    def priced_steps(self) -> int:
        """The number of noised gradients that a hospital plans to send, spare ones included.

        A spare draw repeats a round: as many steps as a round has. Of a study that trains nothing
        it is the number of its releases, which every patient pays.
        """
        if not self.trains:
            return self.priced_evaluations
        rounds = self.training.rounds + self.aggregation.spare_draws
        return rounds * self.training.gradients_per_round

    @property
    def priced_evaluations(self) -> int:
        """The number of evaluations that a hospital pays for beforehand, spare ones included.

        One, unless the study monitors: then its reference and every release of its calendar.
        """
        return self.evaluation.attempts + (self.calendar or 0)

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

    def with_seed(self, seed: int) -> "Study":
        """Returns this study with another model seed: another study, another digest."""
        return self.replaced(seeds=self.seeds.model_copy(update={"model": seed}))

    def with_split(self, seed: int) -> "Study":
        """Returns this study with another split seed: other patients are tested on."""
        return self.replaced(seeds=self.seeds.model_copy(update={"split": seed}))

    def with_epsilon(self, epsilon: float | None) -> "Study":
        """Returns this study with another epsilon, or None for no privacy at all.

        The noise multiplier and the evaluation's epsilon then follow from it;
        distributed noise has none that follows: see ``with_noise``.
        """
        training: Training = self.training
        if epsilon is None:
            privacy: Privacy = NoPrivacy(mode="none", sampling_rate=self.privacy.sampling_rate)
            if isinstance(self.privacy, DistributedPrivacy):  # the same steps, without noise
                training = changed(training, strategy="fedavg", momentum=0.0)
        elif isinstance(self.privacy, NoPrivacy):
            raise ValueError("a study without privacy has no delta and clip to go with an epsilon")
        elif isinstance(self.privacy, DistributedPrivacy):
            raise ValueError("distributed noise is declared together with its epsilon")
        else:
            update = {"epsilon": epsilon, "noise_multiplier": None}
            privacy = self.privacy.model_copy(update=update)
        evaluation = self.evaluation.model_copy(update={"epsilon": None})
        return self.replaced(
            privacy=privacy, evaluation=evaluation, training=training, sites=self._sites(epsilon)
        )

    def without_noise(self) -> "Study":
        """Returns this study without privacy, all else as it is: the clip too.

        A rate that was chosen for short gradients diverges with whole ones.
        """
        clip = self.privacy.clip
        free = self.with_epsilon(None)
        return free.replaced(privacy=free.privacy.model_copy(update={"clip": clip}))

    def with_noise(self, epsilon: float, noise_multiplier: float) -> "Study":
        """Returns this study with another epsilon and the noise multiplier that keeps it."""
        update = {"epsilon": epsilon, "noise_multiplier": noise_multiplier}
        evaluation = self.evaluation.model_copy(update={"epsilon": None})
        return self.replaced(
            privacy=self.privacy.model_copy(update=update),
            evaluation=evaluation,
            sites=self._sites(epsilon),
        )

    def _sites(self, epsilon: float | None) -> tuple[Site, ...]:
        """Returns the sites without a choice of their own that another epsilon makes void."""
        void = [s for s in self.sites if s.epsilon and (epsilon is None or s.epsilon > epsilon)]
        return tuple(s.model_copy(update={"epsilon": None}) if s in void else s for s in self.sites)

    def replaced(self, **update: object) -> "Study":
        """Returns the study with other sections, checked anew.

        Raises:
            ValidationError: they do not go together.
        """
        found = Study.model_validate(self.model_copy(update=update).model_dump())
        found.attach_from(self)
        return found

    def attach_from(self, other: "Study") -> None:
        """Takes what another study has of the same files: pretrained parameters, recipes."""
        if self.task.pretrained is not None:
            self.task.pretrained.attach_from(other.task.pretrained)
        for package in self.recipes:
            package.attach_from(other.recipes)

    def site(self, name: str) -> Site:
        """Returns the site of that name; KeyError when the study has none."""
        return {site.name: site for site in self.sites}[name]

    def privacy_digest(self, round_kind: str) -> str:
        """Returns the digest of what a round of this kind releases and how that is protected."""
        if round_kind not in self._privacy_digests:
            self._privacy_digests[round_kind] = digest_json(
                {
                    "round_kind": round_kind,
                    "privacy": self.privacy.model_dump(mode="json"),
                    "steps": self.training.steps,
                    "evaluation": self.evaluation.model_dump(mode="json"),
                }
            )
        return self._privacy_digests[round_kind]

    @cached_property
    def _privacy_digests(self) -> dict[str, str]:
        return {}

    @cached_property
    def weights_digest(self) -> str:
        """The public weights as a digest."""
        return digest_json(self.weights)

    @cached_property
    def canonical_bytes(self) -> bytes:
        """The bytes that are hashed, signed and registered."""
        return canonical(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """The study's name for ever: SHA-256 of its canonical bytes."""
        return digest(self.canonical_bytes)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Study":
        """Returns a copy; what was computed from the old fields is computed anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in set(vars(copied)) - set(type(self).model_fields):
            del vars(copied)[name]
        return copied


def _contradictions(study: Study) -> list[Problem]:
    """Returns (path, problem) pairs for rules that span several fields."""
    return [
        *_column_problems(study),
        *_site_problems(study),
        *_record_problems(study),
        *(_task_problems(study) if study.trains else _statistics_problems(study)),
        *_evaluation_problems(study),
        *recipe_problems(study.recipes, study.task.recipe_uses),
        *_privacy_problems(study),
        *_aggregation_problems(study),
    ]


def _column_problems(study: Study) -> list[Problem]:
    """Yields the problems of a patient key or label that is not a declared column."""
    if not isinstance(study.cohort, TableCohort):
        return []
    declared = [column.name for column in study.cohort.columns]
    label = study.cohort.label
    used = [("label.column", name) for name in label.columns]
    if isinstance(label, SurvivalLabel):
        used[-1] = ("label.event", label.event)
    if study.cohort.patient_key != "row":
        used.insert(0, ("patient_key", study.cohort.patient_key))
    return [
        (
            f"cohort.{key}",
            f"no column is called {name!r}: the columns are {', '.join(declared)}; add "
            f"{{name: {name}, kind: other}} if the files have it{nearest(name, declared)}",
        )
        for key, name in used
        if name not in declared
    ]


def _site_problems(study: Study) -> list[Problem]:
    names = [site.name for site in study.sites]
    problems = []
    if len(names) < 3:
        problems.append(
            (
                "sites",
                f"at least three sites are needed, got {len(names)}: with two, the sum "
                "shows each the other's update",
            )
        )
    if len(names) > 100:
        problems.append(("sites", f"at most 100 sites, got {len(names)}"))
    if "coordinator" in names:
        problems.append(("sites", "no site may be called coordinator: another party is"))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        problems.append(("sites", f"site names are repeated: {', '.join(repeated)}"))
    return problems


def _record_problems(study: Study) -> list[Problem]:
    problems = []
    if study.partition is not None:
        how = study.partition.how
        if isinstance(how, PartitionBySkew) and len(how.shares) != len(study.sites):
            problems.append(
                (
                    "partition.how.shares",
                    f"{len(study.sites)} sites need {len(study.sites)} shares, "
                    f"got {len(how.shares)}",
                )
            )
    else:
        without = [site.name for site in study.sites if site.records is None]
        if without and len(without) < len(study.sites):
            problems.append(("sites", f"sites without records: {', '.join(without)}"))
    features = {column.name for column in study.cohort.features}
    if isinstance(study.split, ColumnSplit) and study.split.column in features:
        problems.append(("split.column", "the split column must not be a feature"))
    return problems


def _task_problems(study: Study) -> list[Problem]:
    task, label, problems = study.task, study.cohort.label, []
    if not study.training.rounds:
        problems.append(
            (
                "training",
                "no round of training: write rounds, local_steps and learning_rate; only "
                "task.kind statistics has none",
            )
        )
    if isinstance(study.cohort, TableCohort) and study.cohort.on_missing == "count":
        problems.append(
            ("cohort.on_missing", "count goes with task.kind statistics: a model needs every cell")
        )
    problems += _network_problems(study)
    if isinstance(study.cohort, ImageCohort):
        problems += [(f"cohort.image.{key}", why) for key, why in study.cohort.image.misfits()]
    if task.augmentation is not None:
        problems += task.augmentation.misfits(study.cohort.input_forms[0][1:])
    if not isinstance(label, task.label):
        needed = LABEL_FORMS[task.kind]
        return [*problems, ("cohort.label", f"task {task.kind} needs a label with {needed}")]
    if isinstance(task, Survival) and isinstance(label, SurvivalLabel | TimeToEventLabel):
        if task.times[-1] > label.range[1]:
            problems.append(
                (
                    "task.times",
                    f"{task.times[-1]:g} lies beyond the label's range, which ends at "
                    f"{label.range[1]:g}",
                )
            )
        if task.loss == "cox" and not isinstance(study.privacy, NoPrivacy):
            problems.append(
                (
                    "task.loss",
                    "cox compares patients with each other, so no patient's influence is bounded: "
                    "use loss: hazard, or privacy.mode none",
                )
            )
    return problems


def _evaluation_problems(study: Study) -> list[Problem]:
    """Yields the problems of counts by group, or in bins, that the task or the cohort has not."""
    evaluation, problems = study.evaluation, []
    binned = study.task.kind == "binary_classification"
    if evaluation.site_bins != 2 and not binned:
        problems.append(("evaluation.site_bins", "only binary classification has them"))
    if evaluation.groups and not study.trains:
        problems.append(("evaluation.groups", "statistics are of columns: leave them out"))
    key = study.cohort.patient_key
    return problems + [
        (f"evaluation.groups.{name}.column", "a patient's key makes no group")
        for name, grouping in evaluation.groups.items()
        if grouping.column == key
    ]


def _statistics_problems(study: Study) -> list[Problem]:
    """Yields the problems of a study that counts columns: whatever of it says how to learn."""
    task, cohort, privacy = study.task, study.cohort, study.privacy
    if not isinstance(task, Statistics) or not isinstance(cohort, TableCohort):
        return [("cohort.kind", "statistics are of a table's columns: kind: table")]
    if not isinstance(cohort.label, task.label):
        needed = LABEL_FORMS[task.kind]
        return [("cohort.label", f"task {task.kind} needs a label with {needed}")]
    names = [column.name for column in task.columns(cohort)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    evaluation, split = study.evaluation, study.split
    wrong: list[tuple[bool, str, str]] = [
        (
            bool(repeated),
            "cohort.label.findings",
            f"a column is called so too: {', '.join(repeated)}",
        ),
        (study.training != _no_training(), "training", "nothing is trained: leave it out"),
        (
            not isinstance(split, KeyedHashSplit),
            "split",
            "every patient is counted: leave it out",
        ),
        (
            evaluation.epsilon is not None,
            "evaluation.epsilon",
            "every patient pays privacy.epsilon: leave it out",
        ),
        (
            privacy.mode == "distributed",
            "privacy.mode",
            "every hospital's counts have noise enough of their own: mode per_site",
        ),
        (
            privacy.sampling_rate != 1
            or any(s.sampling_rate not in (None, 1) for s in study.sites),
            "privacy.sampling_rate",
            "every patient is counted: sampling_rate: 1",
        ),
        (
            isinstance(privacy, PerSitePrivacy)
            and (privacy.noise_multiplier is not None or privacy.adaptive_clip is not None),
            "privacy",
            "noise_multiplier and adaptive_clip are of training: leave them out",
        ),
    ]
    wrong += _monitoring_problems(study)
    return [(path, problem) for is_wrong, path, problem in wrong if is_wrong]


def _monitoring_problems(study: Study) -> list[tuple[bool, str, str]]:
    """Returns what may be wrong with a calendar of releases: (whether it is, path, problem)."""
    task, cohort = study.task, study.cohort
    if not isinstance(task, Monitoring) or not isinstance(cohort, TableCohort):
        return []
    features = [column.name for column in cohort.features]
    unknown = sorted({*task.watch} - {*features})
    imputed = sorted({*(task.model.impute if task.model else {})} - {*features})
    return [
        (bool(unknown), "task.watch", f"no feature is called {', '.join(unknown)}"),
        (bool(imputed), "task.model.impute", f"no feature is called {', '.join(imputed)}"),
        (SCORE in features, "cohort.columns", f"{SCORE!r} is the name of the scores"),
        (
            task.model is not None and not isinstance(cohort.label, BinaryClassification.label),
            "task.model",
            "scores are counted of a model that says ill or not",
        ),
        (
            cohort.on_missing != "count",
            "cohort.on_missing",
            "missing values are watched: on_missing: count",
        ),
    ]


def _network_problems(study: Study) -> list[Problem]:
    """Yields the problem of a network that takes other records, or gives something else."""
    cohort, task = study.cohort, study.task
    contents, network = cohort.contents, task.network
    own_inputs = isinstance(network, RecipeUse) and len(cohort.input_forms) == 1
    if own_inputs or (network.cohort, network.gives) == (contents, task.gives):
        return []
    if isinstance(cohort, ImageCohort) and cohort.columns and task.gives == "masks":
        return [("cohort.columns", "a mask is made of the image alone: take columns out")]
    fitting = " or ".join(networks_for(contents, task.gives)) or "another task"
    what = "" if task.gives == "scores" else f" and a task of {task.gives}"
    hint = ""
    if contents == LateFusion.cohort:
        hint = (
            ": {_target_: LateFusion, image: {_target_: ...}, table: {_target_: "
            "FullyConnectedNet}}; or take cohort.columns out"
        )
    elif isinstance(network, LateFusion):
        hint = "; LateFusion needs images, and cohort.columns beside them"
    return [("task.network", f"a cohort of {contents}{what} needs {fitting}{hint}")]


def _privacy_problems(study: Study) -> list[Problem]:
    strategy = strategy_of(study.training)
    problems = [*_mode_problems(study), *strategy.problems(study.training, study.privacy)]
    if study.training.average_last > max(1, study.training.rounds):
        problems.append(
            (
                "training.average_last",
                f"{study.training.average_last} rounds are averaged, of {study.training.rounds}",
            )
        )
    if isinstance(study.privacy, NoPrivacy):
        chosen = [site.name for site in study.sites if site.epsilon is not None]
        if chosen:
            problems.append(
                ("sites", f"{chosen[0]} promises an epsilon in a study without privacy")
            )
        return problems
    batch = study._whole_batch
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
    if study.privacy.adaptive_clip is not None and not 1e-20 <= study.privacy.clip <= 1e20:
        problems.append(
            ("privacy.clip", "an adaptive clip starts between 1e-20 and 1e20, to stay a float32")
        )
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


def _mode_problems(study: Study) -> list[Problem]:
    """Yields the problems of distributed noise: it needs one step a round, and a fitting server."""
    name, takes = study.training.strategy, strategy_of(study.training).takes
    if not isinstance(study.privacy, DistributedPrivacy):
        if "updates" not in takes:
            return [("training.strategy", f"{name} needs privacy.mode distributed")]
        return []
    problems = []
    if "gradients" not in takes:
        fit = " or ".join(name for name, one in STRATEGIES.items() if "gradients" in one.takes)
        problems.append(("training.strategy", f"distributed noise needs the strategy {fit}"))
    if study.training.local_steps != 1:
        problems.append(
            (
                "training.local_steps",
                "distributed noise allows one step a round: noise that goes through further steps "
                "protects nobody",
            )
        )
    return problems


def _aggregation_problems(study: Study) -> list[Problem]:
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
    bound, frac_bits = study.aggregation.bound, study.aggregation.frac_bits
    if not fits(max_sum_of_updates(sites=n, bound=bound, frac_bits=frac_bits), 64):
        problems.append(
            (
                "aggregation.frac_bits",
                f"{n} sites x bound {bound:g} x 2^{frac_bits} could wrap 64 bits: "
                "lower frac_bits or bound",
            )
        )
    return problems


def nearest(word: str, known: list[str]) -> str:
    """Returns a hint at the known word that was probably meant, or an empty string.

    >>> nearest("epsilonn", ["epsilon", "delta"])
    "; did you mean 'epsilon'?"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""
