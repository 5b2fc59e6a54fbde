"""The part of a report about thresholds: what a model does at each, drawn and as a table."""

from compliance.charts.binned_scores.thresholds import (
    describe_net_benefit,
    describe_shares_by_threshold,
    net_benefit_by_threshold,
    shares_by_threshold,
)
from compliance.charts.theme import to_svg
from compliance.estimates.binned_scores.operating_points import OperatingPoint
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.reports.document import Block, Columns, Figure, Paragraph, Section, Table, table_of

COVERED = (
    "All of it is arithmetic on the released counts and costs no privacy. Thresholds lie between "
    "the bins in which scores were counted; 95 % intervals cover the noise and the sampling of the "
    "patients, of each figure by itself: of several figures together some miss more often."
)


def shares_table(dossier: Dossier) -> Table:
    """Returns the shares at each threshold."""
    columns: Columns[OperatingPoint] = (
        ("Risk", Format.RATIO, lambda p: p.risk),
        ("Called ill", Format.RATIO, lambda p: p.flagged),
        ("Sensitivity", Format.RATIO, lambda p: p.sensitivity),
        ("Specificity", Format.RATIO, lambda p: p.specificity),
        ("PPV", Format.RATIO, lambda p: p.ppv),
        ("NPV", Format.RATIO, lambda p: p.npv),
    )
    return table_of(
        "Shares at each threshold, released", dossier.operating_points, columns, note=COVERED
    )


def benefit_table(dossier: Dossier) -> Table:
    """Returns the net benefit at each threshold."""
    columns: Columns[OperatingPoint] = (
        ("Risk", Format.RATIO, lambda p: p.risk),
        ("Net benefit of the model", Format.RATIO, lambda p: p.net_benefit),
        ("Of calling everybody ill", Format.RATIO, lambda p: p.treat_all),
    )
    return table_of("Net benefit at each threshold, released", dossier.operating_points, columns)


def nothing_known(dossier: Dossier) -> str:
    """Returns why nothing is known of any threshold; an empty string where something is."""
    points = dossier.operating_points
    figures = [(p.sensitivity.value, p.net_benefit.value) for p in points]
    if any(share is not None and benefit is not None for share, benefit in figures):
        return ""
    note = next((p.sensitivity.note for p in points if p.sensitivity.note), "none was released")
    return f"Nothing is known of any threshold: {note}."


def thresholds_section(dossier: Dossier) -> Section:
    """Returns what the model does at each threshold, or why nothing is known of it."""
    points, unknown = dossier.operating_points, nothing_known(dossier)
    blocks: tuple[Block, ...]
    if unknown:
        blocks = (Paragraph(text=unknown),)
    else:
        blocks = (
            Figure(
                title="Who is found at each threshold",
                svg=to_svg(shares_by_threshold(points)),
                alt=describe_shares_by_threshold(points),
                caption="A patient whose risk is above the threshold is called ill. Sensitivity: "
                "the ill who are; specificity: the healthy who are not; PPV: those called ill who "
                "are ill. Bars are 95 % intervals.",
                table=shares_table(dossier),
            ),
            Figure(
                title="Net benefit at each threshold",
                svg=to_svg(net_benefit_by_threshold(points)),
                alt=describe_net_benefit(points),
                caption="True positives less false ones, in parts of all patients; at a threshold "
                "of a risk r a false one weighs r / (1 - r). A model is worth using where its line "
                "lies above both others (Vickers and Elkin 2006).",
                table=benefit_table(dossier),
            ),
        )
    return Section(key="thresholds", title="Thresholds", blocks=blocks)
