"""What released counts say of a model's risks: are they as high as patients are often ill?

A model may rank well and still call nobody ill: clipped gradients weigh an ill patient
no more than a healthy one, so where few are ill the learned risks are far too low
(``docs/planning.md``). Everything here is arithmetic on the noised counts of the evaluation
and on the signed tables, so it costs no privacy. Rules:

1. Scores of a bin are taken to lie in it as they would, were all scores normal with the
   grid's centre and spread.
2. How many are ill is read from the counts and from the signed tables, each weighed by its
   noise. How far the mean risk lies from that has an interval of its own, for patients and
   noise together; the noise that both share is counted once.
3. Whether a figure is shown is asked of the number of patients in the tables alone, as for
   an AUROC (``compliance.release_rule``).
4. The correction is the number to add to the model's output, the logit, for the mean risk
   to be the declared prevalence; where the released share of the ill contradicts that, the
   released share. It changes no order of patients, so no AUROC. It is given where the mean
   risk is off by 1.5 of its own deviations or more: a guess that is mostly better than
   none, not a finding.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compliance.interval import Interval
from compliance.intervals import Z95, score_bounds
from compliance.released_metrics import TOO_FEW, WIDEST
from protocol.score_grid import ScoreGrid

Floats = NDArray[np.float64]

#: A mean risk that is surely off by this part of the share of the ill is a fault of the model.
_FAR = 0.1
#: So many of its own deviations a mean risk must be off for a correction to be given.
_SURE = 1.5
_STEP, _MOST = 0.05, 8.0  # of the correction, in logits


@dataclass(frozen=True, kw_only=True)
class RiskFigures:
    """A model's risks against the patients that it was tested on, from released counts.

    ``ill`` is the share of patients who are ill; ``lacking`` that share less the mean
    risk; ``sensitivity`` is that of a threshold at a risk of 0.5. ``excess_brier`` is how
    much larger the Brier score is than that of giving every patient the share of the ill:
    above zero is worse than knowing nothing of a patient. ``shift`` is to be added to the
    model's output; None where nothing is known to be better than the output as it is.
    """

    ill: Interval
    mean_risk: Interval
    lacking: Interval
    sensitivity: Interval
    excess_brier: Interval
    shift: float | None = None

    @property
    def contradict(self) -> bool:
        """Whether the mean risk is surely far from the share of the ill."""
        if self.lacking.low is None or self.lacking.high is None:
            return False
        far = _FAR * (self.ill.value or 0.0)
        return self.lacking.low > far or self.lacking.high < -far


def risk_figures(
    counts: NDArray[np.floating],
    deviation: float,
    table: NDArray[np.floating],
    table_deviation: float,
    *,
    sensitivity: Interval,
    grid: ScoreGrid,
    declared: float | None,
) -> RiskFigures:
    """Returns the figures of (2, bins) counts of scores, negatives' first.

    Args:
        counts: the pooled counts of the secure sum, in patients.
        deviation: noise deviation in patients of each of them.
        table, table_deviation: the sum of the hospitals' signed tables, (2, 2), and the
            noise deviation of each of its cells.
        sensitivity: as the tables have it.
        grid: where the bins of the counts lie.
        declared: the prevalence that the study declares, if any.
    """
    seen = _Seen.of(counts, deviation, table, table_deviation, grid)
    noise = Z95 * deviation * math.sqrt(2 * float(((seen.risks - 0.5) ** 2).sum()))
    patients = float(np.sum(table))
    if min(seen.patients, float(seen.counts.sum()), patients) <= 0 or noise / patients > WIDEST:
        hidden = Interval(value=None, low=None, high=None, note=TOO_FEW)
        return RiskFigures(
            ill=hidden, mean_risk=hidden, lacking=hidden, sensitivity=sensitivity,
            excess_brier=hidden,
        )  # fmt: skip
    ill = seen.share_ill()
    return RiskFigures(
        ill=ill, mean_risk=seen.mean_risk(), lacking=seen.lacking(), sensitivity=sensitivity,
        excess_brier=seen.excess_brier(), shift=_shift(seen, ill, declared),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the released counts are, with each bin's (bins, points) ``logits`` and mean ``risks``.

    ``positives`` and ``patients`` are of counts and tables together; ``weight`` is the part
    of the counts in them, ``spread`` the deviation of the noise in the number of positives.
    """

    counts: Floats
    deviation: float
    logits: Floats
    risks: Floats
    positives: float
    patients: float
    weight: float
    spread: float

    @classmethod
    def of(
        cls,
        counts: NDArray[np.floating],
        deviation: float,
        table: NDArray[np.floating],
        table_deviation: float,
        grid: ScoreGrid,
    ) -> "_Seen":
        cells, bins = np.asarray(counts, dtype=np.float64), counts.shape[1]
        logits = grid.points(bins)
        of_counts, of_table = bins * deviation**2, 2 * table_deviation**2
        weight = of_table / (of_counts + of_table) if of_counts + of_table else 0.5
        negatives, positives = weight * cells.sum(axis=1) + (1 - weight) * np.sum(table, axis=1)
        return cls(
            counts=cells, deviation=deviation, logits=logits, risks=_mean_risk(logits),
            positives=float(positives), patients=float(negatives + positives), weight=weight,
            spread=math.sqrt(weight**2 * of_counts + (1 - weight) ** 2 * of_table),
        )  # fmt: skip

    def share_ill(self) -> Interval:
        share = min(max(self.positives / self.patients, 0.0), 1.0)

        def variance(truth: float) -> float:
            noise = ((1 - truth) ** 2 + truth**2) * self.spread**2 / self.patients**2
            return noise + truth * (1 - truth) / self.patients

        low, high = score_bounds(share, variance)
        return Interval(value=share, low=low, high=high)

    def mean_risk(self) -> Interval:
        counts = self.counts.sum(axis=0)
        total = float(counts.sum())
        mean = min(max(float(counts @ self.risks) / total, 0.0), 1.0)

        def variance(truth: float) -> float:
            noise = 2 * self.deviation**2 * float(((self.risks - truth) ** 2).sum())
            return noise / total**2 + truth * (1 - truth) / total

        low, high = score_bounds(mean, variance)
        return Interval(value=mean, low=low, high=high)

    def lacking(self) -> Interval:
        """The ill less the sum of all risks, over the patients.

        The patients' part of the variance is that of labels drawn with one risk for all,
        which is no less than that of labels drawn with different risks.
        """
        expected = float(self.counts.sum(axis=0) @ self.risks)
        noise = self.spread**2 + 2 * self.deviation**2 * float(
            (self.risks**2).sum() - self.weight * self.risks.sum()
        )
        shares = [min(max(each / self.patients, 0.0), 1.0) for each in (self.positives, expected)]
        drawn = self.patients * max(share * (1 - share) for share in shares)
        half = Z95 * math.sqrt(max(noise, 0.0) + drawn) / self.patients
        value = (self.positives - expected) / self.patients
        return Interval(value=value, low=value - half, high=value + half)

    def excess_brier(self) -> Interval:
        """Source: Brier 1950, Monthly Weather Review 78."""
        share, total = self.positives / self.patients, float(self.counts.sum())
        squares = _mean_risk(self.logits, power=2)
        cells = np.array([squares - share**2, squares - 2 * self.risks + 1 - (1 - share) ** 2])
        value = float((self.counts * cells).sum()) / total
        of_cells = (self.deviation**2 + np.maximum(self.counts, 0)) * cells**2
        half = Z95 * math.sqrt(float(of_cells.sum())) / total
        return Interval(value=value, low=value - half, high=value + half)


def _mean_risk(logits: Floats, power: int = 1) -> Floats:
    """Returns each bin's mean of the risks, or of their squares."""
    with np.errstate(over="ignore"):
        risks = 1 / (1 + np.exp(-logits))
    return np.asarray((risks**power).mean(axis=1), dtype=np.float64)


def _shift(seen: _Seen, ill: Interval, declared: float | None) -> float | None:
    """Returns the first step towards the wanted mean risk that reaches it; None if none does."""
    if declared is not None and (ill.low or 0.0) <= declared <= (ill.high or 1.0):
        wanted, own = declared, 0.0
    else:
        wanted, own = ill.value or 0.0, seen.spread
    counts = seen.counts.sum(axis=0)
    total = float(counts.sum())
    lacking = wanted * total - float(counts @ seen.risks)
    noise = 2 * seen.deviation**2 * float(((seen.risks - wanted) ** 2).sum()) + own**2
    if abs(lacking) <= _SURE * math.sqrt(noise + total * wanted * (1 - wanted)):
        return None
    way = math.copysign(1.0, lacking)
    for step in range(1, round(_MOST / _STEP) + 1):
        shift = way * step * _STEP
        if way * (wanted * total - float(counts @ _mean_risk(seen.logits + shift))) <= 0:
            return round(shift, 2)
    return None
