"""The part of a simulation's report that compares hospitals' own models with the global one."""

from compliance.facts.dossier import Dossier, SiteFacts
from compliance.facts.formatting import Format
from compliance.reports.document import Columns, Paragraph, Section, Table, table_of

EXACT = (
    "Exact figures of the same test patients, by the hospital's own model and by the global one: "
    "simulation only. They have no interval: a difference of few patients may be chance."
)


def own_models_section(dossier: Dossier) -> Section:
    """Returns the exact figures of own models beside those of the global one."""
    return Section(
        key="own-models",
        title="Own models and the global one",
        blocks=(comparison_table(dossier), Paragraph(text=EXACT)),
    )


def comparison_table(dossier: Dossier) -> Table:
    """Returns each hospital's headline figure by its own model and by the global one."""
    figure = dossier.figures.headline
    name = figure.name
    columns: Columns[SiteFacts] = (
        ("Hospital", Format.TEXT, lambda site: site.site),
        ("Test patients", Format.COUNT, lambda site: site.test_patients),
        (f"{figure.label}, own model", figure.form, lambda site: site.exact.get(name)),
        (
            f"{figure.label}, global model",
            figure.form,
            lambda site: site.by_global.get(name),
        ),
    )
    return table_of("Own models and the global one, exact", dossier.sites, columns)
