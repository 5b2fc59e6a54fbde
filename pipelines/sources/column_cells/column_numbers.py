"""Columns as numbers, and notes of what became of their cells on the way."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.cells import Cells
from pipelines.sources.column_cells.cell_problems import CellProblem
from pipelines.sources.column_cells.readings import Reading
from protocol.study.cohort.columns import CategoryColumn, NumberColumn, width_of
from protocol.study.cohort.units import UNCHANGED, Conversion

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]


def read_cells(cells: Cells, read: Reading) -> tuple[Floats, dict[CellProblem, list[int]]]:
    """Returns a column as numbers, and the places of each kind of problem in it, in their order."""
    meant = [read(text) for text in cells.spellings]
    numbers = [0.0 if isinstance(found, CellProblem) else found for found in meant]
    of_problem: dict[CellProblem, list[int]] = {}
    for code, found in enumerate(meant):
        if isinstance(found, CellProblem):
            of_problem.setdefault(found, []).append(code)
    places = {
        problem: np.flatnonzero(np.isin(cells.codes, codes)).tolist()
        for problem, codes in of_problem.items()
    }
    in_order = sorted(places.items(), key=lambda item: item[1][0])
    return np.array(numbers, dtype=np.float64)[cells.codes], dict(in_order)


def column_numbers(
    values: Mapping[str, Floats], features: Sequence[NumberColumn | CategoryColumn], count: int
) -> NDArray[np.float32]:
    """Returns the (records, width) numbers that some columns become, in their order.

    Args:
        values: each column as ``read_cells`` gives it; NaN where a cell is missing and counted.
        features: the columns.
        count: the number of records.
    """
    found = np.empty((count, width_of(features)), dtype=np.float32)
    place = 0
    for column in features:
        _fill(found[:, place : place + column.width], values[column.name], column)
        place += column.width
    return found


def _fill(
    block: NDArray[np.float32], values: Floats, column: NumberColumn | CategoryColumn
) -> None:
    """Writes the columns of numbers that one feature becomes: (records, width)."""
    if isinstance(column, NumberColumn):
        # Adding nothing makes a zero of either sign the same one, in bytes too.
        block[:, 0] = (values - column.centre) / column.scale + 0.0
        return
    for entry in range(1, len(column.tokens)):
        block[:, entry - 1] = values == entry
    block[np.isnan(values)] = np.nan


@dataclass(frozen=True, kw_only=True)
class CellNotes:
    """The rows, by number column, of what became of a cell, as ``EncodingNotes`` has them."""

    replaced: Mapping[str, Rows]
    converted: Mapping[str, Rows]
    clipped: Mapping[str, Rows]
    single_clipped_value: frozenset[str]


def notes_of(
    cells: Mapping[str, Cells],
    rows: Rows,
    features: Sequence[NumberColumn | CategoryColumn],
    lacking: Mapping[str, frozenset[str]],
    conversions: Mapping[str, Conversion] | None = None,
) -> CellNotes:
    """Returns what became of the cells of number columns that fit the contract.

    Args:
        cells: of each column.
        rows: where each of its cells stands in the source.
        features: the columns.
        lacking: of each column the spellings that mean missing.
        conversions: of the columns whose numbers were converted.
    """
    clipped: dict[str, Rows] = {}
    replaced: dict[str, Rows] = {}
    converted: dict[str, Rows] = {}
    how = conversions or {}
    single: set[str] = set()
    for column in (c for c in features if isinstance(c, NumberColumn)):
        low, high = column.range
        texts = set(column.replace)
        measured = set(cells[column.name].spellings) - lacking[column.name] - texts
        conversion = how.get(column.name, UNCHANGED)
        numbers = {cell: conversion.of(float(cell)) for cell in measured}
        outside = {cell for cell, number in numbers.items() if not low <= number <= high}
        clipped |= rows_with(cells, rows, column.name, outside)
        if len({numbers[cell] for cell in outside}) == 1:
            single.add(column.name)
        replaced |= rows_with(cells, rows, column.name, texts)
        if conversion != UNCHANGED:
            converted |= rows_with(cells, rows, column.name, measured)
    return CellNotes(
        replaced=replaced,
        converted=converted,
        clipped=clipped,
        single_clipped_value=frozenset(single),
    )


def rows_with(
    cells: Mapping[str, Cells], rows: Rows, name: str, spellings: Collection[str]
) -> dict[str, Rows]:
    """Returns the rows whose cell is one of the spellings, under the column's name; or nothing."""
    found = rows[cells[name].among(spellings)] if spellings else rows[:0]
    return {name: found} if len(found) else {}
