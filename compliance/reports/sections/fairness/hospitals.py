"""The section about fairness between hospitals: a figure at each, and what the gaps allow."""

from compliance.charts import run as charts
from compliance.charts.descriptions import (
    describe_sites,
    own_notes,
    too_small_text,
)
from compliance.facts.dossier import Dossier
from compliance.reports.document import (
    Block,
    Figure,
    Paragraph,
    Section,
)
from compliance.reports.run_tables import sites_table
from compliance.reports.sections.fairness.gaps import gap_sentences


def hospitals_section(dossier: Dossier) -> Section:
    """Returns how the model does at each hospital, worst and best in sight."""
    table, figure = sites_table(dossier), dossier.site_kinds[0]
    known = any(site.has_figure(figure) for site in dossier.sites)
    blocks: tuple[Block, ...]
    if not known:
        blocks = (Paragraph(text="No figure of any hospital is available for this run."),)
    else:
        blocks = (
            Figure(
                title=f"{figure.label} at each hospital",
                svg=charts.to_svg(charts.site_metrics(dossier.sites, figure)),
                alt=describe_sites(dossier.sites, figure),
                caption="Bars are 95 % intervals. Where they overlap, a difference may be chance "
                "and noise alone: a wide bar tells of few patients, not of unfair treatment. "
                + too_small_text(own_notes(dossier.sites, figure)),
                table=table,
            ),
            *(Paragraph(text=said) for said in gap_sentences(dossier)),
        )
    return Section(key="fairness", title="Fairness across hospitals", blocks=blocks)
