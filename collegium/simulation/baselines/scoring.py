"""One baseline's model, and its scores of every hospital's test patients.

It runs in a process of its own, which holds all hospitals' records: possible in a simulation only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from collegium.simulation.baselines.plan import Baseline
from collegium.simulation.baselines.training import (
    Trained,
    plan_in_one_place,
    trained_in_one_place,
    trained_together,
)
from collegium.simulation.records import joined
from compliance.facts.comparison.baselines import ALL_BUT, FEDERATED, LOCAL
from compliance.ledger.privacy_plan import PrivacyPlan
from pipelines.gradients.device import enough_memory
from pipelines.networks.networks import build, load_parameters
from pipelines.recipes.loading import recipe_failures
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.errors import UpdateRefused
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.training.counting.patient_scores import PatientScores
from silos.training.randomness import Entropy
from silos.training.trainer import Trainer

Floats: TypeAlias = NDArray[np.float64]
#: Every hospital's training and test records.
Hospitals: TypeAlias = Mapping[str, tuple[Records, Records]]


@dataclass(frozen=True, kw_only=True)
class ScoredTraining:
    """The scores of one baseline's model for every hospital's test patients.

    Attributes:
        baseline: whose model it is.
        train_patients: how many patients it was trained on.
        epsilon: of the training, the largest for any patient; None without privacy.
        noise_multipliers: of each place that adds noise.
        draw: which of its trainings it is, from 0; each draws noise and batches of its own.
        scores: by hospital; None where the training diverged.
    """

    baseline: Baseline
    draw: int = 0
    train_patients: int
    epsilon: float | None
    noise_multipliers: Mapping[str, float]
    scores: Mapping[str, Floats] | None = field(repr=False)


class TestPatients:
    """Every hospital's test patients, to be scored by any model of a study."""

    __test__ = False  # no test of pytest's

    def __init__(self, study: Study, hospitals: Hospitals) -> None:
        self._module = build(study.task, study.cohort, study.seeds.model)
        self._labels: dict[str, Floats] = {}
        learned, most = task_of(study.task, study.cohort), study.records_per_patient
        with recipe_failures(), enough_memory("evaluation"):
            self._scores = {
                site: PatientScores(
                    self._module, learned, test, places=max(1, test.num_patients), most=most
                )
                for site, (_, test) in hospitals.items()
            }

    def labels(self) -> dict[str, Floats]:
        """Returns each hospital's labels, in the order of their scores."""
        if not self._labels:
            self._scored()
        return dict(self._labels)

    def scored(self, model: Tensors, own: Mapping[str, Tensors] | None = None) -> dict[str, Floats]:
        """Returns each hospital's scores, by its own model where it has one, else by this one."""
        load_parameters(self._module, model)
        found = self._scored()
        for site, other in (own or {}).items():
            load_parameters(self._module, other)
            found[site] = self._scores_of(site)
        return found

    @recipe_failures()
    @enough_memory("evaluation")
    def _scores_of(self, site: str) -> Floats:
        return self._scores[site]()[0]

    @recipe_failures()
    @enough_memory("evaluation")
    def _scored(self) -> dict[str, Floats]:
        found = {}
        for site, scores in self._scores.items():
            found[site], self._labels[site] = scores()
        return found


def trained_model(
    baseline: Baseline, hospitals: Hospitals, entropy: Entropy
) -> tuple[Trained, float | None, dict[str, float]]:
    """Returns what a baseline trains, its epsilon, and the noise multiplier of each place.

    Args:
        baseline: the training.
        hospitals: those that it may see; of others nothing is read.
        entropy: where sampling and noise come from.

    Raises:
        StudyRefused: no noise keeps what is promised, or no engine fits the network.
        UpdateRefused: the training diverged.
    """
    study = baseline.study
    if baseline.kind in (FEDERATED, ALL_BUT):
        own = {site: hospitals[site] for site in study.site_names}
        trainers = {site: Trainer(study, site, *parts) for site, parts in own.items()}
        plans = {site: PrivacyPlan.at(study, site) for site in own}
        known = {site: plan for site, plan in plans.items() if plan is not None}
        epsilon = max((plan.epsilon for plan in known.values()), default=None)
        noise = {site: plan.training.noise_multiplier for site, plan in known.items()}
        return trained_together(study, trainers, entropy), epsilon, noise
    train, test = (joined(part) for part in zip(*hospitals.values(), strict=True))
    plan, place = plan_in_one_place(study), study.site_names[0]
    trainer = Trainer(study, place, train, test)
    model = Trained(model=trained_in_one_place(study, trainer, plan, entropy), own={})
    if plan is None:
        return model, None, {}
    return model, plan.epsilon, {baseline.site or "all": plan.training.noise_multiplier}


def scored_model(
    baseline: Baseline,
    hospitals: Hospitals,
    patients: TestPatients,
    entropy: Entropy,
    draw: int = 0,
) -> ScoredTraining:
    """Trains one baseline and scores every hospital's test patients; see ``trained_model``.

    A training that diverged has no scores.
    """
    seen = {site: hospitals[site] for site in _seen(baseline, hospitals)}
    count = sum(train.num_patients for train, _ in seen.values())
    try:
        trained, epsilon, noise = trained_model(baseline, seen, entropy)
    except UpdateRefused:
        scores, epsilon, noise = None, None, {}
    else:
        scores = patients.scored(trained.model, trained.own)
    return ScoredTraining(
        baseline=baseline,
        draw=draw,
        train_patients=count,
        epsilon=epsilon,
        noise_multipliers=noise,
        scores=scores,
    )


def _seen(baseline: Baseline, hospitals: Hospitals) -> list[str]:
    """Returns the hospitals whose records a training sees."""
    if baseline.kind == LOCAL:
        return [site for site in hospitals if site == baseline.site]
    return [site for site in hospitals if baseline.kind != ALL_BUT or site != baseline.site]
