"""Results of a run, section by section: of a model figures, of a statistics study columns."""

from collections.abc import Sequence

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from compliance.reports.document import Fact, Facts, Paragraph, Section
from compliance.reports.sections import columns, utility
from compliance.reports.sections.fairness.groups import groups_section
from compliance.reports.sections.fairness.hospitals import hospitals_section
from compliance.reports.sections.outcomes import outcomes_section
from compliance.reports.sections.own_models import own_models_section
from compliance.reports.sections.two_classes.calibration import calibration_section
from compliance.reports.sections.two_classes.thresholds import thresholds_section
from compliance.reports.several_runs.drift_page import drift_section


def report_results(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what came out: of a model its figures, of a statistics study its columns."""
    return (
        figures_section(dossier),
        *_outcomes(dossier),
        *_thresholds(dossier),
        *(() if dossier.has_model else _counted(dossier)),
        _hospitals(dossier),
        *_groups(dossier),
    )


def page_results(
    dossier: Dossier, sweep_points: Sequence[UtilityPoint], withheld: Sequence[Withheld]
) -> tuple[Section, ...]:
    """Returns what came out, beside all runs of the same study, and beside hospitals' own models.

    Args:
        dossier: the run.
        sweep_points: every finished run of the same study, this one included.
        withheld: those of them that released no AUROC.
    """
    return (
        *(
            (utility.utility_section(sweep_points, withheld),)
            if dossier.has_model
            else _counted(dossier)
        ),
        *_outcomes(dossier),
        *_thresholds(dossier),
        _hospitals(dossier),
        *_own_models(dossier),
        *_groups(dossier),
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


def _counted(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what a study counted that trains nothing; of a monitoring study its drift first."""
    drift = () if dossier.drift is None else (drift_section(dossier.drift),)
    return (*drift, columns.columns_section(dossier))


def _outcomes(dossier: Dossier) -> tuple[Section, ...]:
    return (outcomes_section(dossier),) if dossier.outcomes else ()


def _thresholds(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what a model of two classes does at each threshold, and how right its risks are."""
    return (
        *((thresholds_section(dossier),) if dossier.operating_points else ()),
        *((calibration_section(dossier),) if dossier.calibration else ()),
    )


def _hospitals(dossier: Dossier) -> Section:
    if dossier.has_model:
        return hospitals_section(dossier)
    return columns.patients_section(dossier)


def _own_models(dossier: Dossier) -> tuple[Section, ...]:
    return (own_models_section(dossier),) if dossier.by_global else ()


def _groups(dossier: Dossier) -> tuple[Section, ...]:
    return (groups_section(dossier),) if dossier.groups else ()
