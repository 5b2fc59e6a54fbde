"""HIPAA's audit controls: 45 CFR 164.312(b), with what stands beside it in that section."""

from compliance.reports.basis import Claims, ReportClaim
from compliance.reports.document import Document, Section
from compliance.reports.evidence import ReportSubject
from compliance.reports.evidence.controls import HIPAA
from compliance.reports.kinds.parts import KindText, report
from compliance.reports.kinds.security_log import acts_section, people_claim, people_section
from protocol.counted import counted

HIPAA_AUDIT = KindText(
    name="hipaa-audit-controls",
    title="HIPAA audit controls",
    question="Is activity recorded, can it be examined, who examined it (45 CFR 164.312(b))?",
    texts=(HIPAA,),
)


def hipaa_audit(subject: ReportSubject) -> Document:
    """Returns what the log records of the systems' activity, and what people say beside it."""
    found = subject.facts.verification
    is_sound = found is not None and not found.faults
    none = {"why": "the log holds no entry of it", "remedy": "run the study first"}
    recorded = Claims(
        title="164.312(b): recorded",
        items=(
            subject.evidenced(
                "Mechanism", "Every write of a row of the coordinator's database is an entry of an "
                "append-only log, whose heads are signed.", subject.last, **none),
            subject.evidenced(
                "Starts and ends of work", f"{counted(len(subject.dossiers), 'run')} began; each "
                "end and each failure is an entry.", subject.all_entries(
                    "run-started", "run-finished", "run-failed", "run-stopped"), **none),
            subject.evidenced(
                "Exchanges", "Every round names who answered and the digests of what they sent.",
                subject.all_entries("round-opened", "survivors", "masked-blobs"), **none),
            subject.evidenced(
                "Institutions", "Entries name institutions by their keys in a roster.",
                subject.all_entries("roster"), **none),
            people_claim(subject),
            _exports(subject),
        ),
    )  # fmt: skip
    examined = Claims(
        title="164.312(b): examined",
        items=(
            subject.evidenced(
                "Integrity (164.312(c))",
                "The whole log and all records were verified when this report was made, without "
                "a fault."
                if is_sound
                else "The records were not verified, or a fault was found: see page 1.",
                subject.last if is_sound else (),
                why="verification found a fault or was not made",
                remedy="collegium audit verify --out FOLDER",
            ),
            subject.declared("log_review", "Review by a person"),
            subject.declared("retention", "Documentation is kept six years (164.316(b)(2)(i))"),
        ),
    )
    beside = Claims(
        title="Beside it in 164.312",
        items=(
            subject.declared("access_control", "(a) Access control"),
            subject.declared("authentication", "(d) Authentication of persons"),
            subject.declared("incident_plan", "Incidents (164.308(a)(6))"),
        ),
    )
    section = Section(key="hipaa", title="Audit controls", blocks=(recorded, examined, beside))
    parts = [section, people_section(subject), acts_section(subject)]
    return report(HIPAA_AUDIT, subject, parts)


def _exports(subject: ReportSubject) -> ReportClaim:
    """Returns who exported a report or evidence, as far as the report's log goes."""
    acts = [
        act for act in subject.facts.acts if act.action == "report.export" and act.outcome == "done"
    ]
    said = (
        f"{counted(len(acts), 'time')} a person exported a report or evidence; the table of acts "
        "names them. Who looked at the dashboard or at the records is not in the log."
    )
    return subject.evidenced(
        "Exports by people",
        said if acts else "Nobody is named.",
        tuple(entry for act in acts for entry in act.entries),
        why="no entry of the log until here is of a person who exported",
        remedy="export with --as KEYFILE where people are registered; a report --about period "
        "shows what came after a run's end",
    )
