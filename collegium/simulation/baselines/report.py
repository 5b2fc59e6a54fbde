"""A comparison with baselines as files and in a few lines."""

from pathlib import Path

from rich.console import Console

from collegium.output.summary import plain_table
from collegium.reports.report_files import write_comparison
from compliance.facts.comparison.baselines import BASELINES_FILE, BaselineFindings, noise_text
from compliance.facts.formatting import show
from compliance.reports.several_runs.baseline_parts import (
    EVERYBODY,
    WAYS,
    answers,
    model_at,
    said_of_lead,
)
from compliance.reports.several_runs.baselines_page import EXACT, baselines_page


def write_report(findings: BaselineFindings, out: Path) -> Path:
    """Writes ``baselines.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    return write_comparison(out, BASELINES_FILE, baselines_page(findings), findings.to_json())


def summarise(findings: BaselineFindings, to: Path, console: Console) -> None:
    """Prints what a comparison found."""
    console.print(f"\n{findings.study.title}", style="bold", markup=False)
    for noised in findings.levels:
        console.print(f"\n  {noise_text(noised=noised)}", style="bold", markup=False)
        table = plain_table("tested on", *WAYS.values())
        for site in (*findings.sites, None):
            table.add_row(site or EVERYBODY, *(_told(findings, k, site, noised) for k in WAYS))
        console.print(table)
    form = findings.headline.form
    console.print(
        f"  {findings.headline.label} with 95 % intervals, by who trained\n",
        markup=False,
        soft_wrap=True,
    )
    for text in answers(findings):
        console.print(f"  {text}", markup=False, soft_wrap=True)
    for lead in findings.leads:
        if lead.verdict in ("better", "worse"):
            console.print(
                f"  {lead.tested or EVERYBODY}: {said_of_lead(lead)}: {show(lead.value, form)}",
                markup=False,
                soft_wrap=True,
            )
    console.print(f"\n  {EXACT}", markup=False, soft_wrap=True)
    console.print(f"The page: {to}", markup=False, soft_wrap=True)


def _told(findings: BaselineFindings, kind: str, site: str | None, noised: bool) -> str:
    model = model_at(findings, kind, site, noised=noised)
    if model is None:
        return ""
    found = model.everybody if site is None else model.by_site[site]
    return show(found, findings.headline.form)
