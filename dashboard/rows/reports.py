"""Reports in words and rows: what they answer and lack, and the command that writes the file."""

from compliance.reports.basis import Missing
from compliance.reports.document import Document, claims_of
from compliance.reports.kinds import KindText

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
        {"About": claim.topic, "Why": claim.basis.why, "What to do": claim.basis.remedy}
        for claim in claims_of(document)
        if isinstance(claim.basis, Missing)
    ]


def report_file(run_id: str, kind: str, form: str) -> str:
    """Returns the name of a report's file.

    >>> report_file("20261121-a1", "model-card", "oscal")
    'collegium-20261121-a1-model-card.oscal.json'
    """
    return f"collegium-{run_id}-{kind}.{'oscal.json' if form == 'oscal' else form}"


def export_command(run_id: str, kind: str, form: str, name: str) -> str:
    """Returns the command that writes the file that the page offers."""
    return (
        f"collegium report export {run_id} --kind {kind} --format {form} --to {name} --out FOLDER"
    )
