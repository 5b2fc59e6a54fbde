"""The tables of docs/evaluation.md: errors of the grid, half-widths, coverage and widths.

``python -m tests.long.evaluation grid|widths|coverage`` prints one; see each function.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, brier_score_loss, roc_auc_score

from compliance.estimates.binned_scores.auprc import average_precision, released_auprc
from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.estimates.binned_scores.brier import brier_score, released_brier_score
from compliance.estimates.binned_scores.calibration import (
    calibration_error,
    released_calibration_error,
)
from compliance.estimates.binned_scores.calibration_line import (
    released_intercept,
    released_slope,
)
from compliance.estimates.binned_scores.release_rule import is_released, usual_scores
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.interval import Z95, Interval
from compliance.privacy.accounting import calibrate
from coordinator.rounds.evaluation.released import Released
from pipelines.evaluation.metrics import histogram
from protocol.vectors.evaluation import noise_deviations
from protocol.vectors.number_of_bins import number_of_bins
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.evaluations import released_metrics
from tests.support.simulated.populations import Population, patients, risk

Floats = NDArray[np.float64]
#: Population, share of the ill, test patients and epsilon of the table of coverage.
COVERED = (
    ("well spread", 0.3, 1000, 3.0), ("too sure", 0.3, 5000, 1.0), ("well spread", 0.05, 5000, 3.0),
    ("skewed", 0.2, 1000, 3.0), ("skewed", 0.2, 5000, 1.0),
)  # fmt: skip
HOSPITALS, DELTA, SITE_SHARE = 4, 1e-5, 0.2
KINDS = (
    ("well spread", 0.3), ("piled near 0 and 1", 0.3), ("narrow", 0.3), ("well spread", 0.03),
)  # fmt: skip


@lru_cache(maxsize=16)
def deviations(epsilon: float | None) -> tuple[float, float]:
    """Returns the noise deviations, in patients, of the pooled counts and of the tables' sum."""
    if epsilon is None:
        return 0.0, 0.0
    multiplier = calibrate(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=1)
    counts, table = noise_deviations(multiplier, SITE_SHARE)
    return counts * HOSPITALS**0.5, table * HOSPITALS**0.5


def linear_auroc(logits: Floats, labels: Floats) -> float:
    """Returns the AUROC of ten thresholds of the risk that lie evenly from 0 to 0.9."""
    risks = risk(logits)
    above = [risks >= at for at in np.arange(10) / 10]
    hits = [1.0, *(float(one[labels > 0].mean()) for one in above), 0.0]
    alarms = [1.0, *(float(one[labels == 0].mean()) for one in above), 0.0]
    return float(auc(alarms, hits))


def grid_errors(kind: str, ill: float, count: int = 200_000) -> dict[str, float]:
    """Returns how far figures of counts without noise are from scikit-learn's, of one drawing.

    AUROC of the linear grid, of 16, 32 and 64 bins; AUPRC, Brier score and ECE of 64 bins, the
    last against that of the same groups.
    """
    logits, labels = patients(kind, ill, count, np.random.default_rng(1))
    exact = float(roc_auc_score(labels, logits))
    grid = ScoreGrid.around(logits)
    found = {"linear": linear_auroc(logits, labels) - exact}
    for bins in (16, 32, 64):
        counts = histogram(logits, labels, grid.edges(bins)).astype(np.float64)
        value = auroc_from_histogram(counts, 0.0).value
        found[f"auroc {bins}"] = (0.0 if value is None else value) - exact
    scores = BinnedScores.of(counts, 0.0, grid)
    risks, places = risk(logits), np.searchsorted(grid.edges(64), logits, side="right")
    gaps = np.bincount(places // 8, labels - risks)
    return found | {
        "auprc": average_precision(scores)[0] - float(average_precision_score(labels, logits)),
        "brier": brier_score(scores)[0] - float(brier_score_loss(labels, risks)),
        "ece": calibration_error(scores)[0] - float(np.abs(gaps).sum()) / count,
    }


def half_widths(number: int, ill: float, epsilon: float | None) -> dict[str, float | None]:
    """Returns half the 95 % intervals to expect of a usual model; None of what is withheld.

    Four hospitals, ``number`` test patients together; ``bins`` as ``auto`` would choose.
    """
    counts, _ = deviations(epsilon)
    bins, sizes = number_of_bins(number, ill, counts), (number * (1 - ill), number * ill)
    usual = usual_scores(sizes, bins, counts)
    found: dict[str, float | None] = {"bins": bins, "auroc": None}
    if usual is not None and is_released(*sizes, bins=bins, noise_sigma=counts):
        auroc = auroc_from_histogram(usual.counts, counts)
        found["auroc"] = (auroc.high - auroc.low) / 2
    if usual is None:
        return found
    for name, figure in (
        ("auprc", released_auprc), ("brier", released_brier_score),
        ("ece", released_calibration_error), ("slope", released_slope),
        ("intercept", released_intercept),
    ):  # fmt: skip
        shown = figure(usual, usual)
        known = shown.low is not None and shown.high is not None
        found[name] = (shown.high - shown.low) / 2 if known else None  # type: ignore[operator]
    return found


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of how many releases a figure was shown, how many held the truth, and how wide they were.

    ``width`` is the mean width in parts of an oracle's: of 3.92 deviations of the shown values.
    """

    drawn: int
    shown: int
    held: int
    width: float

    @property
    def share(self) -> float:
        """The share of shown intervals that hold the truth."""
        return self.held / self.shown


def coverage(
    kind: str, ill: float, number: int, epsilon: float | None, draws: int, bins: int | None = None
) -> dict[str, Coverage]:
    """Returns how often the intervals of every figure hold the truth, over so many drawings.

    Patients, tables and noise are drawn, and figures are those of the function that releases
    them. Thresholds and calibration points are counted together over all of a kind.
    """
    counts, tables = deviations(epsilon)
    bins = bins or number_of_bins(number, ill, counts)
    population, random = Population.of(kind, ill, bins, count=1_000_000), np.random.default_rng(2)
    truths = {name: truth for name, truth in _truths(population) if np.isfinite(truth)}
    found: dict[str, list[Interval]] = {name: [] for name in truths}
    for _ in range(draws):
        exact = population.counts(number, 0.0, random)
        noised = exact + random.normal(0, counts, exact.shape)
        sizes = exact.sum(axis=1)
        table = np.array([[sizes[0], 0.0], [0.0, sizes[1]]]) + random.normal(0, tables, (2, 2))
        released = released_metrics(
            noised, counts, {"all": table}, {"all": tables}, grid=population.grid
        )
        for name, interval in _figures(released):
            if name in found:  # nobody is in a bin below all scores: there is no true share
                found[name].append(interval)
    return _summed({name: _covered(found[name], truth) for name, truth in truths.items()})


#: The figures of a threshold.
_SHARES = ("sensitivity", "specificity", "ppv", "npv", "net_benefit")


_WHOLE = ("auroc", "auprc", "brier", "ece", "calibration_slope", "calibration_intercept")


def _figures(released: Released) -> Iterator[tuple[str, Interval]]:
    for name in _WHOLE:
        yield name, released.figures[name]
    for place, point in enumerate(released.operating_points):
        for name in _SHARES:
            yield f"{name} {place}", getattr(point, name)
    for place, group in enumerate(released.calibration):
        yield f"group's ill {place}", group.ill


def _truths(population: Population) -> Iterator[tuple[str, float]]:
    """Yields the true figures of a population."""
    for name in _WHOLE:
        yield name, population.figures[name]
    for place in range(1, population.bins):
        (tn, fn), (fp, tp) = (
            part.sum(axis=1) for part in np.split(population.shares, [place], axis=1)
        )
        threshold = float(risk(population.grid.edges(population.bins)[place - 1]))
        odds = threshold / (1 - threshold) if threshold < 1 else np.inf
        values = (_part(tp, fn), _part(tn, fp), _part(tp, fp), _part(tn, fn), tp - odds * fp)
        for name, value in zip(_SHARES, values, strict=True):
            yield f"{name} {place - 1}", float(value)
    groups = min(8, population.bins)
    cells = population.shares.reshape(2, groups, -1).sum(axis=2)
    for place in range(groups):
        yield f"group's ill {place}", _part(cells[1, place], cells[0, place])


def _part(these: float, others: float) -> float:
    """Returns these / (these + others); no number where there are none."""
    return float(these / (these + others)) if these + others else np.nan


def _covered(found: list[Interval], truth: float) -> tuple[int, int, int, float, float]:
    """Returns drawn, shown, held, the mean width, and 3.92 deviations of the values."""
    shown = [
        (one.value, one.low, one.high)
        for one in found
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if len(shown) < 2:
        return len(found), 0, 0, 0.0, 0.0
    values, lows, highs = np.array(shown).T
    held = int(((lows <= truth) & (truth <= highs)).sum())
    return len(found), len(shown), held, float((highs - lows).mean()), 2 * Z95 * float(values.std())


def _summed(found: Mapping[str, tuple[int, int, int, float, float]]) -> dict[str, Coverage]:
    """Returns coverages by the first word of the name, a figure's at all places together."""
    kinds: dict[str, list[tuple[int, int, int, float, float]]] = {}
    for name, one in found.items():
        kinds.setdefault(name.rsplit(" ", 1)[0] if name[-1].isdigit() else name, []).append(one)
    return {
        name: Coverage(
            drawn=sum(one[0] for one in ones),
            shown=sum(one[1] for one in ones),
            held=sum(one[2] for one in ones),
            width=sum(one[3] for one in ones if one[1]) / max(sum(one[4] for one in ones), 1e-12),
        )
        for name, ones in kinds.items()
    }


#: What each table is printed by.
TABLES: Mapping[str, Callable[[], Iterator[str]]]


def _grid() -> Iterator[str]:
    for kind, ill in KINDS:
        errors = " | ".join(f"{error:+.4f}" for error in grid_errors(kind, ill).values())
        yield f"| {kind}, {ill:.0%} ill | {errors} |"


def _widths() -> Iterator[str]:
    for ill in (0.3, 0.05):
        for number in (300, 1000, 5000, 20_000):
            for epsilon in (1.0, 3.0, 8.0, None):
                found = half_widths(number, ill, epsilon)
                bins = found.pop("bins")
                cells = " | ".join("—" if one is None else f"{one:.3f}" for one in found.values())
                yield f"| {number:,}, {ill:.0%} ill | {epsilon or 'none'} | {bins} | {cells} |"


def _coverage() -> Iterator[str]:
    for kind, ill, number, epsilon in COVERED:
        yield from _covered_lines(kind, ill, number, epsilon)


def _covered_lines(kind: str, ill: float, number: int, epsilon: float | None) -> Iterator[str]:
    for name, one in coverage(kind, ill, number, epsilon, 500).items():
        words = f"| {kind}, {ill:.0%} ill | {number:,} | {epsilon or 'none'} | {name}"
        if one.shown < 0.02 * one.drawn:
            yield f"{words} | withheld | | |"
        else:
            part = one.shown / one.drawn
            yield f"{words} | {part:.2f} | {one.share:.3f} | {one.width:.2f} |"


TABLES = {"grid": _grid, "widths": _widths, "coverage": _coverage}
