"""Simulates a consortium on one machine: a local Ray, one actor per hospital.

The same state machines and the same bytes as between real hospitals; only the
link differs. Each run's coordinator is torch-free: the driver's process for a
single run, a Ray task for a run of a sweep.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.consortium import Settings, consortium
from collegium.pricing import budget_for
from collegium.progress import Progress
from collegium.runs import new_run_id, run_study
from compliance.study_shelf import index_beside
from coordinator.store import Store
from coordinator.workspace import Workspace
from protocol.errors import (
    FederationError,
)
from protocol.study import Study


def simulate_study(
    study: Study, folder: Path, out: Path, settings: Settings, console: Console
) -> dict[str, Any]:
    """Runs one study in a new output folder; returns the run's JSON.

    Raises:
        FederationError: see the tree; nothing that was finished is lost.
    """
    from collegium.show import finish_folder, summarise

    settings.require_sources(study)
    index = index_beside(study, folder)
    priced = with_budget(settings, budget_for([study]))
    with fresh_workspace(out) as workspace, Progress(console, study) as progress:
        progress.say("starting the hospitals")
        with consortium(workspace, study, priced) as hospitals:
            run_id = run_study(hospitals, study, index, new_run_id(), None, progress)
    result = finish_folder(workspace, run_id)
    summarise(result, workspace, console)
    return result


@contextmanager
def fresh_workspace(out: Path) -> Iterator[Workspace]:
    """Yields a new output folder, at work; takes it away again if nothing was ever begun in it.

    A study that was refused before its first round leaves nothing behind, so
    the same command can be given again when the mistake is mended.
    """
    existed = out.exists()
    workspace = Workspace.create(out)
    try:
        with workspace.at_work():
            yield workspace
    except FederationError:
        store = Store(workspace.database)
        begun = store.has_rounds()
        store.close()
        if not begun:
            workspace.discard(keep_folder=existed)
        raise


def with_budget(settings: Settings, budget: float) -> Settings:
    """Returns the settings with a budget, unless one was given."""
    return settings if settings.budget is not None else replace(settings, budget=budget)
