"""Costs and gains of another epsilon: the same study, at an epsilon that somebody asks about.

Everything is arithmetic on the study and on budgets that hospitals have signed: it spends nothing.
Rules:

1. The study stays as it is: its mode, clip, rate, steps and evaluation. A plan made for another
   epsilon may do better (``advice``).
2. What is not simulated is not forecast: the model of another optimiser, of another loss, or of a
   task that is no binary classification. Of a network with hidden layers neither, for the
   forecast is that of a linear model.
3. A hospital that had chosen a smaller epsilon than the study's keeps it where the one that is
   asked about is larger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.planning.advice import SuitableSettings
from compliance.planning.evaluation_forecast import EvaluationForecast
from compliance.planning.of_study import evaluation_of, planning_input, settings_of, sizes_of
from compliance.privacy.accounting import calibrate
from compliance.privacy.budget_filter import Filter
from compliance.privacy.promised_noise import evaluation_event, training_event
from protocol.errors import StudyRefused
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification

#: A noise multiplier beyond this drowns every hospital: a study may not have it.
_MAX_NOISE = 1000.0
_COUNTS_ONLY = "the study trains nothing"
_OTHER_TASK = "only binary classification is forecast"
_NETWORK = "only a linear model is forecast: try collegium sweep on records of your own"
_OPTIMISER = "the study's strategy is not forecast: try collegium sweep on records of your own"


@dataclass(frozen=True, kw_only=True)
class SignedBudget:
    """A hospital's budget as it signed it: its epsilon, and what a run of the study took of it.

    ``run_share`` is None where no finished run says it. The delta of a budget is not signed: that
    of the study stands for it, and the share that was signed mends what that leaves.
    """

    epsilon: float
    run_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """A study at an epsilon.

    Attributes:
        epsilon: what each patient would be promised.
        settings: the training; ``expected`` in it is None where ``why`` says that it is not
            forecast. None for a study that trains nothing.
        evaluation: what the evaluation could say of the model; None where nothing is forecast.
        shares: of each hospital's budget, by name, the part that one run would take; None where
            no budget is known.
        why: the reason why no figure is forecast, or empty.
    """

    epsilon: float
    settings: SuitableSettings | None
    evaluation: EvaluationForecast | None
    shares: Mapping[str, float | None]
    why: str = ""


def what_if(
    study: Study,
    epsilon: float,
    budgets: Mapping[str, SignedBudget],
    *,
    auroc: float | None = None,
) -> WhatIf:
    """Returns what a study would cost and give at an epsilon.

    Args:
        study: under patient-level privacy.
        epsilon: that is asked about.
        budgets: of each hospital, by name, where it is known.
        auroc: what published models reach without privacy; the planner's assumption if None.

    Raises:
        StudyRefused: the study is without privacy, or cannot be had at this epsilon.
    """
    changed = at_epsilon(study, epsilon)
    shares = {site: _share(study, changed, site, budgets.get(site)) for site in study.site_names}
    if not study.trains:
        return WhatIf(epsilon=epsilon, settings=None, evaluation=None, shares=shares,
                      why=_COUNTS_ONLY)  # fmt: skip
    try:
        asked = planning_input(changed, auroc=auroc)
        if (sizes := sizes_of(changed)) is not None:
            asked = replace(asked, gradient_norm=sizes[0], parameters=sizes[1])
        settings = settings_of(asked, changed, is_forecast=not (why := _not_forecast(changed)))
    except ValueError as error:
        raise StudyRefused(f"at epsilon {epsilon:g}: {error}") from error
    if settings is not None and settings.expected is None:
        why = why or _OPTIMISER
    evaluation = None
    if isinstance(study.task, BinaryClassification):
        expected = None if settings is None else settings.expected
        reached = ASSUMED_AUROC if expected is None else max(0.5, expected.auroc)
        evaluation = evaluation_of(asked, changed, auroc=reached)
    return WhatIf(epsilon=epsilon, settings=settings, evaluation=evaluation, shares=shares, why=why)


def at_epsilon(study: Study, epsilon: float) -> Study:
    """Returns the study at another epsilon, with the noise that keeps it.

    Raises:
        StudyRefused: it is without privacy, or would drown in noise.
    """
    if not isinstance(study.privacy, PatientPrivacy):
        raise StudyRefused(
            "the study is without privacy: it has no delta and clip to go with an epsilon"
        )
    try:
        noise = calibrate(
            epsilon=epsilon, delta=study.privacy.delta, sampling_rate=study.privacy.priced_rate,
            steps=study.priced_steps,
        )  # fmt: skip
        if noise > _MAX_NOISE:
            raise StudyRefused(
                f"epsilon {epsilon:g} over {study.priced_steps} steps needs a noise multiplier of "
                f"{noise:.0f}: nothing could be learned"
            )
        if isinstance(study.privacy, DistributedPrivacy):
            return study.with_noise(epsilon, noise)
        return study.with_epsilon(epsilon)
    except ValueError as error:
        raise StudyRefused(f"the study cannot be had at epsilon {epsilon:g}: {error}") from error


def _share(study: Study, changed: Study, site: str, budget: SignedBudget | None) -> float | None:
    """Returns the part of a hospital's budget that one run of the changed study would take."""
    if budget is None:
        return None
    share = _priced(changed, site, budget.epsilon)
    if budget.run_share is None:
        return share
    return budget.run_share * share / _priced(study, site, budget.epsilon)


def _priced(study: Study, site: str, budget: float) -> float:
    """Returns the part of a budget that a study takes, at the study's own delta."""
    privacy = study.privacy_of(site)
    if not isinstance(privacy, PatientPrivacy):
        return 0.0
    counting = evaluation_event(study, privacy, study.evaluation_epsilon_of(site))
    events = (training_event(study, privacy, site), counting) if study.trains else (counting,)
    return Filter(epsilon_max=budget, delta=privacy.delta).share_of(events)


def _not_forecast(study: Study) -> str:
    """Returns why no model of the study's task is forecast; empty where one is."""
    if not isinstance(study.task, BinaryClassification):
        return _OTHER_TASK
    return _NETWORK if sizes_of(study) is None or study.task.loss is not None else ""
