"""Binary classification: AUROC and thresholds from the scores' bins, shares from tables."""

import math
from dataclasses import replace

import numpy as np

from compliance.estimates.binned_scores.auprc import released_auprc
from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.estimates.binned_scores.brier import released_brier_score
from compliance.estimates.binned_scores.calibration import (
    CalibrationPoint,
    calibration_curve,
    released_calibration_error,
)
from compliance.estimates.binned_scores.calibration_line import (
    Recalibration,
    recalibration,
    released_intercept,
    released_slope,
)
from compliance.estimates.binned_scores.operating_points import OperatingPoint, operating_points
from compliance.estimates.binned_scores.release_rule import is_released, usual_scores
from compliance.estimates.binned_scores.risk_figures import RiskFigures, risk_figures
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.groups import number_of_patients
from compliance.estimates.interval import Z95, Interval
from compliance.estimates.proportion import proportion
from compliance.estimates.withholding import TOO_FEW, WIDEST, too_few
from coordinator.rounds.evaluation.released import (
    EvaluationReader,
    Figures,
    Floats,
    NoisedCounts,
    PartCounts,
)
from protocol.study.study import Study
from protocol.study.task.task import prevalence_of, threshold_of
from protocol.vectors.evaluation import RISK_WEIGHT
from protocol.vectors.score_grid import logit_of


def _pooled(study: Study, noised: NoisedCounts) -> Figures:
    scores, usual = _scores(noised)
    return {
        "auroc": released_auroc(noised),
        "accuracy": _decisions(study, _table(study, noised))["accuracy"],
        "auprc": released_auprc(scores, usual),
        "brier": released_brier_score(scores, usual),
        "ece": released_calibration_error(scores, usual),
        "calibration_slope": released_slope(scores, usual),
        "calibration_intercept": released_intercept(scores, usual),
    }


def released_auroc(noised: NoisedCounts) -> Interval:
    """Returns the AUROC of the scores' bins, where the sizes of the classes allow one."""
    return _auroc(noised.pooled, noised.deviation, *_sizes(noised))


def _auroc(counts: Floats, deviation: float, negatives: float, positives: float) -> Interval:
    estimate = auroc_from_histogram(counts, deviation)
    released = is_released(negatives, positives, bins=counts.shape[1], noise_sigma=deviation)
    return Interval(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        note=estimate.note if released else too_few(deviation),
    )


def _site(study: Study, part: PartCounts) -> Figures:
    """Returns what a hospital's own counts say: with more bins than two, its AUROC too."""
    figures = _decisions(study, part)
    if part.cells.shape[1] > 2:
        sizes = map(float, part.cells.sum(axis=1))
        figures = {"auroc": _auroc(part.cells, part.deviation, *sizes), **figures}
    return figures


def _decisions(study: Study, part: PartCounts) -> dict[str, Interval]:
    """Returns the shares of right decisions."""
    (healthy, ill), (below, above) = part.cells, _sides(study, part)
    tn, fn = float(healthy[:below].sum()), float(ill[:below].sum())
    fp, tp = float(healthy[below:].sum()), float(ill[below:].sum())
    one = part.deviation * math.sqrt(max(below, above))
    return {
        "accuracy": proportion(tn + tp, fp + fn, part.deviation * math.sqrt(below + above)),
        "sensitivity": proportion(tp, fn, one),
        "specificity": proportion(tn, fp, one),
    }


def _sides(study: Study, part: PartCounts) -> tuple[int, int]:
    """Returns how many bins lie below and above the threshold of the decision."""
    bins = part.cells.shape[1]
    below = part.grid.bins_below(logit_of(threshold_of(study.task)), bins)
    return below, bins - below


def _group(study: Study, part: PartCounts) -> Figures:
    """Returns what a group's counts say: also who is called ill, and whether risks are right."""
    binned, risks = _binned(part), float(part.cells[-1]) / RISK_WEIGHT
    (healthy, ill), (below, above) = binned.cells, _sides(study, binned)
    called, rest = binned.cells[:, below:], binned.cells[:, :below]
    one, two = (binned.deviation * math.sqrt(2 * max(below, above)), binned.deviation)
    return {
        **_site(study, binned),
        "ppv": _ppv(float(ill[below:].sum()), float(healthy[below:].sum()), two * math.sqrt(above)),
        "flagged": proportion(float(called.sum()), float(rest.sum()), one),
        "ill": proportion(float(ill.sum()), float(healthy.sum()), two * math.sqrt(below + above)),
        "lacking": _lacking(binned, risks),
    }


def _ppv(right: float, wrong: float, deviation: float) -> Interval:
    if not deviation and not right + wrong:
        return Interval.withheld("nobody is called ill")
    return proportion(right, wrong, deviation)


def _binned(part: PartCounts) -> PartCounts:
    """Returns a group's counts in bins, without the sum of its risks."""
    return part._replace(cells=np.asarray(part.cells[:-1]).reshape(2, -1))


def _lacking(part: PartCounts, risks: float) -> Interval:
    """Returns the share of the ill less the mean risk: above zero, risks are too low.

    The patients' part of the variance is that of labels drawn with one risk for all, which is no
    less than that of labels drawn with different risks. Whether it is shown is asked of the
    number of patients alone.
    """
    count, bins = float(part.cells.sum()), part.cells.shape[1]
    noise = part.deviation**2 * (bins + 1 / RISK_WEIGHT**2)
    if count < 1 or Z95 * math.sqrt(noise) / count > WIDEST:
        return Interval.withheld(TOO_FEW)
    ill = float(part.cells[1].sum())
    value = (ill - risks) / count
    shares = [min(max(each / count, 0.0), 1.0) for each in (ill, risks)]
    drawn = count * max(share * (1 - share) for share in shares)
    of_count = value**2 * part.deviation**2 * 2 * bins
    half = Z95 * math.sqrt(noise + of_count + drawn) / count
    return Interval(value=value, low=value - half, high=value + half)


def _patients(part: PartCounts) -> Interval:
    cells = _binned(part).cells
    return number_of_patients(float(cells.sum()), part.deviation, cells.size)


def _table(study: Study, noised: NoisedCounts) -> PartCounts:
    """Returns the sum of the hospitals' (2, 2) tables of decisions, each by its own grid."""
    table, variance = np.zeros((2, 2)), 0.0
    for part in noised.sites.values():
        below, above = _sides(study, part)
        sides = [part.cells[:, :below].sum(axis=1), part.cells[:, below:].sum(axis=1)]
        table += np.stack(sides, axis=1)
        variance += part.deviation**2 * max(below, above)
    return PartCounts(table, math.sqrt(variance), noised.grid)


def _adds_up(study: Study, noised: NoisedCounts) -> bool:
    """Whether the threshold is in the same bin of every hospital's groups."""
    at, bins = logit_of(threshold_of(study.task)), study.evaluation.group_bins
    return len({grid.bins_below(at, bins) for grid in noised.grids.values()}) <= 1


def _risks(study: Study, noised: NoisedCounts) -> RiskFigures:
    table = _table(study, noised)
    found = risk_figures(
        noised.pooled,
        noised.deviation,
        table.cells,
        table.deviation,
        sensitivity=_decisions(study, table)["sensitivity"],
        grid=noised.grid,
        declared=prevalence_of(study.task),
        threshold=threshold_of(study.task),
    )
    healthy, ill = map(float, table.cells[:, 1])
    return replace(
        found,
        specificity=_decisions(study, table)["specificity"],
        ppv=_ppv(ill, healthy, table.deviation),
        patients=number_of_patients(float(table.cells.sum()), table.deviation, 4),
    )


def _operating_points(study: Study, noised: NoisedCounts) -> tuple[OperatingPoint, ...]:
    return operating_points(noised.pooled, noised.deviation, _sizes(noised), noised.grid)


def _calibration(study: Study, noised: NoisedCounts) -> tuple[CalibrationPoint, ...]:
    return calibration_curve(*_scores(noised))


def _recalibration(noised: NoisedCounts, figures: Figures) -> Recalibration | None:
    slope, intercept = figures["calibration_slope"], figures["calibration_intercept"]
    return recalibration(_scores(noised)[0], slope, intercept)


def _scores(noised: NoisedCounts) -> tuple[BinnedScores, BinnedScores | None]:
    """Returns the counted scores, and those of a usual model of as many patients."""
    scores = BinnedScores.of(noised.pooled, noised.deviation, noised.grid)
    return scores, usual_scores(_sizes(noised), scores.bins, noised.deviation)


def _sizes(noised: NoisedCounts) -> tuple[float, float]:
    """Returns how many are healthy and ill, as the hospitals' own counts have it."""
    healthy, ill = map(float, noised.own.cells.sum(axis=1))
    return healthy, ill


BINARY_CLASSIFICATION = EvaluationReader(
    pooled=_pooled,
    part=_site,
    patients=_patients,
    group=_group,
    groups_add_up=_adds_up,
    risks=_risks,
    operating_points=_operating_points,
    calibration=_calibration,
    recalibration=_recalibration,
)
