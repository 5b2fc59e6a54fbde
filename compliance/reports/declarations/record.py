"""The record of what a consortium declares: each part a text, with who declared it and when.

Nothing here is checked against the log: it is what people say, and every report shows it so.
"""

from datetime import date
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

from protocol.errors import WorkspaceRefused
from protocol.study.documents.yaml_document import DocumentForm, read_document
from protocol.study.frozen_model import FrozenModel
from protocol.study.study import Name


def _is_day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a day, such as '2026-11-02'") from error
    return text


Person: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
]
Day: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_is_day)
]
Words: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)
]


class Declaration(FrozenModel):
    """One part: a text, the name of the person who declares it, and the day."""

    by: Person
    on: Day
    text: Words


class Approver(FrozenModel):
    """A person who approved the study for a hospital, as the consortium says."""

    hospital: Name
    name: Person
    role: Person
    on: Day


class Signatory(FrozenModel):
    """A person who is to sign reports."""

    name: Person
    role: Person


def _part(about: str) -> Declaration | None:
    found: Declaration | None = Field(default=None, description=about)
    return found


class Declarations(FrozenModel):
    """A consortium's declarations (``consortium.yaml``); a part that is left out is missing."""

    collegium_consortium: Literal[1]
    controller: Declaration | None = _part("Controller: name, address (GDPR Art. 30(1)(a)).")
    joint_controllers: Declaration | None = _part("Joint controllers, and who does what.")
    representative: Declaration | None = _part("Representative in the Union, or that none is due.")
    officer: Declaration | None = _part("Data protection officer: name and contact.")
    contact: Declaration | None = _part("Contact for questions about the study and its model.")
    purposes: Declaration | None = _part("Purposes of the processing.")
    lawful_basis: Declaration | None = _part("Legal basis: GDPR Art. 6, Art. 9(2), Art. 89.")
    data_subjects: Declaration | None = _part("Categories of persons whose records are used.")
    data_categories: Declaration | None = _part("Categories of personal data, health data too.")
    recipients: Declaration | None = _part("Recipients of personal data and of the model.")
    transfers: Declaration | None = _part("Transfers to third countries and their safeguard.")
    retention: Declaration | None = _part("Time limits for erasure of records, logs and models.")
    security_measures: Declaration | None = _part("Organisational measures (GDPR Art. 32).")
    access_control: Declaration | None = _part("Who may use the machines, and how it is kept.")
    authentication: Declaration | None = _part("How a person proves who they are.")
    log_review: Declaration | None = _part("Who reviews the audit log, when, and what was found.")
    incident_plan: Declaration | None = _part("What is done in an incident, and who is told.")
    necessity: Declaration | None = _part("Necessity and proportionality (GDPR Art. 35(7)(b)).")
    risks: Declaration | None = _part("Risks to persons: likelihood and severity.")
    residual_risk: Declaration | None = _part("Residual risk, and who accepts it.")
    views_of_persons: Declaration | None = _part("Views of data subjects (GDPR Art. 35(9)).")
    officer_advice: Declaration | None = _part("Advice of the officer (GDPR Art. 35(2)).")
    review_date: Declaration | None = _part("When the assessment is reviewed again.")
    ethics: Declaration | None = _part("Ethics board: name, number and day of its decision.")
    provider: Declaration | None = _part("Provider of the AI system (Regulation (EU) 2024/1689).")
    intended_use: Declaration | None = _part("Intended use and users of the model.")
    out_of_scope: Declaration | None = _part("Uses that are out of scope, foreseeable misuse.")
    human_oversight: Declaration | None = _part("Human oversight (Art. 14).")
    data_provenance: Declaration | None = _part("Provenance, labelling and cleaning of records.")
    risk_management: Declaration | None = _part("Risk management system (Art. 9).")
    lifecycle_changes: Declaration | None = _part("Changes through the lifecycle.")
    standards: Declaration | None = _part("Standards applied, in full or in part.")
    conformity: Declaration | None = _part("EU declaration of conformity, or why there is none.")
    monitoring_plan: Declaration | None = _part("Post-market monitoring plan (Art. 72).")
    limitations: Declaration | None = _part("Known limits, biases and ethical considerations.")
    licence: Declaration | None = _part("Licence of the model: an SPDX name, such as apache-2.0.")
    approvals: tuple[Approver, ...] = Field(
        default=(), description="Who approved the study for each hospital."
    )
    signatories: tuple[Signatory, ...] = Field(default=(), description="Who signs reports.")

    def part(self, key: str) -> Declaration | None:
        """Returns a part by its key; None where it is left out."""
        found: Declaration | None = getattr(self, key)
        return found


_FORM = DocumentForm(
    record=Declarations,
    noun="consortium file",
    refusal=WorkspaceRefused,
    see="docs/reports.md",
)


def read_declarations(text: str, source: str) -> Declarations:
    """Returns the declarations written in ``text``.

    Raises:
        WorkspaceRefused: one line per problem: ``source:line:``, the key, and what is wrong.
    """
    return read_document(text, _FORM, source)
