"""The model card: front matter as Hugging Face reads it, sections as in CHAI's applied card."""

import json

from compliance.facts.dossier import Dossier
from compliance.reports.basis import Claims
from compliance.reports.document import Document, Listing, Section
from compliance.reports.evidence import ReportSubject
from compliance.reports.evidence.controls import AI_ACT
from compliance.reports.kinds.parts import KindText, outcome_claims, report, with_basis
from compliance.reports.kinds.run_claims import (
    plan_claims,
    privacy_claims,
    red_team_claims,
    result_claims,
)
from compliance.reports.one_run.performance_table import performance_table

MODEL_CARD = KindText(
    name="model-card",
    title="Model card",
    question="What is the model for, how well does it do, what must its users know?",
    texts=(AI_ACT,),
)
#: The card describes so many models.
_MOST_RUNS = 20


def model_card(subject: ReportSubject) -> Document:
    """Returns the card of a run's model, or of the models of several runs."""
    declared = subject.declared
    sections: list[Section] = [
        _front_matter(subject),
        Section(key="identity", title="Identity", blocks=(
            Claims(title="Developer", items=(
                declared("provider", "Developer"),
                declared("contact", "Contact"),
                declared("licence", "Licence"),
            )),
            *(plan_claims(subject, one) for one in subject.dossiers[:_MOST_RUNS]),
        )),
        Section(key="uses", title="Uses and directions", blocks=(
            Claims(title="Uses", items=(
                declared("intended_use", "Intended use and users"),
                declared("out_of_scope", "Out of scope"),
                declared("human_oversight", "Oversight by people"),
            )),
        )),
        Section(key="warnings", title="Warnings", blocks=(
            Claims(title="Warnings", items=(
                declared("limitations", "Known risks, limits, biases"),
                declared("risks", "Risks to persons"),
            )),
        )),
        Section(key="trust", title="Trust ingredients: data, privacy, security", blocks=(
            Claims(title="Data", items=(
                declared("data_provenance", "Provenance"),
                declared("data_subjects", "Persons"),
                declared("ethics", "Ethics board"),
            )),
            *(privacy_claims(subject, one) for one in subject.dossiers[:_MOST_RUNS]),
            red_team_claims(subject),
        )),
        Section(key="metrics", title="Key metrics", blocks=tuple(
            block
            for one in subject.dossiers[:_MOST_RUNS]
            for block in (result_claims(subject, one), *outcome_claims(subject, one))
        )),
        *_performance(subject),
        Section(key="upkeep", title="Transparency and upkeep", blocks=(
            Claims(title="Upkeep", items=(
                declared("monitoring_plan", "Monitoring"),
                declared("lifecycle_changes", "Changes"),
                declared("standards", "Standards and accreditation"),
            )),
        )),
    ]  # fmt: skip
    return report(MODEL_CARD, subject, sections)


def _performance(subject: ReportSubject) -> list[Section]:
    """Returns the table by hospital and group of the one run that the card is about."""
    one = subject.single
    if one is None or not (one.has_model and one.released):
        return []
    section = Section(
        key="performance",
        title="Performance by hospital and group",
        blocks=(performance_table(one),),
    )
    return [with_basis(section, subject, subject.entries(one.run_id, "release"))]


def _front_matter(subject: ReportSubject) -> Section:
    """Returns the metadata that stands at the head of a model's README, as YAML."""
    newest = next((one for one in reversed(subject.dossiers) if one.model_digest), None)
    licence = subject.declarations.licence if subject.declarations else None
    name = licence.text if licence else "other"
    text = "\n".join(_yaml(newest, name)) if newest else "---\n---"
    listing = Listing(
        title="Front matter",
        heading="To stand at the head of README.md beside the model, as Hugging Face reads it.",
        lines=tuple(text.split("\n")),
    )
    return Section(key="front-matter", title="Front matter", blocks=(listing,))


def _yaml(dossier: Dossier, licence: str) -> list[str]:
    """Returns the lines; texts stand in quotes, as JSON has them, so that nothing else is read."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    lines = [
        "---",
        f"license: {quoted(licence)}",
        "tags:",
        "- federated-learning",
        *(["- differential-privacy"] if dossier.protected else []),
        "- medical",
        f"model_name: {quoted(dossier.study_name)}",
        "model-index:",
        f"- name: {quoted(dossier.study_name)}",
        "  results:",
        "  - task:",
        f"      type: {quoted(dossier.task.replace('_', '-'))}",
        "    dataset:",
        f"      name: {quoted(dossier.study_title)}",
        "      type: private",
    ]
    metrics = [
        line
        for kind in dossier.figures.pooled
        if (found := dossier.released.get(kind.name)) is not None and found.value is not None
        for line in (
            f"    - type: {quoted(kind.name)}",
            f"      value: {found.value:.6g}",
            f"      name: {quoted(f'{kind.label}, released with noise')}",
        )
    ]
    return [*lines, *(["    metrics:", *metrics] if metrics else []), "---"]
