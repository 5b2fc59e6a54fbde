"""Fairness between groups of patients: the figures of each group, and the gaps between groups."""

from collections.abc import Sequence

from compliance.charts.intervals import describe_intervals, interval_rows
from compliance.charts.theme import to_svg
from compliance.estimates.groups import FEWEST, PATIENTS
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier
from compliance.facts.figures import ILL, FigureKind, figure_kind
from compliance.facts.formatting import Format
from compliance.facts.groups import GroupFacts, by_grouping
from compliance.reports.document import (
    Block,
    Bullets,
    Columns,
    Figure,
    Paragraph,
    Section,
    Table,
    table_of,
)
from compliance.reports.sections.fairness.gaps import group_gap_sentences

#: What is said of every such section.
COVERED = (
    "Each figure is of the hospitals' test patients of that group, counted by the same secure sum; "
    "95 % intervals cover the noise and the sampling of the patients. Groups with fewer than "
    f"{FEWEST:g} patients by the noised counts are withheld, and where that is one group only, or "
    "they are fewer than that together, the next smallest too. Gaps hold for all pairs of groups "
    "and all groupings of one figure at once. "
    "Patients whose cell is missing, or means no group, are in none."
)


def drawn_kinds(dossier: Dossier) -> tuple[FigureKind, ...]:
    """Returns the figures that are drawn: the first of the task's that some group has."""
    known = {
        name for group in dossier.groups for name, found in group.released.items()
        if found.value is not None
    }  # fmt: skip
    kinds = dossier.figures.group[: dossier.figures.group_drawn]
    return tuple(kind for kind in kinds if kind.name in known)


def group_rows(dossier: Dossier, kind: FigureKind) -> Sequence[tuple[str, Interval]]:
    """Returns every group that has a figure, or a reason why not, by its name."""
    found = [group for group in dossier.groups if kind.name in group.released]
    return [(group.name, group.released[kind.name]) for group in found]


def one_figure_table(dossier: Dossier, kind: FigureKind) -> Table:
    """Returns one figure of every group."""
    columns: Columns[tuple[str, Interval]] = (
        ("Group", Format.TEXT, lambda row: row[0]),
        (f"{kind.label}, released", kind.form, lambda row: row[1]),
    )
    return table_of(f"{kind.label} of each group", group_rows(dossier, kind), columns)


def groups_table(dossier: Dossier) -> Table:
    """Returns the figures of every group; the exact ones only for a simulation."""
    released = {name for group in dossier.groups for name in group.released}
    kinds = [kind for kind in (*dossier.figures.group, ILL) if kind.name in released]
    columns: Columns[GroupFacts] = (
        ("Grouping", Format.TEXT, lambda g: g.grouping),
        ("Group", Format.TEXT, lambda g: g.group),
        ("Patients, released", Format.COUNT, lambda g: g.released.get(PATIENTS)),
        *(
            (f"{kind.label}, released", kind.form, lambda g, name=kind.name: g.released.get(name))
            for kind in kinds
        ),
    )
    if dossier.simulation:
        exact = dict.fromkeys(name for group in dossier.groups for name in group.exact)
        columns = (
            *columns,
            *(
                (
                    f"{figure_kind(name).label}, exact (simulation only)",
                    figure_kind(name).form,
                    lambda g, name=name: g.exact.get(name),
                )
                for name in exact
            ),
            ("Test patients (simulation only)", Format.COUNT, lambda g: g.test_patients),
        )
    return table_of("Figures of each group of patients", dossier.groups, columns, note=COVERED)


def who_declined(dossier: Dossier) -> str:
    """Returns which hospitals count no groups; an empty string where all do."""
    if not dossier.without_groups:
        return ""
    return (
        f"Declined to count groups: {', '.join(dossier.without_groups)}. Their patients are in all "
        "other figures and in none of these."
    )


def groups_section(dossier: Dossier) -> Section:
    """Returns the figures of groups of patients, and what may be concluded from their gaps."""
    figures = [
        Figure(
            title=f"{kind.label} of each group of patients",
            svg=to_svg(interval_rows(group_rows(dossier, kind), kind)),
            alt=describe_intervals(group_rows(dossier, kind), kind),
            caption="Where intervals overlap, a difference may be chance and noise alone; a wide "
            "one tells of few patients, not of unfair treatment.",
            table=one_figure_table(dossier, kind),
        )
        for kind in drawn_kinds(dossier)
    ]
    blocks: list[Block] = [*figures]
    for grouping in by_grouping(dossier.groups):
        blocks.append(Paragraph(text=f"By {grouping}:"))
        blocks.append(Bullets(items=group_gap_sentences(dossier, grouping)))
    blocks.append(groups_table(dossier))
    if declined := who_declined(dossier):
        blocks.append(Paragraph(text=declined))
    return Section(key="groups", title="Fairness between groups of patients", blocks=tuple(blocks))
