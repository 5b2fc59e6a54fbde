"""Reports in words and rows: what they answer and lack, and the command that writes the file."""

from collections.abc import Sequence

from compliance.governance.acts import ActRequest
from compliance.reports.basis import Missing
from compliance.reports.document import Document, claims_of
from compliance.reports.kinds import KindText
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.texts import say
from protocol.encoding import digest

#: Why a consortium with people offers no file on a page that knows nobody.
EXPORT_IS_AN_ACT = (
    "People are registered in this consortium, so an export is recorded as a person's act. This "
    "page does not know who you are; the command does, by your key:"
)


def kind_caption(text: KindText) -> str:
    """Returns what a kind of report answers, and by which texts."""
    return f"{text.question} {'; '.join(text.texts)}".strip()


def missing_rows(document: Document) -> list[dict[str, str]]:
    """Returns the statements that a report lacks, with why and what to do."""
    return [
        {
            say("reports.missing_about"): claim.topic,
            say("reports.missing_why"): claim.basis.why,
            say("reports.missing_remedy"): claim.basis.remedy,
        }
        for claim in claims_of(document)
        if isinstance(claim.basis, Missing)
    ]


def subjects(scope: str, runs: Sequence[RunSummary], sites: Sequence[str]) -> list[str]:
    """Returns the names of what a report of a scope can be about, the newest first.

    Args:
        scope: see ``coordinator.views.subjects.SCOPES``.
        runs: every run.
        sites: every hospital that took part in one.
    """
    newest = sorted(runs, key=lambda run: run.started_at, reverse=True)
    match scope:
        case "run":
            found = [run.run_id for run in newest]
        case "study":
            found = [run.study_name for run in newest]
        case "sweep":
            found = [run.sweep for run in newest if run.sweep]
        case "hospital":
            found = sorted(sites)
        case _:
            months = [run.started_at[:7] for run in newest]
            found = [*months, *(month[:4] for month in months)]
    return list(dict.fromkeys(found))


def report_file(name: str, kind: str, form: str) -> str:
    """Returns the name of a report's file.

    >>> report_file("20261121-a1", "model-card", "oscal")
    'collegium-20261121-a1-model-card.oscal.json'
    """
    return f"collegium-{name}-{kind}.{'oscal.json' if form == 'oscal' else form}"


def export_command(scope: str, subject: str, kind: str, form: str, name: str) -> str:
    """Returns the command that writes the file that the page offers."""
    about = "" if scope == "run" else f" --about {scope}"
    return (
        f"collegium report export {subject}{about} --kind {kind} --format {form} --to {name} "
        "--out FOLDER"
    )


def report_act(
    action: str, scope: str, subject: str, kind: str, form: str, data: bytes
) -> ActRequest:
    """Returns the act of exporting or signing a report, as the command says it."""
    details = {"format": form, "kind": kind, "sha256": digest(data)}
    if scope == "run":
        details["run"] = subject
    return ActRequest(action=action, subject_kind=scope, subject=subject, details=details)
