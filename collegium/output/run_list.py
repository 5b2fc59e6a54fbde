"""``runs list``: a line about every run of a folder, on stdout.

It is asked often, so nothing is imported here that draws or computes.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compliance.facts.formatting import Format, show
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.views import open_views


def list_runs(out: Path, console: Console, *, as_json: bool) -> list[dict[str, Any]]:
    """Lists the runs in a folder, newest first; returns them for ``--json``."""
    with closing(open_views(out)) as views:
        runs = views.runs()
    if not as_json:
        console.print(_table(runs) if runs else "no run yet")
    return [
        {
            "run_id": run.run_id,
            "study": run.study_name,
            "state": run.state,
            "progress": asdict(run.progress) if run.progress else None,
            "started_at": run.started_at,
            "seed": run.seed,
            "split": run.split,
            "mode": run.mode,
            "epsilon": run.epsilon,
            "test_noise": run.test_noise,
            "simulation": run.simulation,
            "figure": run.figure.name,
            run.figure.name: run.exact,
            f"{run.figure.name}_released": run.released and asdict(run.released),
            "sweep": run.sweep,
        }
        for run in runs
    ]


def _table(runs: Sequence[RunSummary]) -> Table:
    """Returns five columns, so that 80 characters are enough; long names are broken."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("run", "study", "state", "privacy", "figure"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "run")
    for run in runs:
        cells = (run.run_id, run.study_name, _state(run), _privacy(run), _figure(run))
        table.add_row(*map(Text, cells))
    titles = dict.fromkeys(run.figure.title for run in runs)
    table.caption = (
        f"figure: {', '.join(titles)}; exact for a simulation (*), released with its 95 % interval "
        "otherwise: over patients and noise, of that one run"
    )
    table.caption_justify = "left"
    return table


def _state(run: RunSummary) -> str:
    """Returns a run's state, and how far it is while it is under way on a network."""
    if run.progress is None:
        return run.state
    waited = f" for {', '.join(sorted(run.progress.asked))}" if run.progress.asked else ""
    return f"{run.progress.state}{waited}, {run.progress.place}"


def _privacy(run: RunSummary) -> str:
    """Returns the mode and its promise: with fixed test noise none."""
    if run.test_noise:
        return "none: test noise"
    if run.epsilon is None:
        return run.mode
    return f"{run.mode} \u03b5 {show(run.epsilon, Format.EPSILON)}"


def _figure(run: RunSummary) -> str:
    """Returns a simulation's exact figure, or the released one, or why there is none."""
    is_count = run.figure.form is Format.COUNT
    if run.exact is not None:
        return f"{show(run.exact, Format.COUNT) if is_count else f'{run.exact:.3f}'}*"
    found = run.released
    if found is None or found.value is None:
        return (found.note if found else "") or "-"
    if is_count:
        return show(found, Format.COUNT)
    return f"{found.value:.2f} ({found.low:.2f}-{found.high:.2f})"
