"""Forecast of a study's evaluation, in sentences."""

from collections.abc import Iterable, Sequence

from collegium.studies.question import question_of
from compliance.facts.interval import Interval
from compliance.facts.released.auroc import ASSUMED_AUROC
from compliance.facts.released.proportion import proportion
from compliance.planning.advice import PlanningInput
from compliance.planning.evaluation_forecast import BINS, EvaluationForecast, forecast_evaluation
from protocol.counted import counted
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification

#: What share of a hospital's decisions is taken to be right, to say whether its table is enough.
_ASSUMED_ACCURACY = 0.8


def study_forecast(study: Study, *, auroc: float = ASSUMED_AUROC) -> EvaluationForecast | None:
    """Returns what a study's evaluation could say at an AUROC; None without privacy or AUROC."""
    asked = _question(study)
    return None if asked is None else forecast_for(asked, study, auroc=auroc)


def forecast_for(
    asked: PlanningInput, study: Study, *, auroc: float, bins: Iterable[int] = ()
) -> EvaluationForecast:
    """Returns what a study's evaluation could say of these hospitals; of ``bins`` the best."""
    plan = study.evaluation
    budgets: Sequence[float | None] = [study.evaluation_epsilon]
    if len(asked.patients) == len(study.sites):
        budgets = [study.evaluation_epsilon_of(site) for site in study.site_names]
    return forecast_evaluation(
        asked, auroc=auroc, budgets=[budget or asked.epsilon for budget in budgets],
        site_share=plan.site_share, attempts=plan.attempts, bins=bins or [plan.bins],
    )  # fmt: skip


def forecast_text(study: Study, *, auroc: float = ASSUMED_AUROC) -> list[str]:
    """Returns what a study's evaluation will be able to say, in sentences; none without privacy."""
    asked = _question(study)
    if asked is None:
        return []
    found = forecast_for(asked, study, auroc=auroc)
    words = evaluation_text(asked, found, study.site_names)
    if found.may_be_withheld:
        words[0] += _remedy(asked, study, auroc)
    return words


def evaluation_text(
    asked: PlanningInput, found: EvaluationForecast, names: Sequence[str]
) -> list[str]:
    """Returns a forecast in sentences; the first is about the pooled AUROC."""
    tested = counted(found.test_patients, "test patient")
    count = f"{tested}, {found.ill} of them ill, {found.bins} bins"
    if found.note:
        words = [f"evaluation: {count}: {found.note}: a released AUROC would mean nothing"]
    else:
        words = [
            f"evaluation: {count}: an AUROC near {found.auroc:.2f} would be released as about "
            f"{found.released:.2f} +- {found.half_width:.2f}, of which noise alone +- "
            f"{found.by_noise:.2f}"
            + (", and may well be withheld" if found.may_be_withheld else "")
        ]
    withheld = [
        name
        for name, tested, deviation in zip(
            names, asked.test_patients, found.table_deviations, strict=True
        )
        if _accuracy(tested, deviation).note
    ]
    if withheld:
        words.append(f"too few test patients for figures of their own: {', '.join(withheld)}")
    return words


def _remedy(asked: PlanningInput, study: Study, auroc: float) -> str:
    fewer = [bins for bins in BINS if bins < study.evaluation.bins] or BINS[-1:]
    found = forecast_for(asked, study, auroc=auroc, bins=fewer)
    if not found.note and found.bins < study.evaluation.bins:
        return f"; evaluation.bins: {found.bins} would give +- {found.half_width:.2f}"
    return "; no number of bins helps, only a larger evaluation.epsilon or more test patients"


def _accuracy(tested: int, deviation: float) -> Interval:
    """Returns the forecast of accuracy, which counts two of the table's cells, with their noise."""
    right = _ASSUMED_ACCURACY * tested
    return proportion(right, tested - right, deviation * 2**0.5)


def _question(study: Study) -> PlanningInput | None:
    known = isinstance(study.task, BinaryClassification)
    return question_of(study) if known and isinstance(study.privacy, PatientPrivacy) else None
