"""Coverage of released 95 % intervals: among released figures, case by case.

Patients, scores, classes and noise are drawn as a run draws them (four hospitals), and figures are
computed by the function that releases them. ``python -m tests.long.evaluation.coverage`` prints
the long table; ``test_coverage`` holds a short one to 93 %.
"""

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from compliance.estimates.proportion import proportion
from compliance.privacy.accounting import calibrate
from coordinator.rounds.evaluation.binary_classification import released_auroc
from pipelines.evaluation.metrics import histogram
from protocol.vectors.evaluation import noise_deviations
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.evaluations import noised_counts

HOSPITALS = 4
#: Epsilon by patients' release at delta 1e-5; None is no noise.
EPSILONS = (None, 8.0, 3.0, 1.0)
#: Test patients, part that is ill, AUROC, bins and epsilon, where intervals once held too rarely.
ATTACKED = ((1000, 0.05, 0.95, 8, 1.0), (400, 0.2, 0.9, 8, 1.0), (254, 0.05, 0.99, 4, None))
#: Grids that lie beside the scores, as the reference inputs of a study may place them.
EVEN = ScoreGrid()
BESIDE = (
    ScoreGrid(centre=1.3, spread=1.3), ScoreGrid(spread=2.6), ScoreGrid(centre=-0.6, spread=0.5),
    ScoreGrid(centre=5.0, spread=1.0), ScoreGrid(centre=0.0, spread=30.0),
)  # fmt: skip
#: Patients, the true share and epsilon, likewise.
ATTACKED_SHARES = ((20, 0.95, 3.0), (40, 0.95, 1.0), (40, 0.9, 3.0))


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of ``drawn`` releases so many were shown, and so many of those intervals held the truth."""

    drawn: int
    shown: int
    held: int

    @property
    def share(self) -> float:
        """Returns the share of shown intervals that hold the truth."""
        return self.held / self.shown


def deviations(epsilon: float | None) -> tuple[float, float]:
    """Returns the noise deviations of a hospital's counts and table, in patients."""
    if epsilon is None:
        return 0.0, 0.0
    return noise_deviations(calibrate(epsilon=epsilon, delta=1e-5, sampling_rate=1.0, steps=1), 0.2)


def auroc_coverage(
    patients: int,
    ill: float,
    auroc: float,
    bins: int,
    epsilon: float | None,
    times: int,
    grid: ScoreGrid = EVEN,
) -> Coverage:
    """Returns the coverage of the pooled AUROC of this many test patients.

    The truth is the model's own AUROC, not that of the binned scores: its scores are normal
    with deviation 1 in both classes, and are counted on ``grid``.
    """
    random = np.random.default_rng([patients, bins, times])
    apart = NormalDist().inv_cdf(auroc) * math.sqrt(2)
    edges = grid.edges(bins)
    counts_noise, table_noise = deviations(epsilon)
    pooled = counts_noise * math.sqrt(HOSPITALS)
    shown = held = 0
    for number in random.binomial(patients, ill, times):
        labels = np.arange(patients) < number
        scores = random.normal(size=patients) + apart * (labels - 0.5)
        counts = histogram(scores, labels, edges) + pooled * random.normal(size=(2, bins))
        table = np.array([[patients - number, 0.0], [0.0, number]])
        tables = {str(place): table / HOSPITALS for place in range(HOSPITALS)}
        noised = {
            site: own + table_noise * random.normal(size=(2, 2)) for site, own in tables.items()
        }
        deviations_of = dict.fromkeys(tables, table_noise)
        found = released_auroc(noised_counts(counts, pooled, noised, deviations_of, grid=grid))
        if not found.note:
            assert found.low is not None and found.high is not None
            shown, held = shown + 1, held + (found.low <= auroc <= found.high)
    return Coverage(drawn=times, shown=shown, held=held)


def share_coverage(patients: int, share: float, epsilon: float | None, times: int) -> Coverage:
    """Returns the coverage of a hospital's own sensitivity or specificity."""
    random = np.random.default_rng([patients, times])
    _, noise = deviations(epsilon)
    shown = held = 0
    for right in random.binomial(patients, share, times):
        found = proportion(
            right + noise * random.normal(), patients - right + noise * random.normal(), noise
        )
        if not found.note:
            assert found.low is not None and found.high is not None
            shown, held = shown + 1, held + (found.low <= share <= found.high)
    return Coverage(drawn=times, shown=shown, held=held)


def _line(words: str, found: Coverage) -> str:
    if found.shown < 0.01 * found.drawn:
        return f"{words} | {found.shown / found.drawn:.3f} | withheld |"
    return f"{words} | {found.shown / found.drawn:.2f} | {found.share:.3f} |"


def main() -> None:
    """Prints the long table, or with ``--attacked`` the cases in docs/planning.md."""
    if "--attacked" in sys.argv:
        for case in ATTACKED:
            print(_line(f"| AUROC {case}", auroc_coverage(*case, 500)), flush=True)
        for grid in BESIDE:
            for bins in (4, 16):
                found = auroc_coverage(1000, 0.2, 0.8, bins, 3.0, 500, grid)
                words = f"| AUROC 0.8, {bins} bins around {grid.centre:g}, spread {grid.spread:g}"
                print(_line(words, found), flush=True)
        for own in ATTACKED_SHARES:
            print(_line(f"| share {own}", share_coverage(*own, 2000)), flush=True)
        return
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for epsilon in EPSILONS:
        for patients, bins in ((100, 4), (254, 4), (254, 16), (400, 8), (1000, 8), (3000, 16)):
            for ill in (0.05, 0.2, 0.4):
                for auroc in (0.7, 0.85, 0.95, 0.99):
                    found = auroc_coverage(patients, ill, auroc, bins, epsilon, times)
                    words = f"| AUROC {auroc} | {patients}, {ill:.0%} ill | {bins} bins | {epsilon}"
                    print(_line(words, found), flush=True)
        for patients in (10, 20, 40, 60, 100, 200):
            for share in (0.5, 0.8, 0.95, 0.99):
                found = share_coverage(patients, share, epsilon, times)
                print(_line(f"| share {share} | {patients} | | {epsilon}", found), flush=True)


if __name__ == "__main__":
    main()
