"""Histograms over a contract's ranges: how many records lie in each of ten equal bins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.faults.small_counts import ShownCount, shown

#: The number of bins.
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of ``BINS`` equal bins from ``low`` to ``high``; what lies outside is at the ends.

    ``absent`` are the records without a number, in no bin.
    """

    name: str
    low: float
    high: float
    counts: tuple[int, ...]
    absent: int = 0

    @property
    def shown(self) -> list[ShownCount]:
        """The counts as they are shown, beside the number of all records."""
        bins = {f"{place:02}": count for place, count in enumerate(self.counts)}
        others = {"absent": self.absent, "all": sum(self.counts) + self.absent}
        found = shown(bins | others, [("all", (*bins, "absent"))])
        return [found[name] for name in bins]

    def to_json(self) -> dict[str, Any]:
        """Returns the histogram as it is shown."""
        return {"name": self.name, "low": self.low, "high": self.high, "counts": self.shown}


def counts_in_bins(numbers: NDArray[np.float64], extent: tuple[float, float]) -> NDArray[np.int64]:
    """Returns how many numbers lie in each of ``BINS`` equal bins of a range."""
    low, high = extent
    counts, _ = np.histogram(np.clip(numbers, low, high), bins=BINS, range=(low, high))
    return counts.astype(np.int64)


def histogram(name: str, numbers: NDArray[np.float64], extent: tuple[float, float]) -> Histogram:
    """Returns the histogram of some numbers over a range."""
    counts = counts_in_bins(numbers, extent)
    return Histogram(name=name, low=extent[0], high=extent[1], counts=tuple(counts.tolist()))
