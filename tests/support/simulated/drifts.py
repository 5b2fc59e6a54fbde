"""Noised releases of a watched hospital population, stable or with a drift planted in it."""

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.drift.histograms import CountedRelease, NoisedHistogram
from compliance.facts.drift_calendar import DriftCalendar, compared

Floats = NDArray[np.float64]

SITES = ("east", "north", "south")
#: A laboratory value in eight bins, one patient in ten without it.
LAB = np.array([0.02, 0.08, 0.20, 0.25, 0.20, 0.13, 0.07, 0.03, 1 / 9]) * 0.9
#: The same in another unit: all values lie in the lowest bin.
LAB_IN_ANOTHER_UNIT = np.array([0.9, 0, 0, 0, 0, 0, 0, 0, 0.1])
#: Three scanners; the third is bought later. Nobody is without one.
SCANNER = np.array([0.6, 0.4, 0.0, 0.0])
NEW_SCANNER = np.array([0.5, 0.3, 0.2, 0.0])
#: Healthy, ill, and not known yet.
LABEL = np.array([0.72, 0.08, 0.2])
TWICE_AS_ILL = np.array([0.64, 0.16, 0.2])
#: A model's scores, on a grid that its reference fills evenly.
SCORE = np.array([*np.full(8, 1 / 8), 0.0])

#: The watched columns: shares with the missing last, ordered or not, missing compared or not.
STABLE = {
    "lab": (LAB, True, True),
    "scanner": (SCANNER, False, True),
    "label": (LABEL, False, False),
    "score": (SCORE, True, False),
}


def histogram(
    name: str, counts: Floats, deviation: float, random: np.random.Generator
) -> NoisedHistogram:
    """Returns a column's histogram with noise; the last count is of the missing."""
    _, is_ordered, compares_missing = STABLE[name]
    noised = counts + random.normal(0, deviation, len(counts)) if deviation else counts
    return NoisedHistogram(
        name=name,
        parts=tuple(map(str, range(len(counts) - 1))),
        counts=tuple(map(float, noised[:-1])),
        missing=float(noised[-1]),
        patients=float(counts.sum() + (random.normal(0, deviation) if deviation else 0)),
        deviation=deviation,
        is_ordered=is_ordered,
        compares_missing=compares_missing,
    )


def release(
    number: int,
    random: np.random.Generator,
    *,
    patients: int = 2000,
    deviation: float = 25.0,
    sites: tuple[str, ...] = SITES,
    columns: tuple[str, ...] = tuple(STABLE),
    **drifted: Floats,
) -> CountedRelease:
    """Returns a release of fresh patients; a column named in ``drifted`` has those shares."""
    return CountedRelease(
        number=number,
        run_id=f"run-{number}",
        sites=sites,
        histograms=tuple(
            histogram(
                name,
                random.multinomial(patients, drifted.get(name, STABLE[name][0])).astype(float),
                deviation,
                random,
            )
            for name in columns
        ),
    )


def calendar_with(
    *releases: CountedRelease, planned: int = 3, simulation: bool = True
) -> DriftCalendar:
    """Returns a calendar of these releases, the reference first."""
    reference, series = compared(releases, planned=planned, seed=7)
    return DriftCalendar(
        study_name="small-monitoring",
        study_title="Drift of a small study",
        study_digest="d" * 64,
        model=None,
        planned=planned,
        epsilon=4.0,
        delta=1e-5,
        seed=7,
        rate=0.05,
        reference=reference,
        made_at=tuple(f"2027-0{place + 1}-01T08:00:00.000Z" for place in range(len(releases))),
        series=series,
        budget_left={"east": 0.6, "north": 0.6, "south": None},
        simulation=simulation,
    )


def drifted() -> DriftCalendar:
    """Returns a calendar of three releases of two columns; in the newest one lab has drifted."""
    random = np.random.default_rng(21)
    two = ("lab", "scanner")
    return calendar_with(
        release(0, random, columns=two), release(1, random, columns=two),
        release(2, random, columns=two, lab=LAB_IN_ANOTHER_UNIT),
    )  # fmt: skip
