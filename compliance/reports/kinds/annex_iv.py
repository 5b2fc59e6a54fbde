"""The technical documentation of the EU AI Act, Annex IV: its nine points, in order."""

from collections.abc import Callable

from compliance.facts.dossier import Dossier
from compliance.reports.basis import Claims, ReportClaim
from compliance.reports.document import Document, Section
from compliance.reports.evidence import ReportSubject
from compliance.reports.evidence.controls import AI_ACT, GDPR
from compliance.reports.kinds.parts import KindText, report
from compliance.reports.kinds.run_claims import (
    course_claims,
    plan_claims,
    privacy_claims,
    red_team_claims,
    result_claims,
    software_claims,
)

ANNEX_IV = KindText(
    name="annex-iv",
    title="EU AI Act, Annex IV: technical documentation",
    question="Is the system described in the nine points of Annex IV (Art. 11(1))?",
    texts=(AI_ACT, GDPR),
)
#: The file describes so many runs one by one.
_MOST_RUNS = 20


def annex_iv(subject: ReportSubject) -> Document:
    """Returns the nine points; what only the provider knows is declared or missing."""
    declared = subject.declared
    sections = (
        _point(1, "General description", _declared(subject, (
            ("provider", "Provider, name and version of the system"),
            ("intended_use", "Intended purpose and users"),
            ("out_of_scope", "Uses out of scope, foreseeable misuse"),
        )), _each(subject, software_claims)),
        _point(2, "Elements and development", _declared(subject, (
            ("data_provenance", "Data: provenance, labelling, cleaning"),
            ("human_oversight", "Human oversight (Art. 14)"),
        )), (
            *_each(subject, plan_claims),
            *_each(subject, _architecture),
            *_each(subject, result_claims),
            red_team_claims(subject),
        )),
        _point(3, "Monitoring, functioning and control", _declared(subject, (
            ("limitations", "Capabilities and limits"),
        )), (Claims(title="Accuracy for groups", items=_groups(subject)),)),
        _point(4, "Appropriateness of the performance metrics",
               Claims(title="Metrics", items=_metrics(subject)), ()),
        _point(5, "Risk management (Art. 9)", _declared(subject, (
            ("risk_management", "Risk management system"),
            ("residual_risk", "Residual risk"),
        )), _each(subject, privacy_claims)),
        _point(6, "Changes through the lifecycle", _declared(subject, (
            ("lifecycle_changes", "Changes by the provider"),
        )), _each(subject, course_claims)),
        _point(7, "Standards", Claims(title="Standards", items=(
            declared("standards", "Standards applied in full or in part"),
        )), ()),
        _point(8, "EU declaration of conformity", Claims(title="Declaration", items=(
            declared("conformity", "Copy of the declaration (Art. 47)"),
        )), ()),
        _point(9, "Post-market monitoring (Art. 72)", Claims(title="Plan", items=(
            declared("monitoring_plan", "Post-market monitoring plan"),
        )), ()),
        _assessments(subject),
    )  # fmt: skip
    return report(ANNEX_IV, subject, sections)


def _point(number: int, title: str, first: Claims, others: tuple[Claims, ...]) -> Section:
    return Section(key=f"point-{number}", title=f"{number}. {title}", blocks=(first, *others))


def _declared(subject: ReportSubject, parts: tuple[tuple[str, str], ...]) -> Claims:
    items = tuple(subject.declared(key, topic) for key, topic in parts)
    return Claims(title="What the provider says", items=items)


def _each(
    subject: ReportSubject, make: Callable[[ReportSubject, Dossier], Claims]
) -> tuple[Claims, ...]:
    return tuple(make(subject, dossier) for dossier in subject.dossiers[:_MOST_RUNS])


_STUDY = {
    "why": "the study is not in the log",
    "remedy": "make the report from the folder in which the study ran",
}


def _architecture(subject: ReportSubject, dossier: Dossier) -> Claims:
    task, training = dossier.study.get("task", {}), dossier.study.get("training", {})
    network = task.get("network", {}).get("_target_", "none") if dossier.has_model else "none"
    settings = ", ".join(
        f"{key} {value}" for key, value in sorted(training.items()) if not isinstance(value, dict)
    )
    items = (
        subject.evidenced(
            "Architecture", f"Task {dossier.task}, network {network}.",
            subject.registered(dossier), **_STUDY),
        subject.evidenced(
            "Training", f"Settings as registered: {settings or 'none'}; seed {dossier.seed}.",
            subject.registered(dossier), **_STUDY),
    )  # fmt: skip
    return Claims(title=f"Design of run {dossier.run_id}", items=items)


def _groups(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns whether accuracy was released for groups of patients and for hospitals."""
    found = []
    for one in subject.dossiers[:_MOST_RUNS]:
        if not one.has_model:
            continue
        groups = sorted({group.grouping for group in one.groups})
        names = ", ".join(groups)
        sites = [site.site for site in one.sites if site.released]
        found.append(
            subject.evidenced(
                f"Groups, run {one.run_id}",
                f"Figures were released for groups by {names}." if groups else
                "No figures were released for groups of patients, such as by sex or age.",
                subject.entries(one.run_id, "release") if groups else (),
                why="the study asks for no groups",
                remedy="declare evaluation.groups in the study: docs/fairness.md",
            )
        )  # fmt: skip
        found.append(
            subject.evidenced(
                f"Hospitals, run {one.run_id}",
                f"Figures were released for each of {', '.join(sites)}."
                if sites
                else "No figure of a hospital was released.",
                subject.entries(one.run_id, "release") if sites else (),
                why="no figure was released",
                remedy="see the state of the run",
            )
        )
    return tuple(found) or (
        subject.evidenced("Groups", "No model was trained.", subject.last, **_STUDY),
    )


def _metrics(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    found = {}
    for one in subject.dossiers:
        names = ", ".join(kind.title for kind in one.figures.pooled) or "none"
        found[one.task] = subject.evidenced(
            f"Task {one.task}",
            f"Figures of this task: {names}; each is released with a 95 % interval over noise and "
            "sampling.",
            subject.registered(one),
            **_STUDY,
        )
    return tuple(found.values())


def _assessments(subject: ReportSubject) -> Section:
    """Returns the references to the assessments that other texts ask for."""
    items = (
        subject.declared("risks", "DPIA (GDPR Art. 35): risks; the whole is report dpia-annex"),
        subject.declared(
            "views_of_persons", "Fundamental rights impact assessment (Art. 27): persons concerned"
        ),
    )
    return Section(
        key="assessments",
        title="Cross-references: DPIA and FRIA",
        blocks=(Claims(title="Assessments", items=items),),
    )
