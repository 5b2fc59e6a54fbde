"""Settings that are compared: a study's own, and those advised for what it asks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collegium.extras import require_extra
from collegium.studies.question import PlanOptions, question_of, question_without_study
from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.planning.advice import (
    Advice,
    PlanningInput,
    SuitableSettings,
    advice,
    advise,
)
from compliance.planning.evaluation_forecast import EvaluationForecast, forecast_evaluation
from compliance.planning.of_study import evaluation_of, settings_of, sizes_of
from protocol.errors import StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The outcome of planning.

    Attributes:
        asked: what is planned for.
        advised: the settings of either mode, and which are better.
        evaluation: what an evaluation of the advised model could say.
        own: the study's own settings; None without a study, or without privacy.
        names: the hospitals' names.
    """

    asked: PlanningInput
    advised: Advice
    evaluation: EvaluationForecast
    own: SuitableSettings | None
    names: Sequence[str]


def planned_for(study: Study | None, options: PlanOptions, steps: int) -> Planned:
    """Returns the plan for a study, or for what was asked for, with so many advised steps.

    Raises:
        ValueError: no settings keep what is asked.
    """
    asked = asked_of(study, options)
    advised = advice(asked, steps)
    return Planned(
        asked=asked,
        advised=advised,
        evaluation=_evaluation_of(asked, study, advised),
        own=own_settings(asked, study, options),
        names=_names_of(asked, study),
    )


def asked_of(study: Study | None, options: PlanOptions) -> PlanningInput:
    """Returns what is planned for: of a study its own figures, else those that were asked for."""
    if study is None:
        return question_without_study(options)
    if options.inputs is not None:
        raise StudyRefused("--inputs: the study's own columns say how many there are")
    gradient_norm, parameters = _sizes(study)
    known = question_of(study, options)
    return replace(known, gradient_norm=gradient_norm, parameters=parameters)


def _sizes(study: Study) -> tuple[float, int]:
    """Returns a logit's gradient norm and the parameters' number; builds no linear network."""
    known = sizes_of(study)
    if known is not None:
        return known
    require_extra("silo")
    from pipelines.gradients.logit_norm import gradient_norm
    from pipelines.networks.networks import build, parameters_of

    module = build(study.task, study.cohort, study.seeds.model)
    return gradient_norm(study), sum(int(tensor.size) for tensor in parameters_of(module).values())


def forecast_plans(study: Study) -> tuple[SuitableSettings, SuitableSettings] | None:
    """Returns a linear study's own settings and the advised ones of its mode; else None.

    None too where the advised steps cannot keep an epsilon that small.
    """
    known = isinstance(study.task, BinaryClassification) and study.task.is_linear
    known = known and study.task.loss is None and study.trains
    if not (known and isinstance(study.privacy, PatientPrivacy)):
        return None
    try:
        asked = asked_of(study, PlanOptions())
        advised = advise(asked, study.privacy.mode)
    except ValueError:
        return None
    own = own_settings(asked, study, PlanOptions())
    return None if own is None else (own, advised)


def assumed_auroc(study: Study) -> float:
    """Returns the AUROC that a forecast of the evaluation takes: the plan's, at least 0.5."""
    plans = forecast_plans(study)
    expected = None if plans is None else plans[0].expected
    return ASSUMED_AUROC if expected is None else max(0.5, expected.auroc)


def own_settings(
    asked: PlanningInput, study: Study | None, options: PlanOptions
) -> SuitableSettings | None:
    """Returns the study's own settings as it prices them, or with the given epsilon and delta."""
    if study is None or not isinstance(study.privacy, PatientPrivacy):
        return None
    PrivacyPlan.of(study, study.privacy)  # refuses noise that does not keep what is promised
    anew = options.epsilon is not None or options.delta is not None
    return settings_of(asked, study, priced_anew=anew)


def _evaluation_of(
    asked: PlanningInput, study: Study | None, advised: Advice
) -> EvaluationForecast:
    """Returns what an evaluation could say of the model that the advised plan leads to."""
    expected = advised.chosen.expected
    auroc = asked.auroc if expected is None else max(0.5, expected.auroc)
    if study is None:
        return forecast_evaluation(asked, auroc=auroc)
    return evaluation_of(asked, study, auroc=auroc)


def _names_of(asked: PlanningInput, study: Study | None) -> tuple[str, ...]:
    """Returns the hospitals' names: numbers where there are other ones than the study's."""
    if study is not None and len(study.sites) == len(asked.patients):
        return study.site_names
    return tuple(f"hospital {place}" for place in range(1, len(asked.patients) + 1))
