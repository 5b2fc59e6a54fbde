"""The summary of one run."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from compliance.charts.descriptions import (
    too_small_text,
)
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier, run_json
from compliance.facts.figures import TASK_FIGURES
from compliance.facts.formatting import Format, show
from compliance.reports.one_run.run_page import page_subject
from coordinator.database.pages import page_says
from coordinator.database.workspace import Workspace
from coordinator.views.alerts import Alert
from coordinator.views.views import Views, open_views
from protocol.counted import counted


def summarise(run: dict[str, Any], workspace: Workspace, console: Console) -> None:
    """Prints what a run achieved, what it cost and what to do next."""
    root = workspace.root
    console.print(
        f"\n[bold]{escape(run['study']['title'])}[/bold]  run {run['run_id']}  {run['state']}"
    )
    if "columns" in run:
        _summarise_columns(run, console)
    else:
        _summarise_model(run, console)
    console.print()
    console.print(f"  {run['claim']}", markup=False, soft_wrap=True)
    console.print(
        ("  " if "columns" in run else f"  model {run['model_digest'][:16]}  ")
        + f"audit log {run['audit']['size']} entries, root {run['audit']['root'][:16]}"
    )
    if page_says(workspace, page_subject(run["run_id"])):
        console.print(f"\nThe page about it: {workspace.page}", markup=False, soft_wrap=True)
    elif workspace.page.is_file():
        console.print(f"\n{workspace.page} is about another run", markup=False, soft_wrap=True)
    console.print("\nTry next:")
    for command in next_commands(run["run_id"], root):
        console.print(f"  {command}", markup=False, soft_wrap=True)


def _summarise_model(run: dict[str, Any], console: Console) -> None:
    """Prints the figures of a run's model, of all patients and of each hospital."""
    kinds = TASK_FIGURES[run["task"]].with_asked(run).pooled
    width = max(len(kind.title) for kind in kinds)
    for kind in kinds:
        exact = f"{_exact(run[kind.name])} exact (simulation only), " if run["simulation"] else ""
        released = _released(run[f"{kind.name}_released"])
        console.print(f"  {kind.title:{width}}  {exact}{released}", markup=False)
    if "global_model" in run:
        console.print(f"  {_own_models(run)}", markup=False, soft_wrap=True)
    if "course" in run:
        for sentence in run["course"]["sentences"]:
            console.print(f"  {sentence}", markup=False, soft_wrap=True)
    if "robust" in run:
        console.print(f"  {run['robust']['sentence']}", markup=False, soft_wrap=True)
    if "preregistration" in run:
        said = run["preregistration"]
        console.print(f"  {said['sentence']} {said['timing']}", markup=False, soft_wrap=True)
    for warning in run["warnings"]:
        console.print(f"  {warning}", style="yellow", markup=False, soft_wrap=True)
    console.print()
    console.print(_sites_table(run))
    marked = "* exact, simulation only; " if run["simulation"] else ""
    console.print(f"  {marked}released figures carry their 95 % interval")
    if small := too_small_text(_own_notes(run)):
        console.print(f"  {small}", markup=False, soft_wrap=True)


def _own_models(run: dict[str, Any]) -> str:
    """Returns by which models the figures are, and what the global one reaches."""
    said = "all figures are of the hospitals' own models on their own patients"
    if run["global_model"] is None:
        return said
    headline = TASK_FIGURES[run["task"]].headline
    reached = show(run["global_model"][headline.name], headline.form)
    return f"{said}; by the global model {headline.title} is {reached} exact (simulation only)"


def _summarise_columns(run: dict[str, Any], console: Console) -> None:
    """Prints the figures of every column, exact ones beside where it was a simulation."""
    simulation = run["simulation"]
    exact = f"{run['patients']:,.0f} exact (simulation only), " if simulation else ""
    console.print(
        f"  patients  {exact}released {_shown(run['patients_released'], Format.COUNT)}",
        markup=False,
    )
    console.print()
    moments = (("mean", "mean", Format.NUMBER), ("deviation", "deviation", Format.NUMBER))
    figures = (
        ("patients", "with a value", Format.COUNT),
        ("missing", "missing", Format.RATIO),
        *(moments if any(c["released"]["mean"] for c in run["columns"]) else ()),
    )
    beside = [f"{title}*" for name, title, _ in figures if simulation and name != "patients"]
    table = plain_table("  column", *(title for _, title, _ in figures), *beside)
    for column in run["columns"]:
        released, own = column["released"], column["exact"] or {}
        table.add_row(
            Text(f"  {released['name']}"),
            *(Text(_shown(released[name], form)) for name, _, form in figures),
            *(
                "" if own.get(name) is None else show(own[name], form)
                for name, _, form in figures
                if simulation and name != "patients"
            ),
        )
    console.print(table)
    if run["drift"]:
        console.print(f"  drift: {run['drift']['sentence']}", markup=False, soft_wrap=True)
    console.print()
    sites = plain_table("  hospital", "patients released", "epsilon", "delta")
    for site, found in run["sites"].items():
        spent = run["epsilon"][site]
        sites.add_row(
            Text(f"  {site}"),
            _shown(found["patients_released"], Format.COUNT),
            "none"
            if spent["evaluation_epsilon"] is None
            else show(spent["evaluation_epsilon"], Format.EPSILON),
            "" if spent["delta"] is None else show(spent["delta"], Format.SMALL),
        )
    console.print(sites)
    marked = "* exact, simulation only; " if simulation else ""
    console.print(
        f"  {marked}intervals are 95 %, and cover the noise as well as the sampling of patients"
    )


def _shown(interval: dict[str, Any] | None, form: Format) -> str:
    """Returns a released figure with its interval; nothing of a column that has none."""
    return "" if interval is None else show(Interval(**interval), form)


def next_commands(run_id: str, out: Path) -> tuple[str, str, str]:
    """Returns the three commands that a person wants after a run."""
    # Outside an activated environment the command is only found by its path.
    program = "collegium" if shutil.which("collegium") else _program()
    return (
        f"{program} audit verify --out {out}",
        f"{program} report export {run_id} --format html --to report.html --out {out}",
        f"{program} dashboard --out {out}",
    )


def _program() -> str:
    """Returns how this very command was begun."""
    if Path(sys.argv[0]).name == "__main__.py":
        return "python -m collegium"
    return os.path.relpath(sys.argv[0])


def show_run(out: Path, run_id: str, console: Console, *, as_json: bool) -> dict[str, Any]:
    """Shows one run whole; returns it for ``--json``."""
    dossier, alerts = _dossier(out, run_id)
    found = run_json(dossier) | {"alerts": [alert.to_json() for alert in alerts]}
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
        for alert in alerts:
            console.print(
                f"  alert {alert.number} ({alert.state}): {alert.cause['text']}",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    return found


def _dossier(out: Path, run_id: str) -> tuple[Dossier, tuple[Alert, ...]]:
    """Returns a run, and every alert about it."""
    views: Views = open_views(out)
    try:
        dossier = views.dossier(run_id)
        return dossier, views.alerts(dossier.run_id, closed=True)
    finally:
        views.close()


def _sites_table(run: dict[str, Any]) -> Table:
    figures_of = TASK_FIGURES[run["task"]]
    exact, own = figures_of.pooled[:2] if run["simulation"] else (), figures_of.site[0]
    titles = (f"{kind.title}*" for kind in exact)
    table = plain_table("  hospital", *titles, f"{own.title} released", "epsilon", "delta")
    for site, figures in run["sites"].items():
        spent = run["epsilon"][site]
        table.add_row(
            Text(f"  {site}"),
            *(_exact(figures[kind.name]) for kind in exact),
            Text(_interval_text(figures[f"{own.name}_released"])),
            "none" if spent["epsilon"] is None else show(spent["epsilon"], Format.EPSILON),
            "" if spent["delta"] is None else show(spent["delta"], Format.SMALL),
        )
    return table


def _own_notes(run: dict[str, Any]) -> dict[str, str]:
    """Returns of each hospital the note of its released figure."""
    name = f"{TASK_FIGURES[run['task']].site[0].name}_released"
    return {site: (found[name] or {}).get("note", "") for site, found in run["sites"].items()}


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


def plain_table(*headings: str) -> Table:
    """Returns a table in which nothing is cut: in a narrow terminal lines are broken."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
