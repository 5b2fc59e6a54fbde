"""The commands' views of runs: lists, tables, pages and reports."""

import os
import shutil
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from compliance.charts.descriptions import (
    WITHOUT_PRIVACY,
    describe_comparison,
    interval_text,
    range_text,
    released_text,
    runs_text,
    too_small_words,
)
from compliance.charts.run import to_svg, utility_against_epsilon
from compliance.facts.comparison import (
    FEWEST,
    comparison_json,
    next_to_chance,
    num_missing,
    over_of,
    reached,
)
from compliance.facts.dossier import Dossier, run_json
from compliance.facts.formatting import Form, show
from compliance.facts.privacy_utility import (
    MODES,
    NO_BETTER,
    RELEASED,
    UtilityPoint,
    Withheld,
    best_known,
)
from compliance.reports.privacy_report import page_subject, privacy_report, render_html, run_page
from compliance.reports.renderers import RENDERERS
from compliance.storage.atomic_file import write_named
from coordinator.database.pages import keep_page, page_says
from coordinator.database.workspace import Workspace
from coordinator.views.run_summary import RunSummary
from coordinator.views.views import Views, open_views
from protocol.counted import counted
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.study.study import Study


def finish_folder(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """Writes the folder's page about a run and returns the run's JSON."""
    views = open_views(workspace.root)
    try:
        dossier = views.dossier(run_id)
        page = render_html(run_page(dossier, views.utility(run_id), views.withheld(run_id)))
    finally:
        views.close()
    keep_page(workspace, page)
    return run_json(dossier)


def summarise(run: dict[str, Any], workspace: Workspace, console: Console) -> None:
    """Prints what a run achieved, what it cost and what to do next."""
    root = workspace.root
    console.print(
        f"\n[bold]{escape(run['study']['title'])}[/bold]  run {run['run_id']}  {run['state']}"
    )
    for name, title in (("auroc", "AUROC   "), ("accuracy", "accuracy")):
        exact = f"{_exact(run[name])} exact (simulation only), " if run["simulation"] else ""
        console.print(f"  {title}  {exact}{_released(run[f'{name}_released'])}", markup=False)
    for warning in run["warnings"]:
        console.print(f"  {warning}", style="yellow", markup=False, soft_wrap=True)
    console.print()
    console.print(_sites_table(run))
    marked = "* exact, simulation only; " if run["simulation"] else ""
    console.print(f"  {marked}released figures carry their 95 % interval")
    if small := too_small_words(_own_notes(run)):
        console.print(f"  {small}", markup=False, soft_wrap=True)
    console.print()
    console.print(f"  {run['claim']}", markup=False, soft_wrap=True)
    console.print(
        f"  model {run['model_digest'][:16]}  "
        f"audit log {run['audit']['size']} entries, root {run['audit']['root'][:16]}"
    )
    if page_says(workspace, page_subject(run["run_id"])):
        console.print(f"\nThe page about it: {workspace.page}", markup=False, soft_wrap=True)
    elif workspace.page.is_file():
        console.print(f"\n{workspace.page} is about another run", markup=False, soft_wrap=True)
    console.print("\nTry next:")
    for command in next_commands(run["run_id"], root):
        console.print(f"  {command}", markup=False, soft_wrap=True)


def next_commands(run_id: str, out: Path) -> tuple[str, str, str]:
    """Returns the three commands that a person wants after a run."""
    # Outside an activated environment the command is only found by its path.
    program = "collegium" if shutil.which("collegium") else _program()
    return (
        f"{program} audit verify --out {out}",
        f"{program} report export {run_id} --format html --to report.html --out {out}",
        f"{program} dashboard --out {out}",
    )


def keep_sweep_page(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Writes the folder's page about a sweep; the runs are in the sweep's order."""
    with closing(open_views(workspace.root)) as views:
        dossier = views.dossier(run_ids[-1])
        points, withheld = views.utility(run_ids[-1]), views.withheld(run_ids[-1])
    keep_page(workspace, render_html(run_page(dossier, points, withheld)))


def show_sweep(
    workspace: Workspace, studies: Sequence[Study], run_ids: Sequence[str], console: Console
) -> dict[str, Any]:
    """Prints what a sweep's runs say together, and returns it with every run as JSON."""
    with closing(open_views(workspace.root)) as views:
        dossiers = [views.dossier(run_id) for run_id in run_ids]
        points, withheld = views.utility(run_ids[-1]), views.withheld(run_ids[-1])
        references = views.references()
    found = comparison_json(points, withheld)
    summarise_sweep(points, withheld, workspace, run_ids[-1], console)
    lost = sum(r.figures["auroc"] is None for r in references)
    if lost:
        console.print(
            f"{lost} of {len(references)} pooled references have no AUROC: their training "
            "diverged, or there is one class only; a smaller learning rate may help",
            style="yellow",
        )
    return {
        "study": studies[0].name,
        "studies": [study.name for study in studies],
        "runs": [run_json(dossier) | {"mode": _mode(dossier)} for dossier in dossiers],
        "references": [
            {
                "reference": reference.name,
                "name": MODES[reference.mode],
                "mode": reference.mode,
                "epsilon_promised": reference.epsilon,
                "seed": reference.seed,
                **reference.figures,
            }
            for reference in references
        ],
        **found,
    }


def _mode(dossier: Dossier) -> str:
    return str(dossier.study["privacy"]["mode"])


def _program() -> str:
    """Returns how this very command was begun."""
    if Path(sys.argv[0]).name == "__main__.py":
        return "python -m collegium"
    return os.path.relpath(sys.argv[0])


def summarise_sweep(
    points: Sequence[UtilityPoint],
    withheld: Sequence[Withheld],
    workspace: Workspace,
    run_id: str,
    console: Console,
) -> None:
    """Prints a sweep: a line for each mode and epsilon, then what one mode gains over another.

    ``run_id`` is the run that the folder's page is about.
    """
    over, useless = over_of(points), next_to_chance(points)
    table = _table("mode", "epsilon", "AUROC*", f"95 % interval over {over}", over)
    for level in reached(points):
        marked = f" {NO_BETTER}" if useless[level.mode, level.epsilon] else ""
        table.add_row(
            MODES[level.mode],
            "none" if level.epsilon is None else show(level.epsilon, Form.EPSILON),
            f"{level.auroc.mean:.3f}{marked}",
            range_text(level.auroc) or f"needs {FEWEST} {over}",
            runs_text(level.auroc.count, num_missing(points, withheld, level.epsilon, level.mode)),
        )
    console.print(table)
    kinds = {point.kind for point in best_known(points)}
    console.print(f"  * {' and '.join(sorted(kinds))}, mean over {over}", markup=False)
    console.print(f"  {interval_text(points)}\n", markup=False, soft_wrap=True)
    if any(point.epsilon is None for point in points):
        console.print(f"  {WITHOUT_PRIVACY}\n", markup=False, soft_wrap=True)
    if RELEASED not in kinds:
        for sentence in released_text(points, withheld):
            console.print(f"  {sentence}", markup=False, soft_wrap=True)
    for sentence in describe_comparison(points, withheld):
        console.print(f"  {sentence}", markup=False, soft_wrap=True)
    console.print(
        f"\nThe page: {workspace.page}\nIts first chart is of all these runs, the rest of run "
        f"{run_id}",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"Its runs: collegium runs list --out {workspace.root}", markup=False)


def show_run(out: Path, run_id: str, console: Console, *, as_json: bool) -> dict[str, Any]:
    """Shows one run whole; returns it for ``--json``."""
    dossier = _dossier(out, run_id)
    found = run_json(dossier)
    if not as_json:
        if dossier.model_digest:
            summarise(found, Workspace(out), console)
        else:
            console.print(
                f"{dossier.study_title}: run {dossier.run_id} is {dossier.state}, "
                f"{found['rounds']} of {counted(dossier.rounds_planned, 'round')} done",
                markup=False,
            )
        if dossier.failure:
            console.print(f"  why: {dossier.failure}", markup=False)
        if dossier.simulation and dossier.state in ("interrupted", "stopped"):
            console.print(
                "  next: the command that began it begins another one, in this folder too"
            )
        elif dossier.state == "interrupted":
            command = f"collegium coordinator start --home {out}"
            console.print(f"  next: {command} goes on with it", markup=False, soft_wrap=True)
    return found


def export_report(out: Path, run_id: str, form: str, to: Path, console: Console) -> None:
    """Writes the compliance report of a run to a file.

    Raises:
        WorkspaceRefused: the file cannot be written.
        StoreBroken: it was written with a watermark: the records are not what was logged.
    """
    dossier = _verified_dossier(out, run_id)
    write_named(to, RENDERERS[form](privacy_report(dossier)).encode())
    console.print(
        f"wrote {to} ({form}): privacy statement, run record, audit entries", markup=False
    )
    if dossier.verification is not None and dossier.verification.faults:
        raise StoreBroken(
            f"{to} carries the watermark NOT VERIFIED: the records are not what was logged. "
            f"collegium audit verify --out {out} says what is wrong"
        )


def report_text(out: Path, run_id: str, form: str, *, public: bytes | None = None) -> str:
    """Returns the compliance report of a run, made after verifying its folder.

    Args:
        out: the folder.
        run_id: the run, or the beginning of its id.
        form: html, json or csv.
        public: the log's key that is trusted; the folder's own when None.
    """
    return RENDERERS[form](privacy_report(_verified_dossier(out, run_id, public=public)))


def export_chart(out: Path, to: Path, console: Console) -> None:
    """Writes utility against epsilon, over all that asks what the newest run asks, as SVG.

    Raises:
        WorkspaceRefused: no run is finished, or the file cannot be written.
    """
    newest, points, withheld = newest_utility(out)
    if not points:
        raise WorkspaceRefused(f"--out {out} holds no run with an AUROC: nothing to draw")
    write_named(to, to_svg(utility_against_epsilon(points, withheld)).encode())
    console.print(f"wrote {to}: {newest.study_name}, {counted(len(points), 'point')}", markup=False)


def newest_utility(
    out: Path,
) -> tuple[RunSummary, tuple[UtilityPoint, ...], tuple[Withheld, ...]]:
    """Returns the newest finished run, and the AUROCs of all that ask the same; some withheld.

    Raises:
        WorkspaceRefused: no run of the folder is finished.
    """
    with closing(open_views(out)) as views:
        finished = [run for run in views.runs() if run.state == "finished"]
        if not finished:
            raise WorkspaceRefused(f"--out {out} holds no finished run: nothing to draw")
        newest = finished[0]
        return newest, views.utility(newest.run_id), views.withheld(newest.run_id)


def open_dashboard(out: Path, port: int, console: Console) -> None:
    """Serves the dashboard on this machine until it is stopped.

    Raises:
        WorkspaceRefused: there is no run in the folder, or the port is taken.
    """
    Workspace.open(out)
    import dashboard.app as page

    _require_free(port)
    console.print(f"the dashboard: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    command = [
        sys.executable, "-m", "streamlit", "run", str(Path(page.__file__)),
        "--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true",
        "--browser.gatherUsageStats=false", "--server.fileWatcherType=none",
        "--client.toolbarMode=viewer", "--", "--out", str(out.resolve()),
    ]  # fmt: skip
    environment = os.environ | {"STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"}
    os.execvpe(command[0], command, environment)  # noqa: S606  (so that signals reach it)


def _require_free(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise WorkspaceRefused(
                f"--port {port} is taken on this machine: name another, or end what listens there"
            ) from error


def _dossier(out: Path, run_id: str) -> Dossier:
    views: Views = open_views(out)
    try:
        return views.dossier(run_id)
    finally:
        views.close()


def _verified_dossier(out: Path, run_id: str, *, public: bytes | None = None) -> Dossier:
    """Returns a run after all records were held to the log; the dossier says what came of it."""
    with closing(open_views(out)) as views:
        return replace(views.dossier(run_id), verification=views.verification(public))


def _sites_table(run: dict[str, Any]) -> Table:
    exact = ("AUROC*", "accuracy*") if run["simulation"] else ()
    table = _table("  hospital", *exact, "accuracy released", "epsilon", "delta")
    for site, figures in run["sites"].items():
        spent = run["epsilon"][site]
        table.add_row(
            Text(f"  {site}"),
            *(_exact(figures[name.lower().rstrip("*")]) for name in exact),
            Text(_interval_text(figures["accuracy_released"])),
            "none" if spent["epsilon"] is None else show(spent["epsilon"], Form.EPSILON),
            "" if spent["delta"] is None else show(spent["delta"], Form.SMALL),
        )
    return table


def _own_notes(run: dict[str, Any]) -> dict[str, str]:
    """Returns of each hospital the note of its released accuracy."""
    sites = run["sites"].items()
    return {site: (figures["accuracy_released"] or {}).get("note", "") for site, figures in sites}


def _exact(value: float | None) -> str:
    return "not available" if value is None else f"{value:.3f}"


def _interval_text(interval: dict[str, Any] | None) -> str:
    if interval is None or interval["value"] is None or interval["note"]:
        note = interval["note"] if interval else ""
        return note or "not available"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _released(interval: dict[str, Any] | None) -> str:
    """Returns a released figure in a sentence; one that was withheld is not called released."""
    withheld = interval is None or interval["value"] is None or interval["note"]
    return f"{'not released:' if withheld else 'released'} {_interval_text(interval)}"


def _table(*headings: str) -> Table:
    """Returns a table in which nothing is cut: in a narrow terminal lines are broken."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
