"""Forecast of a study's evaluation, in sentences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from collegium.studies.question import question_of
from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.estimates.binned_scores.release_rule import expected_counts, usual_grid
from compliance.estimates.column_figures import column_figures
from compliance.estimates.groups import FEWEST, SMALL
from compliance.estimates.interval import Interval
from compliance.estimates.proportion import proportion
from compliance.facts.figures import figure_kind
from compliance.planning.advice import ASSUMED_TEST_FRACTION, PlanningInput
from compliance.planning.correlated_noise import CorrelatedForecast, best_forecast, forecast_of
from compliance.planning.evaluation_forecast import BINS, EvaluationForecast
from compliance.planning.group_forecast import GroupForecast, forecast_groups
from compliance.planning.of_study import evaluation_of
from compliance.privacy.promised_noise import evaluation_event
from coordinator.rounds.evaluation.registry import group_figures
from coordinator.rounds.evaluation.released import Figures, PartCounts
from protocol.counted import counted
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.task.statistics import Statistics
from protocol.study.task.task import BinaryClassification, MultilabelClassification, Survival
from protocol.vectors.evaluation import RISK_WEIGHT

#: Of each hospital its test patients, and how many of them are ill.
Tested: TypeAlias = Mapping[str, tuple[int, int]]
_NOBODY_READ: Tested = MappingProxyType({})
#: What share of a hospital's decisions is taken to be right, to say whether its table is enough.
_ASSUMED_ACCURACY = 0.8
#: How far a column's values are taken to deviate, in halves of its range.
_USUAL_DEVIATION = 1 / 3
#: The figures of a group that are forecast; the last with more bins than a table's.
_GROUP_FIGURES, _TABLE_BINS = ("sensitivity", "specificity", "auroc"), 2
#: The tasks whose evaluation counts scores in bins.
_WITH_SCORES = (BinaryClassification, MultilabelClassification, Survival)


def study_forecast(
    study: Study, *, auroc: float = ASSUMED_AUROC, tested: Tested = _NOBODY_READ
) -> EvaluationForecast | None:
    """Returns what a study's evaluation could say at an AUROC; None without privacy or AUROC."""
    asked = _question(study, tested)
    return None if asked is None else evaluation_of(asked, study, auroc=auroc)


def group_forecast(
    study: Study, *, auroc: float = ASSUMED_AUROC, tested: Tested = _NOBODY_READ
) -> GroupForecast | None:
    """Returns what a study's evaluation could say of groups; None where it asks for none.

    All groups of a grouping are taken to be of one size, with the study's share of the ill.
    """
    asked = _question(study, tested)
    if asked is None or not study.evaluation.groups:
        return None
    deviation = evaluation_of(asked, study, auroc=auroc).deviation
    sites = zip(study.site_names, asked.test_patients, strict=True)
    bins, grid = study.evaluation.group_bins, usual_grid(auroc, asked.ill)

    def read(patients: float) -> Figures:
        counts = expected_counts(patients, bins, auroc, asked.ill)
        cells = np.array([*counts.reshape(-1), patients * asked.ill * RISK_WEIGHT])
        return group_figures(study, PartCounts(cells, deviation, grid))

    return forecast_groups(
        read,
        figures=_GROUP_FIGURES[: 2 if bins == _TABLE_BINS else 3],
        groupings={name: len(one.groups) for name, one in study.evaluation.groups.items()},
        patients=sum(count for site, count in sites if study.site(site).groups),
        deviation=deviation,
    )


def group_text(found: GroupForecast | None) -> list[str]:
    """Returns a forecast of groups in sentences; none where no group is asked for."""
    if found is None:
        return []
    sizes = "; ".join(
        f"{figure_kind(name).title} from {counted(size, 'test patient')} on"
        if size
        else f"{figure_kind(name).title} of none"
        for name, size in found.smallest.items()
    )
    lines = [
        f"groups: noise of {found.deviation:.0f} patients in each count of one group: {sizes}, if "
        "as many of a group are ill as of all"
    ]
    for one in found.groupings:
        gaps = ", ".join(
            f"{figure_kind(name).title} {gap:.2f}"
            for name, gap in one.gaps.items()
            if gap is not None
        )
        seen = f"the smallest gap that 80 of 100 evaluations show: {gaps}"
        lines.append(
            f"  {one.grouping}: {one.groups} groups of {one.size:.0f} test patients, if all are of "
            f"one size: {seen if gaps else 'too few to be shown'}"
        )
    return lines


def forecast_text(
    study: Study, *, auroc: float = ASSUMED_AUROC, tested: Tested = _NOBODY_READ
) -> list[str]:
    """Returns what a study's evaluation will be able to say, in sentences; none without privacy.

    Args:
        study: the study.
        auroc: what the model is expected to reach.
        tested: of each hospital, by name, its test patients and how many of them are ill, where
            the records were read.
    """
    asked = _question(study, tested)
    if asked is None:
        return []
    found = evaluation_of(asked, study, auroc=auroc)
    words = evaluation_text(asked, found, study.site_names)
    if found.may_be_withheld:
        words[0] += _remedy(asked, study, auroc)
    return [*words, *_of_groups(study)]


def bins_text(study: Study) -> list[str]:
    """Returns how many bins ``evaluation.bins: auto`` is, in a sentence; nothing of a number."""
    if study.evaluation.bins != "auto" or not isinstance(study.task, _WITH_SCORES):
        return []
    return [f"evaluation.bins auto: scores are counted in {study.score_bins} bins"]


def correlated_forecast(study: Study) -> CorrelatedForecast | None:
    """Returns what a study's correlated noise leaves in the model, or the best that it could have.

    None where it can have none, or where no noise keeps its epsilon.
    """
    bands = study.privacy.bands
    try:
        return forecast_of(study, bands) if bands > 1 else best_forecast(study)
    except ValueError:
        return None


def correlated_text(forecast: CorrelatedForecast, study: Study | None = None) -> str:
    """Returns what correlated noise is worth, as a sentence."""
    less = forecast.noise_left <= 1
    change = abs(1 - forecast.noise_left)
    worth = f"{change:.0%} {'less' if less else 'more'} noise in the model than independent noise"
    name = f"correlated noise of {counted(forecast.bands, 'band')}"
    if study is not None and study.privacy.bands > 1:
        then = "" if forecast.is_worth_it else ": leave privacy.correlated_noise out"
        return f"the study's {name} leaves {worth} of the same epsilon{then}"
    if not forecast.is_worth_it:
        return f"{name} would leave {worth}: not enough to be offered (docs/correlated-noise.md)"
    return (
        f"{name} would leave {worth} of the same epsilon: in the study, "
        f"privacy: {{correlated_noise: {{bands: {forecast.bands}}}}}"
    )


def evaluation_text(
    asked: PlanningInput, found: EvaluationForecast, names: Sequence[str]
) -> list[str]:
    """Returns a forecast in sentences; the first is about the pooled AUROC."""
    tested = counted(found.test_patients, "test patient")
    count = f"{tested}, {found.ill} of them ill{_assumed(asked)}, {found.bins} bins"
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


def _assumed(asked: PlanningInput) -> str:
    """Returns what of the numbers of test patients is assumed, in brackets, or nothing."""
    assumed = []
    if not asked.tested and asked.test_fraction is None:
        assumed.append(f"that {ASSUMED_TEST_FRACTION * 100:.0f} % of all patients are tested")
    if asked.prevalence is None:
        assumed.append("that half are ill")
    return f" (assumed: {' and '.join(assumed)})" if assumed else ""


def _remedy(asked: PlanningInput, study: Study, auroc: float) -> str:
    fewer = [bins for bins in BINS if bins < study.score_bins] or BINS[-1:]
    found = evaluation_of(asked, study, auroc=auroc, bins=fewer)
    if not found.note and found.bins < study.score_bins:
        return f"; evaluation.bins: {found.bins} would give +- {found.half_width:.2f}"
    helps = ["a larger evaluation.epsilon or more test patients"]
    if study.evaluation.groups:
        helps.insert(0, "fewer groupings")
    return f"; no number of bins helps, only {', '.join(helps)}"


def _of_groups(study: Study) -> list[str]:
    """Returns what groups of patients cost all pooled counts, in a sentence; nothing of none."""
    if not study.evaluation.groups:
        return []
    groupings = counted(len(study.evaluation.groups), "grouping")
    make = "makes" if len(study.evaluation.groups) == 1 else "make"
    return [
        f"evaluation.groups: {groupings} {make} the noise in the pooled counts "
        f"{study.evaluation_vector.influence:.1f} times as large, which is counted above"
    ]


def small_groups_text(study: Study, sizes: Sequence[Sequence[int]]) -> list[str]:
    """Returns a sentence for each group that is likely to be withheld for its size.

    Args:
        study: with groupings.
        sizes: of each grouping's groups, how many test patients there are at all hospitals that
            count groups.
    """
    words = []
    for (name, grouping), counts in zip(study.evaluation.groups.items(), sizes, strict=True):
        for group, count in zip(grouping.groups, counts, strict=True):
            who, remedy = f"{SMALL.removesuffix(' patients')} test patients are", "expect"
            if count == 0:
                who, remedy = "no test patient is", "are its cells as in the records? Expect"
            if count < FEWEST:
                words.append(
                    f"evaluation.groups.{name}: {who} in '{group}': {remedy} it and the next "
                    "smallest group to be withheld"
                )
    return words


def _accuracy(tested: int, deviation: float) -> Interval:
    """Returns the forecast of accuracy, which counts two of the table's cells, with their noise."""
    right = _ASSUMED_ACCURACY * tested
    return proportion(right, tested - right, deviation * 2**0.5)


def _question(study: Study, tested: Tested) -> PlanningInput | None:
    if not isinstance(study.task, BinaryClassification):
        return None
    if not isinstance(study.privacy, PatientPrivacy):
        return None
    asked = question_of(study)
    if not tested:
        return asked
    counts = tuple(tested[name][0] for name in study.site_names)
    share = sum(ill for _, ill in tested.values()) / max(1, sum(counts))
    known = asked.prevalence if share in (0, 1) else share
    return replace(asked, tested=counts, prevalence=known)


def column_text(study: Study) -> list[str]:
    """Returns what a statistics study will be able to say of its columns, in sentences.

    Nothing is said where nothing is protected. All declared patients are taken to
    have a value, and values to deviate by a sixth of the column's range.
    """
    task = study.task
    if not isinstance(task, Statistics) or not isinstance(study.privacy, PatientPrivacy):
        return []
    noises = [
        study.evaluation_vector.deviations(
            evaluation_event(
                study, study.privacy, study.evaluation_epsilon_of(site)
            ).noise_multiplier,
            study.evaluation.site_share,
        )[0]
        for site in study.site_names
    ]
    patients, deviation = sum(study.weights.values()), math.hypot(*noises)
    lines = [
        f"counts: noise of {deviation:.0f} patients in each; if all {patients:,.0f} declared "
        "patients have a value, and values deviate by a sixth of the range:"
    ]
    for column in task.columns(study.cohort):
        if column.range is None:
            continue
        cells = np.zeros(column.size)
        cells[2] = patients * (2 * _USUAL_DEVIATION**2 - 1)
        found = column_figures(column, patients, cells, deviation)
        lines.append(
            f"  {column.name}: mean {_within(found.mean)}, deviation {_within(found.deviation)}"
        )
    return lines


def _within(interval: Interval | None) -> str:
    if interval is None or interval.high is None or interval.low is None:
        return "withheld" if interval is None else f"withheld, {interval.note}"
    return f"+- {(interval.high - interval.low) / 2:.3g}"
