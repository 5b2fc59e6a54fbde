"""The record of processing that GDPR's Art. 30 asks for, point by point."""

from compliance.reports.basis import Claims
from compliance.reports.document import Document, Section
from compliance.reports.evidence import (
    ReportSubject,
    columns_read,
    institutions,
    measures,
    purposes,
)
from compliance.reports.evidence.controls import GDPR
from compliance.reports.kinds.parts import KindText, report

PROCESSING_RECORD = KindText(
    name="processing-record",
    title="Record of processing",
    question="Who processes which data of whom, why, for how long, and how is it guarded "
    "(GDPR Art. 30(1))?",
    texts=(GDPR,),
)


def processing_record(subject: ReportSubject) -> Document:
    """Returns the record of processing activities, point by point of Art. 30(1)."""
    points = (
        ("(a) Controller, representative, officer", (
            subject.declared("controller", "Controller"),
            subject.declared("joint_controllers", "Joint controllers"),
            subject.declared("representative", "Representative"),
            subject.declared("officer", "Data protection officer"),
        )),
        ("(b) Purposes", (
            subject.declared("purposes", "Purposes"),
            subject.declared("lawful_basis", "Legal basis"),
            *purposes(subject),
        )),
        ("(c) Persons and data", (
            subject.declared("data_subjects", "Categories of persons"),
            subject.declared("data_categories", "Categories of data"),
            *columns_read(subject),
        )),
        ("(d) Recipients", (
            subject.declared("recipients", "Recipients"),
            *institutions(subject),
        )),
        ("(e) Transfers to third countries", (subject.declared("transfers", "Transfers"),)),
        ("(f) Erasure", (subject.declared("retention", "Time limits"),)),
        ("(g) Security", (
            subject.declared("security_measures", "Organisational measures"),
            *measures(subject),
        )),
    )  # fmt: skip
    blocks = tuple(Claims(title=f"Art. 30(1){title}", items=items) for title, items in points)
    section = Section(key="record", title="Record of processing activities", blocks=blocks)
    return report(PROCESSING_RECORD, subject, [section])
