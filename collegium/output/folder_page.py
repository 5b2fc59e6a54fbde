"""The page of a consortium's folder: about its newest run or sweep."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from compliance.facts.dossier import run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html
from coordinator.database.pages import keep_page
from coordinator.database.workspace import Workspace
from coordinator.views.views import Views, open_views


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


def shown_of_sweep(views: Views, run_ids: Sequence[str]) -> str:
    """Returns the run that a sweep's page is about: its last one that protects patients."""
    protected = {run.run_id for run in views.runs() if run.epsilon is not None}
    return ([run_id for run_id in run_ids if run_id in protected] or list(run_ids))[-1]


def keep_sweep_page(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Writes the folder's page about a sweep; the runs are in the sweep's order."""
    with closing(open_views(workspace.root)) as views:
        shown = shown_of_sweep(views, run_ids)
        dossier, points = views.dossier(shown), views.utility(shown)
        withheld = views.withheld(shown)
    keep_page(workspace, render_html(run_page(dossier, points, withheld)))
