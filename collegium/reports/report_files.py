"""Reports and charts, written to files that a person named."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from compliance.charts.run import to_svg, utility_against_epsilon
from compliance.facts.dossier import Dossier
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from compliance.reports.document import Document
from compliance.reports.one_run.performance_table import performance_report, performance_table
from compliance.reports.renderers import RENDERERS, render_csv, render_html, wide_csv
from compliance.storage.atomic_file import write_named, write_whole
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.views import open_views
from protocol.counted import counted
from protocol.errors import StoreBroken, WorkspaceRefused


def export_performance(out: Path, run_id: str, form: str, to: Path, console: Console) -> None:
    """Writes the table of a run's performance, by site and by group of patients.

    Raises:
        WorkspaceRefused: the run trained no model, or the file cannot be written.
        StoreBroken: the records are not what was logged; nothing is written.
    """
    dossier = _verified_dossier(out, run_id)
    if dossier.verification is not None and dossier.verification.faults:
        raise StoreBroken(
            f"nothing is written: the records are not what was logged. collegium audit verify "
            f"--out {out} says what is wrong"
        )
    if not dossier.has_model or not dossier.released:
        raise WorkspaceRefused(f"run {dossier.run_id} released no figure of a model")
    whole = performance_report(dossier)
    text = wide_csv(performance_table(dossier)) if form == "csv" else RENDERERS[form](whole)
    write_named(to, text.encode())
    console.print(f"wrote {to} ({form}): performance of all, by hospital, by group", markup=False)


def export_chart(out: Path, to: Path, console: Console) -> None:
    """Writes utility against epsilon, over all that asks what the newest run asks, as SVG.

    Raises:
        WorkspaceRefused: no run is finished, or the file cannot be written.
    """
    newest, points, withheld = newest_utility(out)
    if not points:
        raise WorkspaceRefused(f"--out {out} holds no run with a figure: nothing to draw")
    write_named(to, to_svg(utility_against_epsilon(points, withheld)).encode())
    console.print(f"wrote {to}: {newest.study_name}, {counted(len(points), 'point')}", markup=False)


def write_comparison(out: Path, file: str, page: Document, found: Mapping[str, Any]) -> Path:
    """Writes a comparison to a folder as a page, JSON and CSV; returns the page's path.

    Args:
        out: the folder, made where it is missing.
        file: the name of the JSON file, beside which the others are named.
        page: the page.
        found: what is written as JSON.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    told = json.dumps(found, sort_keys=True, indent=2, allow_nan=False) + "\n"
    texts = {".html": render_html(page), ".json": told, ".csv": render_csv(page)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            write_whole((out / file).with_suffix(suffix), text.encode())
    except OSError as error:
        raise WorkspaceRefused(f"--out {out} cannot be written: {error.strerror}") from error
    return (out / file).with_suffix(".html")


def write_own_page(to: Path, page: Document) -> None:
    """Writes a hospital's own page, for its owner alone.

    Raises:
        WorkspaceRefused: the file cannot be written.
    """
    try:
        write_whole(to, render_html(page).encode())
    except OSError as error:
        raise WorkspaceRefused(f"--html {to} cannot be written: {error.strerror}") from error


def _verified_dossier(out: Path, run_id: str) -> Dossier:
    """Returns a run after all records were held to the log; the dossier says what came of it."""
    with closing(open_views(out)) as views:
        return replace(views.dossier(run_id), verification=views.verification())


def newest_utility(
    out: Path,
) -> tuple[RunSummary, tuple[UtilityPoint, ...], tuple[Withheld, ...]]:
    """Returns the newest finished run, and the AUROCs of all that ask the same; some withheld.

    Raises:
        WorkspaceRefused: no run of the folder is finished.
    """
    with closing(open_views(out)) as views:
        newest = views.newest_finished()
        if newest is None:
            raise WorkspaceRefused(f"--out {out} holds no finished run: nothing to draw")
        return newest, views.utility(newest.run_id), views.withheld(newest.run_id)
