"""Calibration of a model's risks, from released counts: are they as high as patients are often ill?

A model may rank well and still call nobody ill: clipped gradients weigh an ill patient
no more than a healthy one, so where few are ill the learned risks are far too low
(``docs/planning.md``). Everything here is arithmetic on the noised counts of the evaluation
and on the signed tables, so it costs no privacy. Rules:

1. Scores of a bin are taken to lie in it as they would, were all scores normal with the
   grid's centre and spread; how they truly lie is not released. So every interval also
   reaches as far as scores at either edge of their bins could move it. Of the outer bins,
   which have one edge, the signed tables say how many scores lie above the threshold.
2. How many are ill is read from the counts and from the signed tables, each weighed by its
   noise. How far the mean risk lies from that has an interval of its own, for patients and
   noise together; the noise that both share is counted once.
3. Whether a figure is shown is asked of the number of patients in the tables alone, as for
   an AUROC (``compliance.estimates.binned_scores.release_rule``).
4. The correction is the number to add to the model's output, the logit, for the mean risk
   to be the declared prevalence; where the released share of the ill contradicts that, the
   released share. It changes no order of patients, so no AUROC. It is given where the interval
   of the mean risk's error leaves out 0, and is as small as the bins allow: with every score at
   that edge of its bin which needs the least.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.interval import Z95, Interval, score_bounds
from compliance.estimates.withholding import MARGIN, TOO_FEW, WIDEST
from protocol.vectors.score_grid import ScoreGrid, logit_of

Floats = NDArray[np.float64]

#: A mean risk off by this part of the share of the ill, with its whole interval, is a fault.
_FAR = 0.1
_STEP, _MOST = 0.05, 8.0  # of the correction, in logits
_NOT_KEPT = Interval.withheld("not kept by the version that made this run")


@dataclass(frozen=True, kw_only=True)
class RiskFigures:
    """A model's risks against the patients that it was tested on, from released counts.

    ``ill`` is the share of patients who are ill; ``lacking`` that share less the mean
    risk; ``sensitivity``, ``specificity`` and ``ppv`` are those at the study's threshold, and
    ``patients`` how many there are, as the signed tables have it. ``excess_brier`` is how
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
    specificity: Interval = _NOT_KEPT
    ppv: Interval = _NOT_KEPT
    patients: Interval = _NOT_KEPT

    @property
    def contradict(self) -> bool:
        """Whether the mean risk is far from the share of the ill, with its whole interval."""
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
    threshold: float = 0.5,
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
        threshold: the risk at which the tables tell patients apart.
    """
    seen = _Seen.of(counts, deviation, table, table_deviation, grid, threshold)
    noise = Z95 * deviation * math.sqrt(2 * float(((seen.risks - 0.5) ** 2).sum()))
    patients = float(np.sum(table))
    if min(seen.patients, float(seen.counts.sum()), patients) <= 0 or noise / patients > WIDEST:
        hidden = Interval.withheld(TOO_FEW)
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
    """The released counts, with each bin's (bins, points) ``logits`` and mean ``risks``.

    ``positives`` and ``patients`` are of counts and tables together; ``weight`` is the part
    of the counts in them, ``spread`` the deviation of the noise in the number of positives.
    ``borders`` are the bins' (bins + 1,); at most ``above`` and ``below`` patients' logits lie
    above and below the threshold's, ``at``, as the tables have it.
    """

    counts: Floats
    deviation: float
    logits: Floats
    risks: Floats
    positives: float
    patients: float
    weight: float
    spread: float
    borders: Floats
    above: float
    below: float
    at: float

    @classmethod
    def of(
        cls,
        counts: NDArray[np.floating],
        deviation: float,
        table: NDArray[np.floating],
        table_deviation: float,
        grid: ScoreGrid,
        threshold: float,
    ) -> "_Seen":
        cells, bins = np.asarray(counts, dtype=np.float64), counts.shape[1]
        logits = grid.points(bins)
        below, above = np.sum(table, axis=0) + MARGIN * math.sqrt(2) * table_deviation
        of_counts, of_table = bins * deviation**2, 2 * table_deviation**2
        weight = of_table / (of_counts + of_table) if of_counts + of_table else 0.5
        negatives, positives = weight * cells.sum(axis=1) + (1 - weight) * np.sum(table, axis=1)
        return cls(
            counts=cells, deviation=deviation, logits=logits, risks=_mean_risk(logits),
            positives=float(positives), patients=float(negatives + positives), weight=weight,
            spread=math.sqrt(weight**2 * of_counts + (1 - weight) ** 2 * of_table),
            borders=np.r_[-np.inf, grid.edges(bins), np.inf],
            above=max(0.0, float(above)), below=max(0.0, float(below)), at=logit_of(threshold),
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
        less, more = self.hidden()
        return Interval(value=mean, low=max(0.0, low - less), high=min(1.0, high + more))

    def hidden(self) -> tuple[float, float]:
        """Returns how much lower and how much higher the mean risk may be than the bins say."""
        counts = np.maximum(self.counts.sum(axis=0), 0.0)
        least, most = self.edges()
        total = float(counts.sum())
        less = float(counts @ (self.risks - least)) / total
        return less, float(counts @ (most - self.risks)) / total

    def edges(self, shift: float = 0.0) -> tuple[Floats, Floats]:
        """Returns the (bins,) least and greatest mean risk of each bin's scores.

        Above its last edge a bin reaches to a risk of one for the part of its patients that
        the tables have above the threshold, and to the threshold for the others; likewise below.
        """
        low, high = self.borders[:-1] + shift, self.borders[1:] + shift
        with np.errstate(over="ignore"):
            least, most = 1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high))
        counts = np.maximum(self.counts.sum(axis=0), 0.0)
        above = min(1.0, self.above / max(float(counts[-1]), 1.0))
        below = min(1.0, self.below / max(float(counts[0]), 1.0))
        middle, risks = 1 / (1 + math.exp(-self.at - shift)), _mean_risk(self.logits + shift)
        most[-1] = above + (1 - above) * max(middle, float(least[-1]))
        least[0] = (1 - below) * min(middle, float(most[0]))
        return np.minimum(least, risks), np.maximum(most, risks)

    def lacking(self) -> Interval:
        """Returns the ill less the sum of all risks, over the patients.

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
        less, more = self.hidden()
        return Interval(value=value, low=value - half - more, high=value + half + less)

    def excess_brier(self) -> Interval:
        """Returns how much larger the Brier score is than that of the share of the ill for all.

        Source: Brier 1950, Monthly Weather Review 78.
        """
        share, total = self.positives / self.patients, float(self.counts.sum())
        squares = _mean_risk(self.logits, power=2)
        cells = np.array([squares - share**2, squares - 2 * self.risks + 1 - (1 - share) ** 2])
        value = float((self.counts * cells).sum()) / total
        of_cells = (self.deviation**2 + np.maximum(self.counts, 0)) * cells**2
        half = Z95 * math.sqrt(float(of_cells.sum())) / total
        least, most = self.edges()
        counts = np.maximum(self.counts, 0.0)
        low = counts * np.array([least**2, (1 - most) ** 2])
        high = counts * np.array([most**2, (1 - least) ** 2])
        usual = counts * np.array([squares, squares - 2 * self.risks + 1])
        less, more = float((usual - low).sum()) / total, float((high - usual).sum()) / total
        return Interval(value=value, low=value - half - less, high=value + half + more)


def _mean_risk(logits: Floats, power: int = 1) -> Floats:
    """Returns each bin's mean of the risks, or of their squares."""
    with np.errstate(over="ignore"):
        risks = 1 / (1 + np.exp(-logits))
    return np.asarray((risks**power).mean(axis=1), dtype=np.float64)


def _shift(seen: _Seen, ill: Interval, declared: float | None) -> float | None:
    """Returns the least step towards the wanted mean risk that may reach it; None if none does."""
    lacking = seen.lacking()
    if (lacking.low or 0.0) <= 0 <= (lacking.high or 0.0):
        return None
    is_declared = declared is not None and (ill.low or 0.0) <= declared <= (ill.high or 1.0)
    wanted = declared if is_declared and declared is not None else ill.value or 0.0
    counts = seen.counts.sum(axis=0)
    total, too_low = float(counts.sum()), (lacking.value or 0.0) > 0
    for step in range(round(_MOST / _STEP) + 1):
        shift = step * _STEP if too_low else -step * _STEP
        least, most = seen.edges(shift)
        left = wanted * total - float(counts @ (most if too_low else least))
        if (left <= 0) == too_low:
            return round(shift, 2) if step else None
    return None
