"""The parts of a statistics study's report: the table of its columns, and their shares drawn."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from compliance.charts.counted.columns import column_shares, describe_shares
from compliance.charts.theme import to_svg
from compliance.estimates.column_figures import ColumnFigures
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Cell, Format
from compliance.reports.document import Block, Columns, Figure, Paragraph, Section, Table, table_of
from compliance.reports.run_tables import sites_table

_Counted: TypeAlias = tuple[ColumnFigures, Mapping[str, Any] | None]

COVERED = (
    "Released figures come out of the secure sum with noise; their 95 % intervals cover both the "
    "noise and the sampling of the patients. Numbers count as the nearest end of the column's "
    "public range where they lie beyond it, in exact figures too."
)

_EXACT_MARKS = ", marks the exact shares (simulation only)"


def counted(dossier: Dossier) -> tuple[_Counted, ...]:
    """Returns each column with its exact figures, where a simulation has them."""
    exact = dossier.exact_columns or (None,) * len(dossier.columns)
    return tuple(zip(dossier.columns, exact, strict=True))


def columns_table(dossier: Dossier) -> Table:
    """Returns the figures of every column; the exact ones only for a simulation."""

    def exact(name: str) -> Any:
        return lambda each: None if each[1] is None else each[1].get(name)

    moments: Columns[_Counted] = (
        ("Mean", Format.NUMBER, lambda each: each[0].mean),
        ("Standard deviation", Format.NUMBER, lambda each: each[0].deviation),
    )
    exact_moments: Columns[_Counted] = (
        ("Mean, exact (simulation only)", Format.NUMBER, exact("mean")),
        ("Standard deviation, exact (simulation only)", Format.NUMBER, exact("deviation")),
    )
    has_moments = any(column.mean is not None for column in dossier.columns)
    released: Columns[_Counted] = (
        ("Column", Format.TEXT, lambda each: each[0].name),
        ("Patients with a value", Format.COUNT, lambda each: each[0].patients),
        ("Missing", Format.RATIO, lambda each: each[0].missing),
        *(moments if has_moments else ()),
    )
    own: Columns[_Counted] = (
        ("Missing, exact (simulation only)", Format.RATIO, exact("missing")),
        *(exact_moments if has_moments else ()),
    )
    columns = (*released, *own) if dossier.simulation else released
    return table_of("Columns", counted(dossier), columns, note=COVERED)


def shares_table(column: ColumnFigures, exact: Mapping[str, Any] | None) -> Table:
    """Returns the shares of one column's bins or categories."""
    own = exact["parts"] if exact else [None] * len(column.parts)
    rows = tuple(zip(column.parts, column.shares, own, strict=True))

    def cell(at: int) -> Any:
        def read(row: tuple[Cell, ...]) -> Cell:
            return row[at]

        return read

    columns = [
        ("Part", Format.TEXT, cell(0)),
        ("Share of patients with a value", Format.RATIO, cell(1)),
    ]
    if exact is not None:
        columns.append(("Exact (simulation only)", Format.RATIO, cell(2)))
    return table_of(f"Shares of {column.name}", rows, columns)


def columns_section(dossier: Dossier) -> Section:
    """Returns the table of the columns, and a drawing of each one's bins or categories."""
    blocks: tuple[Block, ...] = (Paragraph(text="No figure was released."),)
    if dossier.columns:
        blocks = (
            columns_table(dossier),
            *(
                Figure(
                    title=f"Shares of {column.name}",
                    svg=to_svg(column_shares(column, exact)),
                    alt=describe_shares(column, exact),
                    caption=f"{column.name}. Bars are shares of the patients with a value, lines "
                    f"their 95 % intervals{_EXACT_MARKS if exact else ''}.",
                    table=shares_table(column, exact),
                )
                for column, exact in counted(dossier)
                if any(share.value is not None for share in column.shares)
            ),
        )
    return Section(key="columns", title="Columns", blocks=blocks)


def patients_section(dossier: Dossier) -> Section:
    """Returns the number of patients that each hospital counted, with its noise."""
    return Section(
        key="patients", title="Patients at each hospital", blocks=(sites_table(dossier),)
    )
