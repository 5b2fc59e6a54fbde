"""The table of a model's performance that a publication asks for: of all, by site, by group.

TRIPOD+AI (Collins et al. 2024, BMJ 385:e078378) asks for performance with confidence intervals,
for key subgroups too (item 23a), and for what was found of heterogeneity between clusters (item
23b). Everything here is a released figure; exact ones of a simulation are left out.
"""

from collections.abc import Mapping

from compliance.estimates.groups import PATIENTS
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap
from compliance.facts.dossier import Dossier
from compliance.facts.figures import ILL, FigureKind, figure_kind
from compliance.facts.formatting import Format
from compliance.facts.named_figures import Whose
from compliance.reports.document import (
    Block,
    Column,
    Columns,
    Document,
    Paragraph,
    Section,
    Table,
    table_of,
)
from compliance.reports.sections.fairness.groups import who_declined
from compliance.reports.sections.statements import banner, claim
from compliance.reports.sections.two_classes.thresholds import benefit_table, shares_table

_WHOSE = {
    Whose.ALL: "All test patients",
    Whose.OUTCOME: "Outcome",
    Whose.HOSPITAL: "Hospital",
    Whose.GROUP: "Group of patients",
}
_COVERED = (
    "Values with 95 % intervals over the sampling of patients and the noise of differential "
    "privacy. A figure of which nothing can be said has the reason in its place."
)


def performance_table(dossier: Dossier) -> Table:
    """Returns a row for all patients, outcomes, hospitals and groups; a column for each figure."""
    rows: dict[tuple[Whose, str], dict[str, Interval]] = {}
    for one in dossier.named_figures:
        if one.at is None:
            rows.setdefault((one.whose, one.part), {})[one.figure] = one.found
    names = dict.fromkeys(
        kind.name
        for kind in (
            *dossier.figures.pooled,
            *dossier.figures.outcome,
            *dossier.site_kinds,
            *dossier.figures.group,
            ILL,
        )
        if any(kind.name in found for found in rows.values())
    )
    kinds = [figure_kind(name) for name in names if name != PATIENTS]
    return Table(
        title="Performance (TRIPOD+AI item 23a)",
        columns=(
            Column(title="Of"),
            Column(title="Part"),
            Column(title="Patients", form=Format.COUNT),
            *(Column(title=kind.label, form=kind.form) for kind in kinds),
        ),
        rows=tuple(
            (
                _WHOSE[whose],
                part or "all",
                found.get(PATIENTS),
                *(found.get(kind.name) for kind in kinds),
            )
            for (whose, part), found in rows.items()
        ),
        note=_COVERED,
    )


def heterogeneity_table(dossier: Dossier) -> Table:
    """Returns the largest gaps between hospitals and between groups of each grouping."""
    compared: list[tuple[str, Mapping[str, LargestGap | None]]] = [
        ("hospitals", dossier.largest_gaps),
        *((f"groups by {grouping}", gaps) for grouping, gaps in dossier.group_gaps.items()),
    ]
    found = [
        (between, figure_kind(name), gap)
        for between, gaps in compared
        for name, gap in gaps.items()
        if gap is not None
    ]
    columns: Columns[tuple[str, FigureKind, LargestGap]] = (
        ("Between", Format.TEXT, lambda row: row[0]),
        ("Figure", Format.TEXT, lambda row: row[1].label),
        ("Highest", Format.TEXT, lambda row: row[2].highest),
        ("Lowest", Format.TEXT, lambda row: row[2].lowest),
        ("Largest gap", Format.RATIO, lambda row: _interval(row[2])),
        ("Smallest that would be shown", Format.RATIO, lambda row: row[2].detectable_here),
        ("Smallest between any two", Format.RATIO, lambda row: row[2].detectable),
        ("Shown", Format.TEXT, lambda row: "yes" if row[2].is_shown else "no"),
    )
    note = (
        "Intervals hold for all pairs at once, and for all groupings of one figure. A gap that is "
        "not shown may be there all the same: see the smallest that would be shown."
    )
    return table_of("Heterogeneity (TRIPOD+AI item 23b)", found, columns, note=note)


def _interval(gap: LargestGap) -> Interval:
    return Interval(value=gap.value, low=gap.low, high=gap.high)


def performance_report(dossier: Dossier) -> Document:
    """Returns the tables of performance, heterogeneity and thresholds as one document."""
    blocks: list[Block] = [performance_table(dossier)]
    if declined := who_declined(dossier):
        blocks.append(Paragraph(text=declined))
    blocks.append(heterogeneity_table(dossier))
    if dossier.operating_points:
        blocks += [shares_table(dossier), benefit_table(dossier)]
    said = claim(dossier)
    return Document(
        kind="performance",
        title="Performance of the model",
        subtitle=f"{dossier.study_title}, run {dossier.run_id}",
        banner=banner(dossier),
        sections=(Section(key="performance", title="Performance", blocks=tuple(blocks)),),
        footer=(f"Privacy: {said.text} {said.detail}", f"Study digest {dossier.study_digest}"),
    )
