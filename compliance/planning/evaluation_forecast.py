"""Forecast of the released AUROC's interval, before anybody trains."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compliance.estimates.binned_scores.auroc import (
    ASSUMED_AUROC,
    TOO_FEW,
    Estimate,
    auroc_from_histogram,
)
from compliance.estimates.binned_scores.release_rule import expected_counts, is_released
from compliance.planning.advice import PlanningInput
from compliance.privacy.accounting import calibrate
from protocol.vectors.evaluation import noise_deviations

BINS = (32, 16, 8, 4)
#: A figure may well be withheld if it is where the noise of the tables takes so many of its
#: deviations from both classes: once in twenty times one of them is taken more.
_MARGIN = 1.645


@dataclass(frozen=True, kw_only=True)
class EvaluationForecast:
    """The forecast width of the released AUROC's 95 % interval, at an assumed AUROC.

    ``released`` is that AUROC as the binned scores have it. ``deviation`` is the noise
    in each pooled count, ``table_deviations`` that in each hospital's own table, in
    patients; ``half_width``, the wider half, covers patients and noise; ``note`` is what a
    release would say, or empty; ``may_be_withheld`` whether noise may well lead to that.
    """

    auroc: float
    released: float
    test_patients: int
    ill: int
    bins: int
    deviation: float
    table_deviations: tuple[float, ...]
    by_noise: float
    half_width: float
    note: str
    may_be_withheld: bool


def forecast_evaluation(
    question: PlanningInput,
    *,
    auroc: float = ASSUMED_AUROC,
    budgets: Sequence[float] = (),
    site_share: float = 0.2,
    attempts: int = 1,
    bins: Iterable[int] = BINS,
    influence: float = 1.0,
) -> EvaluationForecast:
    """Returns what one final evaluation could say.

    Args:
        question: who takes part, and how many of them are ill.
        auroc: what the model is expected to reach.
        budgets: epsilon of a test patient, the same for all or one for each hospital; the
            training's when empty.
        site_share: the part of it spent on each hospital's own table.
        attempts: how many such releases are paid for.
        bins: among these the number that makes the interval narrowest is taken: with more
            the noise is larger, with fewer more pairs share a bin. Where nothing would be
            released, the last.
        influence: how much one patient changes the pooled counts at most, in patients; above 1
            where groups are counted beside, which share the noise's budget.
    """
    noise = {
        budget: noise_deviations(
            calibrate(epsilon=budget, delta=question.delta, sampling_rate=1.0, steps=attempts),
            site_share,
        )
        for budget in {*budgets} or {question.epsilon}
    }
    each = [noise[budget] for budget in budgets or [question.epsilon]]
    each *= len(question.patients) if len(each) == 1 else 1
    deviation = influence * math.hypot(*(pooled for pooled, _ in each))
    tables = tuple(own for _, own in each)
    found = [_forecast(question, auroc, deviation, tables, count) for count in bins]
    released = [forecast for forecast in found if not forecast.note]
    return min(released or found[-1:], key=lambda forecast: forecast.half_width)


def _forecast(
    question: PlanningInput,
    auroc: float,
    deviation: float,
    tables: tuple[float, ...],
    bins: int,
) -> EvaluationForecast:
    patients = sum(question.test_patients)
    counts = expected_counts(patients, bins, auroc, question.ill)
    estimate, drawn = (auroc_from_histogram(counts, sigma) for sigma in (deviation, 0.0))
    lower, by_patients = _lower_half(estimate), _lower_half(drawn)
    lost = _MARGIN * math.sqrt(2) * math.hypot(*tables)
    released, with_less = (
        is_released(
            float(counts[0].sum()) - less,
            float(counts[1].sum()) - less,
            bins=bins,
            noise_sigma=deviation,
        )
        for less in (0.0, lost)
    )
    return EvaluationForecast(
        auroc=auroc,
        released=0.5 if drawn.value is None else drawn.value,
        test_patients=patients,
        ill=round(question.ill * patients),
        bins=bins,
        deviation=deviation,
        table_deviations=tables,
        by_noise=math.sqrt(max(0.0, lower * lower - by_patients * by_patients)),
        half_width=_half_width(estimate),
        note="" if released else TOO_FEW,
        may_be_withheld=not with_less,
    )


def _half_width(estimate: Estimate) -> float:
    above = 1.0 if estimate.value is None else estimate.high - estimate.value
    return max(_lower_half(estimate), above)


def _lower_half(estimate: Estimate) -> float:
    """Returns the half that patients and noise alone widen; the upper covers the bins too."""
    return 1.0 if estimate.value is None else estimate.value - estimate.low
