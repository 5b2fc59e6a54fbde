"""The part of a report about hospitals' own models: what they are, and the global one beside them.

Own models stay in the hospitals. What is released of them is the evaluation, which counts each
hospital's test patients by its own model; the exact figures here are a simulation's.
"""

from compliance.facts.dossier import Dossier, SiteFacts
from compliance.facts.formatting import Format
from compliance.reports.document import Block, Columns, Paragraph, Section, Table, table_of

OWN = (
    "Each hospital has a model of its own, which stays there; every released figure on this page "
    "is of the hospitals' own models on their own test patients. What the coordinator keeps is the "
    "global model."
)
EXACT = (
    "Exact figures of the same test patients, by the hospital's own model and by the global one: "
    "simulation only. They have no interval: a difference of few patients may be chance."
)


def own_models_section(dossier: Dossier) -> Section:
    """Returns what own models are, with the global model's exact figures where they are known."""
    blocks: tuple[Block, ...] = (Paragraph(text=OWN),)
    if dossier.by_global:
        blocks = (*blocks, comparison_table(dossier), Paragraph(text=EXACT))
    return Section(key="own-models", title="A model for each hospital", blocks=blocks)


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
