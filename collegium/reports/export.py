"""Writes reports to files that a person named, and lists the kinds that there are."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collegium.reports.access_record import record_export
from collegium.reports.request import ReportRequest, report_document
from compliance.reports.declarations import declarations_template
from compliance.reports.document import counts_of
from compliance.reports.kinds import DEFAULT_KIND, KINDS
from compliance.reports.renderers import FORMS, rendered
from compliance.storage.atomic_file import write_named
from protocol.encoding import digest
from protocol.errors import StoreBroken
from protocol.identity.roster import SigningKey


def export_report(
    out: Path,
    asked: ReportRequest,
    form: str,
    to: Path,
    console: Console,
    *,
    key: SigningKey | None = None,
) -> dict[str, Any]:
    """Writes a report to a file; returns what ``--json`` shows.

    Args:
        out: the folder of runs.
        asked: the kind of report, and what it is about.
        form: one of ``FORMS``.
        to: the file.
        console: where people read what was done.
        key: of the person who exports it; None where nobody says who they are.

    Raises:
        PolicyRefused: people are registered here, and none of them exports it.
        WorkspaceRefused: the file cannot be written, or what draws this format is missing.
        StoreBroken: it was written with a watermark: the records are not what was logged.
    """
    document = report_document(out, asked)
    data = rendered(document, form)
    details = {
        "format": form,
        "kind": document.kind,
        "run": asked.name if asked.scope == "run" else None,
        "sha256": digest(data),
    }
    recorded = record_export(out, key, (asked.scope, asked.name), details)
    write_named(to, data)
    counts, title = counts_of(document), document.title
    console.print(f"wrote {to} ({form}): {title}; {counts}", markup=False, soft_wrap=True)
    console.print(recorded.note, markup=False, soft_wrap=True)
    if document.watermarks:
        raise StoreBroken(
            f"{to} carries the watermark NOT VERIFIED: the records are not what was logged. "
            f"collegium audit verify --out {out} says what is wrong"
        )
    return {
        "file": str(to),
        "format": form,
        "kind": document.kind,
        "evidenced": counts.evidenced,
        "declared": counts.declared,
        "missing": counts.missing,
        "sha256": digest(data),
        "act": recorded.act,
        "access": recorded.note,
    }


def list_kinds(console: Console) -> list[dict[str, Any]]:
    """Shows the kinds of report with what each is for; returns them for ``--json``."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("kind", "answers", "text"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "kind")
    for name, kind in KINDS.items():
        usual = " (usual)" if name == DEFAULT_KIND else ""
        cells = (name + usual, kind.text.question, "; ".join(kind.text.texts))
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print(f"formats: {', '.join(FORMS)}", markup=False)
    return [
        {
            "kind": name,
            "title": kind.text.title,
            "answers": kind.text.question,
            "texts": list(kind.text.texts),
            "formats": list(FORMS),
        }
        for name, kind in KINDS.items()
    ]


def write_template(to: Path, console: Console) -> dict[str, Any]:
    """Writes a consortium file in which every part is left out until somebody declares it.

    Raises:
        WorkspaceRefused: the file cannot be written.
    """
    write_named(to, declarations_template().encode())
    console.print(f"wrote {to}: declare each part with your name and the day", markup=False)
    return {"file": str(to)}
