"""The comparison of strategies as files and as lines on the terminal."""

from pathlib import Path

from rich.console import Console

from collegium.output.summary import plain_table
from collegium.reports.report_files import write_comparison
from compliance.facts.comparison.strategies import STRATEGIES_FILE, ComparisonFindings
from compliance.facts.formatting import show
from compliance.reports.several_runs.strategies_page import (
    EXACT,
    conclusion,
    strategies_page,
    strategies_table,
)


def write_report(findings: ComparisonFindings, out: Path) -> Path:
    """Writes ``comparison.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    return write_comparison(out, STRATEGIES_FILE, strategies_page(findings), findings.to_json())


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
