"""Statements about a processing that the log shows: purposes, columns, institutions, measures."""

from compliance.reports.basis import ReportClaim
from compliance.reports.evidence.subject import ReportSubject

_STUDY = {
    "why": "the study is not in the log",
    "remedy": "make the report from the folder in which the study ran",
}


def purposes(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns the purpose of each study, as it was registered."""
    studies = {one.study_digest: one for one in subject.dossiers}
    return tuple(
        subject.evidenced(
            f"Purpose of {one.study_name}, as registered",
            one.study_purpose or "None is given.",
            subject.registered(one),
            **_STUDY,
        )
        for one in studies.values()
    )


def columns_read(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns the columns or images that each study reads, as it was registered."""
    found = {}
    for one in subject.dossiers:
        cohort = one.study.get("cohort", {})
        names = [str(c.get("name", c)) for c in cohort.get("columns", ()) if isinstance(c, dict)]
        image = "images" if cohort.get("image") else ""
        said = ", ".join(names) or image
        if said:
            found[said] = subject.evidenced(
                f"Columns that {one.study_name} reads",
                f"{said}. Records stay in the hospital.",
                subject.registered(one),
                **_STUDY,
            )
    return tuple(found.values())


def institutions(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns the institutions that processed records, as they signed when they joined."""
    names = sorted({site.site for one in subject.dossiers for site in one.sites})
    return (
        subject.evidenced(
            "Institutions that took part",
            f"{', '.join(names) or 'None'}: each processed its own records alone.",
            subject.all_entries("approvals") if names else (),
            why="no hospital joined",
            remedy="approve the study in each hospital: collegium silo approve",
        ),
    )


def measures(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    """Returns the technical measures that the log shows."""
    none = {"why": "no round ended", "remedy": "see the state of the runs above"}
    protected = bool(subject.dossiers) and all(one.protected for one in subject.dossiers)
    return (
        subject.evidenced(
            "Secure aggregation",
            "Hospitals sent masked vectors; only their sum was computed.",
            subject.all_entries("masked-blobs", "sum"),
            **none,
        ),
        subject.evidenced(
            "Differential privacy",
            "Every run claims differential privacy, signed by each hospital."
            if protected
            else "Not every run claims differential privacy.",
            subject.all_entries("approvals") if protected else (),
            why="a run claims no differential privacy",
            remedy="set privacy.mode per_site or distributed in the study",
        ),
        subject.evidenced(
            "Audit log",
            "What was done is in a signed log whose head this report names.",
            subject.last,
            **none,
        ),
    )
