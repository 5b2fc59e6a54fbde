"""The record of who exported a report: every export by a person goes through it."""

from pathlib import Path

from compliance.reports.document import Document


def record_export(out: Path, by: str | None, document: Document, form: str, data: bytes) -> str:
    """Returns the sentence that says whether an export was logged, and why not.

    A folder of runs is read and never written by a report: it may lie on a medium that cannot be.
    So an export leaves no entry here, and whoever exports is told so.

    Args:
        out: the folder.
        by: the person who exports, if one is named.
        document: what was exported.
        form: its format.
        data: its bytes.
    """
    who = f"the export by {by}" if by else "this export"
    return f"not logged: {who} left no entry in the log of {out}"
