"""A study as planning sees it: the question it asks, its settings, and what its evaluation can say.

Rules:

1. No network is built here. The gradient's norm and the number of parameters of a linear model of
   a table follow from its columns; those of any other network are the defaults, until somebody who
   has built it says otherwise.
2. No record is read.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.planning.advice import (
    PlanningInput,
    SuitableSettings,
    default_delta,
    noise_on_average,
    plan_of,
)
from compliance.planning.evaluation_forecast import EvaluationForecast, forecast_evaluation
from compliance.planning.expected_auroc import Descent
from compliance.privacy.promised_noise import training_event
from protocol.study.cohort.cohort import TableCohort
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.study import KeyedHashSplit, Study
from protocol.study.task.task import prevalence_of

#: The strategies whose training is plain descent on the average gradient.
_SIMULATED = ("fedavg", "fedsgd")


def planning_input(
    study: Study,
    *,
    patients: tuple[int, ...] = (),
    epsilon: float | None = None,
    delta: float | None = None,
    prevalence: float | None = None,
    auroc: float | None = None,
    colluders: int | None = None,
) -> PlanningInput:
    """Returns what a study says, or what is given instead of it.

    The gradient's norm and the number of parameters are not the study's but the defaults: see
    ``sizes_of``.

    Raises:
        ValueError: a figure lies outside its range, or no epsilon is known.
    """
    privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
    own = tuple(study.site(name).patients for name in study.site_names)
    patients = patients or own
    if privacy is not None:
        epsilon = privacy.epsilon if epsilon is None else epsilon
        delta = privacy.delta if delta is None else delta
    if epsilon is None:
        raise ValueError("the study has no epsilon, and none is given")
    aggregation = study.aggregation
    known = PlanningInput(
        patients=patients,
        epsilon=epsilon,
        delta=default_delta(patients) if delta is None else delta,
        is_linear=study.task.is_linear,
        prevalence=prevalence_of(study.task) if prevalence is None else prevalence,
        auroc=ASSUMED_AUROC if auroc is None else auroc,
        colluders=aggregation.colluders if colluders is None else colluders,
        threshold=study.threshold if len(study.sites) == len(patients) else None,
        spare=aggregation.spare_draws,
    )
    if isinstance(study.split, KeyedHashSplit):
        return replace(known, test_fraction=study.split.test_fraction)
    return known


def sizes_of(study: Study) -> tuple[float, int] | None:
    """Returns a logit's gradient norm and the number of parameters; None where it takes a network.

    They are known of a linear model of a table.
    """
    if study.task.is_linear and isinstance(study.cohort, TableCohort):
        return math.sqrt(study.cohort.width + 1), study.cohort.width + 1
    return None


def settings_of(
    asked: PlanningInput, study: Study, *, priced_anew: bool = False, is_forecast: bool = True
) -> SuitableSettings | None:
    """Returns a study's own settings as it prices them; None without privacy.

    Args:
        asked: who takes part, and the epsilon.
        study: whose settings they are.
        priced_anew: whether the noise is that of the epsilon that is asked for.
        is_forecast: whether to forecast what they reach, which takes a while.
    """
    if not isinstance(study.privacy, PatientPrivacy):
        return None
    event = training_event(study, study.privacy)
    if priced_anew:
        noise = asked.calibrate(event.sampling_rate, event.steps)
        event = replace(event, noise_multiplier=noise)
    share = study.privacy.own_noise if isinstance(study.privacy, DistributedPrivacy) else None
    mode, training = study.privacy.mode, study.training
    step = replace(event, sampling_rate=event.sampling_rate / study.privacy.bands)
    noise = noise_on_average(asked, step, mode, share)
    descent = Descent(
        steps=training.steps, sampling_rate=event.sampling_rate, clip=study.privacy.clip,
        learning_rate=training.learning_rate, noise=noise, momentum=training.momentum,
        starts_at_prevalence=prevalence_of(study.task) is not None,
        bands=study.privacy.bands, round_steps=training.gradients_per_round,
    )  # fmt: skip
    is_simulated = is_forecast and training.strategy in _SIMULATED
    return plan_of(asked, event, mode, descent, is_simulated=is_simulated)


def evaluation_of(
    asked: PlanningInput, study: Study, *, auroc: float, bins: Iterable[int] = ()
) -> EvaluationForecast:
    """Returns what a study's evaluation could say of these hospitals; of ``bins`` the best."""
    plan = study.evaluation
    budgets: Sequence[float | None] = [study.evaluation_epsilon]
    if len(asked.patients) == len(study.sites):
        budgets = [study.evaluation_epsilon_of(site) for site in study.site_names]
    return forecast_evaluation(
        asked, auroc=auroc, budgets=[budget or asked.epsilon for budget in budgets],
        site_share=plan.site_share, attempts=study.priced_evaluations,
        influence=study.evaluation_vector.influence, bins=bins or [study.score_bins],
    )  # fmt: skip
