"""The comparison of strategies as files and as lines on the terminal."""

import json
from pathlib import Path

from rich.console import Console

from collegium.output.summary import plain_table
from compliance.facts.comparison.strategies import STRATEGIES_FILE, ComparisonFindings
from compliance.facts.formatting import show
from compliance.reports.renderers import render_csv, render_html
from compliance.reports.several_runs.strategies_page import (
    EXACT,
    conclusion,
    strategies_page,
    strategies_table,
)
from compliance.storage.atomic_file import write_whole
from protocol.errors import WorkspaceRefused

PAGE = "comparison.html"


def write_report(findings: ComparisonFindings, out: Path) -> Path:
    """Writes ``comparison.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    document = strategies_page(findings)
    told = json.dumps(findings.to_json(), sort_keys=True, indent=2, allow_nan=False) + "\n"
    files = {
        PAGE: render_html(document),
        STRATEGIES_FILE: told,
        "comparison.csv": render_csv(document),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(out / name, text.encode())
    except OSError as error:
        raise WorkspaceRefused(f"--out {out} cannot be written: {error.strerror}") from error
    return out / PAGE


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
