"""The run's own figures on its test patients, and the privacy that they cost."""

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.reports.document import (
    Fact,
    Facts,
    Paragraph,
    Section,
)


def figures_section(dossier: Dossier) -> Section:
    """Returns the run's own figures on its test patients, released and exact."""
    kinds = dossier.figures.pooled
    exact = tuple(
        Fact(
            label=f"{kind.label}, exact (simulation only)",
            value=dossier.exact.get(kind.name),
            form=kind.form,
        )
        for kind in kinds
    )
    released = tuple(
        Fact(label=f"{kind.label}, released", value=dossier.released.get(kind.name), form=kind.form)
        for kind in kinds
    )
    if dossier.risks is not None:
        released += _risk_facts(dossier.risks, dossier.decision_threshold)
    rows = released + (exact if dossier.simulation else ())
    note = Paragraph(
        text="Released figures come out of the secure sum with noise; their 95 % intervals cover "
        "both the sampling of patients and the noise."
    )
    facts = Facts(title="All test patients together", rows=rows)
    return Section(key="figures", title="Utility", blocks=(facts, note))


def _risk_facts(risks: RiskFigures, threshold: float) -> tuple[Fact, ...]:
    facts = (
        Fact(label="Share of patients who are ill, released", value=risks.ill, form=Format.RATIO),
        Fact(label="Mean risk by the model, released", value=risks.mean_risk, form=Format.RATIO),
        Fact(label="Share of the ill less the mean risk", value=risks.lacking, form=Format.RATIO),
        Fact(
            label=f"Sensitivity at a risk of {threshold:g}, released",
            value=risks.sensitivity,
            form=Format.RATIO,
        ),
        Fact(
            label="Brier score above that of the share of the ill, released",
            value=risks.excess_brier,
            form=Format.RATIO,
        ),
    )
    if risks.shift is None:
        return facts
    return (*facts, Fact(label="To add to the output (logit)", value=f"{risks.shift:+.2f}"))
