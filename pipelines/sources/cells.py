"""Cells: a column of a source as text, with every spelling kept once.

A column of a million cells rarely has a thousand spellings. What a cell means is therefore decided
once for each spelling, and memory holds four bytes for each cell.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Cells:
    """One column's cells.

    Attributes:
        spellings: the different texts, none twice and none that no cell has.
        codes: (cells,) int32, where each cell's text stands among them.
    """

    spellings: tuple[str, ...]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, cells: Iterable[str]) -> "Cells":
        """Returns some texts as cells.

        >>> found = Cells.of(["f", "m", "f"])
        >>> found.spellings, found.codes.tolist(), list(found)
        (('f', 'm'), [0, 1, 0], ['f', 'm', 'f'])
        """
        growing = GrowingCells()
        for cell in cells:
            growing.add(cell)
        return growing.cells()

    @classmethod
    def joined(cls, parts: Sequence["Cells"]) -> "Cells":
        """Returns the cells of several columns, one after the other."""
        places: dict[str, int] = {}
        codes = [
            np.array([places.setdefault(text, len(places)) for text in part.spellings], np.int32)[
                part.codes
            ]
            for part in parts
        ]
        return cls(tuple(places), np.concatenate([np.zeros(0, np.int32), *codes]))

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str]:
        return map(self.spellings.__getitem__, self.codes.tolist())

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Cells":
        """Returns the cells at some places, or those that a mask holds."""
        codes = self.codes[places]
        used = np.bincount(codes, minlength=len(self.spellings)) > 0
        if used.all():
            return Cells(self.spellings, codes)
        place = np.cumsum(used, dtype=np.int32) - np.int32(1)
        return Cells(tuple(compress(self.spellings, used.tolist())), place[codes])

    def respelled(self, respell: Callable[[str], str]) -> "Cells":
        """Returns the cells with every spelling replaced.

        >>> list(Cells.of(["1,5", "1.5"]).respelled(lambda cell: cell.replace(",", ".")))
        ['1.5', '1.5']
        """
        places: dict[str, int] = {}
        moved = [places.setdefault(respell(text), len(places)) for text in self.spellings]
        return Cells(tuple(places), np.array(moved, dtype=np.int32)[self.codes])

    def among(self, spellings: Collection[str]) -> NDArray[np.bool_]:
        """Returns (cells,) whether each cell is one of the spellings."""
        return np.array([text in spellings for text in self.spellings], dtype=bool)[self.codes]


class GrowingCells:
    """A column's cells as a source is read."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._codes = array("i")

    def add(self, cell: str) -> None:
        """Adds the next cell."""
        self._codes.append(self._places.setdefault(cell, len(self._places)))

    def cells(self) -> Cells:
        """Returns all that were added."""
        return Cells(tuple(self._places), np.array(self._codes, dtype=np.int32))
