"""The layout of a statistics study's vector: what one patient adds to the counts of each column.

Rules:

1. A patient adds one to the number of patients, and of each column either one to ``missing``,
   or nothing to that and to the rest of the column's cells a vector of bounded norm.
2. Of a column of numbers the rest is v and 2 v**2 - 1, where v in [-1, 1] is the value's place
   in the column's public range, and where a histogram is asked for, one in one of its bins. Of
   a category it is one in one of its values.
3. So a patient's L2 norm is at most the square root of one, and for each column of numbers two
   more, or three with a histogram, and for each category one more.

2 v**2 - 1 and not v**2: it has the same bound, and twice its range for the same noise.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Where the number of patients stands.
PATIENTS = 0


@dataclass(frozen=True, kw_only=True)
class CountedColumn:
    """A column that is counted.

    Attributes:
        name: its name.
        range: of a column of numbers, the least and the greatest value that count; values beyond
            count as these. None of a category.
        parts: of a category its values; of numbers the bins of the histogram, from ``range``
            cut into equal parts, none where no histogram is asked for.
        has_moments: whether numbers have cells for the value and its square; a monitoring study
            counts histograms alone.
    """

    name: str
    range: tuple[float, float] | None
    parts: tuple[str, ...]
    has_moments: bool = True

    @property
    def moments(self) -> int:
        """The number of cells for the value and its square: two of numbers, else none."""
        return 2 if self.range is not None and self.has_moments else 0

    @property
    def size(self) -> int:
        """The number of cells: missing, moments, parts."""
        return 1 + self.moments + len(self.parts)

    @property
    def norm_squared(self) -> int:
        """The most that one patient adds to the squared norm of the vector."""
        return max(1, self.moments + bool(self.parts))

    def edges(self) -> tuple[float, ...]:
        """Returns the ends of the histogram's bins, rising; none where there is no histogram."""
        if self.range is None or not self.parts:
            return ()
        low, high = self.range
        count = len(self.parts)
        return tuple(low + (high - low) * place / count for place in range(count + 1))


def counted_numbers(name: str, limits: tuple[float, float], bins: int) -> CountedColumn:
    """Returns a column of numbers with a histogram of so many bins; 0 is none.

    >>> counted_numbers("age", (0.0, 100.0), 4).parts
    ('0 to 25', '25 to 50', '50 to 75', '75 to 100')
    """
    low, high = limits
    ends = [low + (high - low) * place / bins for place in range(bins + 1)] if bins else []
    parts = tuple(f"{a:g} to {b:g}" for a, b in zip(ends, ends[1:], strict=False))
    return CountedColumn(name=name, range=limits, parts=parts)


def places(columns: Sequence[CountedColumn]) -> Iterator[tuple[CountedColumn, int]]:
    """Yields each column and where its cells begin."""
    begin = PATIENTS + 1
    for column in columns:
        yield column, begin
        begin += column.size


def size_of(columns: Sequence[CountedColumn]) -> int:
    """Returns the number of cells."""
    return PATIENTS + 1 + sum(column.size for column in columns)


def influence_of(columns: Sequence[CountedColumn]) -> float:
    """Returns the largest L2 norm of what one patient adds, in patients."""
    return math.sqrt(1 + sum(column.norm_squared for column in columns))
