"""Noised histograms of one release, and the distribution that fits one best.

Rules:

1. Counts are as released, negative ones included: a distance between two of them and the draws
   that it is compared with go through the same steps.
2. Counts are made a distribution (``fitted_shares``) for drawing alone, never to be compared.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NoisedHistogram:
    """The noised counts of one watched column in one release, in patients.

    Attributes:
        name: the column's.
        parts: its bins or categories.
        counts: of the patients in each part.
        missing: of the patients without a value.
        patients: of all patients.
        deviation: the noise deviation of each of these numbers.
        is_ordered: whether the parts rise, so that the Kolmogorov-Smirnov distance means something.
        compares_missing: whether patients without a value are one more part: of a feature they are;
            of a label, which may not be known yet, they are left out.
    """

    name: str
    parts: tuple[str, ...]
    counts: tuple[float, ...]
    missing: float
    patients: float
    deviation: float
    is_ordered: bool
    compares_missing: bool

    @property
    def known(self) -> float:
        """The number of patients with a value."""
        return self.patients - self.missing

    @property
    def compared(self) -> Floats:
        """The (parts,) counts that are compared, with the missing as one more where they are."""
        return np.array([*self.counts, *([self.missing] if self.compares_missing else [])])

    @property
    def compared_patients(self) -> float:
        """The number of patients that ``compared`` counts."""
        return self.patients if self.compares_missing else self.known

    def to_json(self) -> dict[str, Any]:
        """Returns the histogram as JSON has it."""
        return asdict(self) | {"parts": list(self.parts), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "NoisedHistogram":
        """Returns the histogram that ``to_json`` gave."""
        return cls(**{**kept, "parts": tuple(kept["parts"]), "counts": tuple(kept["counts"])})


@dataclass(frozen=True, kw_only=True)
class CountedRelease:
    """One release of a monitoring calendar; number 0 is the reference.

    Attributes:
        number: its place in the calendar.
        run_id: the run that made it.
        sites: the hospitals in its sum, sorted.
        histograms: of the watched columns, in the same order in every release.
    """

    number: int
    run_id: str
    sites: tuple[str, ...]
    histograms: tuple[NoisedHistogram, ...]


def fitted_shares(counts: Floats, patients: float) -> Floats:
    """Returns the distribution nearest to noised counts of so many patients.

    The counts are projected onto the vectors without a negative number that add up to
    ``patients``, by Euclid's distance, and divided by it. Less than one patient: all parts alike.

    >>> fitted_shares(np.array([50.0, 52.0, -8.0]), 100.0).round(2).tolist()
    [0.49, 0.51, 0.0]

    Source: Held, Wolfe & Crowder 1974, Mathematical Programming 6; Duchi et al. 2008, figure 1.
    """
    if not patients >= 1:
        return np.full(len(counts), 1 / len(counts))
    falling = np.sort(counts)[::-1]
    excess = (np.cumsum(falling) - patients) / np.arange(1, len(counts) + 1)
    last = np.flatnonzero(falling > excess)[-1]
    fitted = np.maximum(counts - excess[last], 0.0)
    return np.asarray(fitted / fitted.sum())
