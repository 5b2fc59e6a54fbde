"""The comparison with baselines as files and as lines on the terminal."""

import json
from pathlib import Path

from rich.console import Console

from collegium.output.summary import plain_table
from collegium.simulation.baselines.answers import (
    EVERYBODY,
    EXACT,
    ORDER,
    TITLES,
    answers,
    model_about,
    sentence_of,
)
from collegium.simulation.baselines.findings import BaselineFindings
from collegium.simulation.baselines.page import page
from collegium.simulation.baselines.plan import noise_text
from compliance.facts.formatting import show
from compliance.reports.renderers import render_csv, render_html
from compliance.storage.atomic_file import write_whole
from protocol.errors import WorkspaceRefused


def write_report(findings: BaselineFindings, out: Path) -> Path:
    """Writes ``baselines.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    document = page(findings)
    told = json.dumps(findings.to_json(), sort_keys=True, indent=2, allow_nan=False) + "\n"
    files = {"html": render_html(document), "json": told, "csv": render_csv(document)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for ending, text in files.items():
            write_whole(out / f"baselines.{ending}", text.encode())
    except OSError as error:
        raise WorkspaceRefused(f"--out {out} cannot be written: {error.strerror}") from error
    return out / "baselines.html"


def summarise(findings: BaselineFindings, to: Path, console: Console) -> None:
    """Prints what a comparison found."""
    console.print(f"\n{findings.study.title}", style="bold", markup=False)
    sites = [size.site for size in findings.hospitals]
    for noised in findings.levels:
        console.print(f"\n  {noise_text(noised=noised)}", style="bold", markup=False)
        table = plain_table("tested on", *(TITLES[kind] for kind in ORDER))
        for site in (*sites, None):
            table.add_row(site or EVERYBODY, *(_told(findings, k, site, noised) for k in ORDER))
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
                f"  {lead.tested or EVERYBODY}: {sentence_of(lead)}: {show(lead.value, form)}",
                markup=False,
                soft_wrap=True,
            )
    console.print(f"\n  {EXACT}", markup=False, soft_wrap=True)
    console.print(f"The page: {to}", markup=False, soft_wrap=True)


def _told(findings: BaselineFindings, kind: str, site: str | None, noised: bool) -> str:
    model = model_about(findings, kind, site, noised=noised)
    return "" if model is None else show(model.on(site), findings.headline.form)
