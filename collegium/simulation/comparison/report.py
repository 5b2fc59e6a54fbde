"""The comparison of strategies as files and as lines on the terminal."""

import json
from pathlib import Path

from rich.console import Console

from collegium.output.summary import plain_table
from collegium.simulation.comparison.findings import ComparisonFindings
from collegium.simulation.comparison.page import EXACT, conclusion, page, strategies_table
from compliance.facts.formatting import show
from compliance.reports.renderers import render_csv, render_html
from compliance.storage.atomic_file import write_whole
from protocol.errors import WorkspaceRefused


def write_report(findings: ComparisonFindings, out: Path) -> Path:
    """Writes ``comparison.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    document = page(findings)
    told = json.dumps(findings.to_json(), sort_keys=True, indent=2, allow_nan=False) + "\n"
    files = {"html": render_html(document), "json": told, "csv": render_csv(document)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for ending, text in files.items():
            write_whole(out / f"comparison.{ending}", text.encode())
    except OSError as error:
        raise WorkspaceRefused(f"--out {out} cannot be written: {error.strerror}") from error
    return out / "comparison.html"


def summarise(findings: ComparisonFindings, to: Path, console: Console) -> None:
    """Prints what a comparison found."""
    console.print(f"\n{findings.study.title}", style="bold", markup=False)
    whole = strategies_table(findings)
    table = plain_table(*(column.title for column in whole.columns))
    for row in whole.rows:
        cells = zip(row, whole.columns, strict=True)
        table.add_row(*(show(cell, column.form) for cell, column in cells))
    console.print(table)
    console.print(f"  {conclusion(findings)}", markup=False, soft_wrap=True)
    console.print(f"\n  {EXACT}", markup=False, soft_wrap=True)
    console.print(f"The page: {to}", markup=False, soft_wrap=True)
