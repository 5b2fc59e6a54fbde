"""The study dossier: plan, course and results, with the table that TRIPOD+AI asks for."""

from compliance.facts.dossier import Dossier
from compliance.reports.basis import Claims
from compliance.reports.document import Document, Section
from compliance.reports.evidence import ReportSubject
from compliance.reports.evidence.controls import GDPR
from compliance.reports.kinds.parts import (
    KindText,
    preregistration_sections,
    report,
    with_basis,
)
from compliance.reports.kinds.run_claims import (
    course_claims,
    plan_claims,
    privacy_claims,
    red_team_claims,
    result_claims,
    software_claims,
)
from compliance.reports.one_run.performance_table import heterogeneity_table, performance_table
from compliance.reports.sections import run as run_parts
from compliance.reports.sections.results import report_results

STUDY_DOSSIER = KindText(
    name="study-dossier",
    title="Study dossier",
    question="What was planned, done and found, and how well does the model do for whom?",
    texts=(GDPR,),
)
#: Tables and drawings only for so many runs; a dossier of more has their statements.
_MOST_WHOLE = 3


def study_dossier(subject: ReportSubject) -> Document:
    """Returns the dossier of a run, or of all runs of a study, sweep, hospital or period."""
    sections: list[Section] = [_people(subject)]
    for dossier in subject.dossiers:
        sections.append(
            Section(
                key=f"run-{dossier.run_id}",
                title="The run" if subject.single else f"Run {dossier.run_id}",
                blocks=(
                    plan_claims(subject, dossier),
                    course_claims(subject, dossier),
                    privacy_claims(subject, dossier),
                    result_claims(subject, dossier),
                    software_claims(subject, dossier),
                ),
            )
        )
        sections += preregistration_sections(subject, dossier)
        if len(subject.dossiers) <= _MOST_WHOLE:
            sections += _whole(subject, dossier)
    sections.append(Section(key="red-team", title="Attacks", blocks=(red_team_claims(subject),)))
    return report(STUDY_DOSSIER, subject, sections)


def _people(subject: ReportSubject) -> Section:
    items = (
        subject.declared("ethics", "Ethics board"),
        subject.declared("contact", "Contact"),
        subject.declared("data_provenance", "Source of the records"),
        subject.declared("limitations", "Limits"),
    )
    claims = Claims(title="Study", items=items)
    return Section(key="people", title="What people say of the study", blocks=(claims,))


def _whole(subject: ReportSubject, dossier: Dossier) -> list[Section]:
    released = subject.entries(dossier.run_id, "release", "exact-figures")
    found = []
    if dossier.has_model and dossier.released:
        tables = (performance_table(dossier), heterogeneity_table(dossier))
        performance = Section(key="performance", title="Performance (TRIPOD+AI)", blocks=tables)
        found.append(with_basis(performance, subject, released))
    found += [with_basis(one, subject, released) for one in report_results(dossier)]
    rounds = subject.entries(dossier.run_id, "round-opened", "survivors", "round-failed")
    return [*found, with_basis(run_parts.rounds_section(dossier), subject, rounds)]
