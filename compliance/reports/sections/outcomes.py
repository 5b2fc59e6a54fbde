"""The part of a report about each class, finding or time: one figure drawn, and all as a table."""

from collections.abc import Sequence

from compliance.charts.intervals import describe_intervals, interval_rows
from compliance.charts.theme import to_svg
from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Format
from compliance.reports.document import Block, Columns, Figure, Paragraph, Section, Table, table_of

COVERED = (
    "All of it is arithmetic on the released counts and costs no privacy. 95 % intervals cover the "
    "noise and the sampling of the patients, of each figure by itself: of several figures together "
    "some miss more often."
)

#: More are in the table alone.
_MOST_DRAWN = 40


def outcomes_title(dossier: Dossier) -> str:
    """Returns the heading: what the task's outcomes are."""
    return f"Figures of each {dossier.figures.outcomes}"


def drawn_kind(dossier: Dossier) -> FigureKind | None:
    """Returns the figure that is drawn: the task's first, if any outcome has a value of it."""
    kind = next(iter(dossier.figures.outcome), None)
    rows = [] if kind is None else outcome_rows(dossier, kind)
    return kind if any(found.value is not None for _, found in rows) else None


def outcome_rows(dossier: Dossier, kind: FigureKind) -> Sequence[tuple[str, Interval]]:
    """Returns the first outcomes that have a figure, or a reason why not, by name."""
    found = [one for one in dossier.outcomes if kind.name in one.figures]
    return [(one.outcome, one.figures[kind.name]) for one in found[:_MOST_DRAWN]]


def outcomes_table(dossier: Dossier) -> Table:
    """Returns the figures of every outcome, with what the study declares of it."""
    names = {name for one in dossier.outcomes for name in one.figures}
    columns: Columns[OutcomeFigures] = (
        (dossier.figures.outcomes.capitalize(), Format.TEXT, lambda one: one.outcome),
        *(
            (
                f"{kind.label}, released",
                kind.form,
                lambda one, name=kind.name: one.figures.get(name),
            )
            for kind in dossier.figures.outcome
            if kind.name in names
        ),
    )
    if any(one.declared is not None for one in dossier.outcomes):
        columns = (*columns, ("Declared", Format.RATIO, lambda one: one.declared))
    return table_of(outcomes_title(dossier), dossier.outcomes, columns, note=COVERED)


def outcomes_section(dossier: Dossier) -> Section:
    """Returns the figures of every outcome, drawn where any is known."""
    kind, table = drawn_kind(dossier), outcomes_table(dossier)
    blocks: tuple[Block, ...] = (table, Paragraph(text=COVERED))
    if kind is not None:
        rows = outcome_rows(dossier, kind)
        drawn = f"The first {len(rows)} are drawn." if len(rows) < len(dossier.outcomes) else ""
        caption = " ".join(filter(None, ("Bars are 95 % intervals.", drawn, kind.released_as)))
        figure = Figure(
            title=f"{kind.label} of each {dossier.figures.outcomes}",
            svg=to_svg(interval_rows(rows, kind)),
            alt=describe_intervals(rows, kind),
            caption=caption,
            table=table,
        )
        blocks = (figure, Paragraph(text=COVERED))
    return Section(key="outcomes", title=outcomes_title(dossier), blocks=blocks)
