"""Figures of docs/monitoring.md: false alarms, drifts found, and the smallest drift seen.

``python -m tests.long.evaluation.drift`` prints them as tables; about ten minutes.
"""

import math
import sys

import numpy as np

from compliance.estimates.drift.series import drift_series, flagged_drifts
from compliance.planning.drift_forecast import WatchedColumn, forecast_drift
from compliance.privacy.accounting import calibrate
from protocol.vectors.evaluation import noise_deviations
from tests.support.simulated.drifts import (
    LAB_IN_ANOTHER_UNIT,
    NEW_SCANNER,
    TWICE_AS_ILL,
    release,
)

CALENDAR, STABLE, DRIFTED = 4, 500, 200
DRIFTS = {
    "lab unit": {"lab": LAB_IN_ANOTHER_UNIT},
    "new scanner": {"scanner": NEW_SCANNER},
    "twice as ill": {"label": TWICE_AS_ILL},
}
#: Patients of a release, and the noise in each pooled count.
SETTINGS = ((400, 0.0), (900, 10.0), (900, 25.0), (2000, 25.0), (5000, 60.0))
COLUMNS = (
    *(WatchedColumn(name=f"number {n}", kind="number", parts=8) for n in range(3)),
    WatchedColumn(name="category", kind="category", parts=3),
    WatchedColumn(name="label", kind="label", parts=2, share=0.2),
    WatchedColumn(name="score", kind="score", parts=8),
)
HOSPITALS, RELEASES, DELTA, SITE_SHARE = 4, 6, 1e-5, 0.05


def say(*cells: object) -> None:
    """Writes a row of a table."""
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


def false_alarms(patients: int, deviation: float) -> float:
    """Returns the share of stable calendars with any flag."""
    random, alarms = np.random.default_rng(1), 0
    for seed in range(STABLE):
        reference, *others = (
            release(n, random, patients=patients, deviation=deviation) for n in range(CALENDAR + 1)
        )
        alarms += bool(
            flagged_drifts(drift_series(reference, others, calendar=CALENDAR, seed=seed))
        )
    return alarms / STABLE


def found_within_two(patients: int, deviation: float, drift: str) -> tuple[float, float]:
    """Returns the shares of calendars in which a drift is flagged at once, and by the second."""
    random, times = np.random.default_rng(2), [0, 0]
    (column,) = DRIFTS[drift]
    for seed in range(DRIFTED):
        reference = release(0, random, patients=patients, deviation=deviation)
        after = [
            release(n, random, patients=patients, deviation=deviation, **DRIFTS[drift])
            for n in (1, 2)
        ]
        flags = flagged_drifts(drift_series(reference, after, calendar=CALENDAR, seed=seed))
        first = min((f.release for f in flags if f.column == column), default=9)
        times[0] += first == 1
        times[1] += first <= 2
    return times[0] / DRIFTED, times[1] / DRIFTED


def noise_of(epsilon: float) -> float:
    """Returns the noise in each pooled count of a calendar of these columns."""
    multiplier = calibrate(epsilon=epsilon, delta=DELTA, sampling_rate=1.0, steps=RELEASES + 1)
    own = math.sqrt(1 + len(COLUMNS)) * noise_deviations(multiplier, SITE_SHARE)[0]
    return math.sqrt(HOSPITALS) * own


def main() -> None:
    """Prints the tables."""
    for epsilon in (1.0, 2.0, 4.0, 8.0):
        for patients in (500, 2000, 10_000, 50_000):
            seen = forecast_drift(
                COLUMNS, patients=patients, deviation=noise_of(epsilon), releases=RELEASES
            )
            kinds = {one.kind: one for one in seen.columns}
            say(
                f"{epsilon:g}", f"{patients:,}", f"{noise_of(epsilon):.0f}",
                *("none" if one.index is None else f"{one.shift:.2f} (PSI {one.index:.2f})"
                  for one in kinds.values()),
                "yes" if seen.is_enough else "no",
            )  # fmt: skip
    for patients, deviation in SETTINGS:
        say(
            f"{patients:,}", f"{deviation:g}", f"{false_alarms(patients, deviation):.1%}",
            *("{:.0%}, {:.0%}".format(*found_within_two(patients, deviation, drift))
              for drift in DRIFTS),
        )  # fmt: skip


if __name__ == "__main__":
    main()
