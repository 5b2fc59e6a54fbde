"""The spent, reserved and remaining budgets of a folder's simulated hospitals.

It looks and changes nothing: databases are opened for reading alone.
"""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study import Study
from silos.config.directory import read_own
from silos.config.site_file import site_file_of
from silos.database.database import read_hospital
from silos.operations.budget import print_budgets, read_budget, require_cost


def show_budgets(
    out: Path, site: str | None, study: Study | None, console: Console
) -> dict[str, Any]:
    """Shows every hospital's budget; returns it for ``--json``.

    Args:
        out: the folder that holds the simulated hospitals.
        site: one hospital; all when None.
        study: what a forecast is wanted for.
        console: where people read it.

    Raises:
        WorkspaceRefused: there is no hospital in the folder, or not this one.
        StudyRefused: the study has nothing to forecast here.
        LedgerBroken: a ledger is damaged; says whose.
    """
    databases = _databases(out, site)
    if study is not None:
        _require_forecast(study, databases)
    found = {name: _read(path, name, study) for name, path in databases.items()}
    print_budgets(found, console)
    unprotected = _runs_without_privacy(Workspace(out))
    if unprotected:
        console.print(
            f"  trained on the same patients without differential privacy: "
            f"{', '.join(unprotected)}. That costs no budget, and nothing bounds what it shows",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    return {"hospitals": found, "runs_without_privacy": unprotected}


def _runs_without_privacy(workspace: Workspace) -> list[str]:
    if not Path(workspace.database).is_file():
        return []
    with closing(open_views(workspace.root)) as views:
        return [run.run_id for run in views.runs() if run.mode == "none"]


def show_own_budget(home: Path, study: Study | None, console: Console) -> dict[str, Any]:
    """Shows one hospital's own budget; returns it like ``show_budgets``.

    Raises:
        WorkspaceRefused, SiteFileRefused: the folder holds no hospital.
        StudyRefused: the study has nothing to forecast here.
        PolicyRefused: no budget was opened.
        LedgerBroken: the ledger is damaged.
    """
    site = site_file_of(home)
    hospital = read_own(home, site)
    try:
        if study is not None:
            require_cost(study)
            if site.name not in study.site_names:
                raise StudyRefused(f"study {study.name} is not for {site.name}")
        found = {site.name: read_budget(hospital, study, site.stated)}
    finally:
        hospital.close()
    print_budgets(found, console)
    return {"hospitals": found}


def forecasts(out: Path, study: Study) -> dict[str, dict[str, Any]]:
    """Returns what a study takes of the budget of each hospital that is in a folder, by site.

    A hospital that is not there yet, or a study without privacy, has none.

    Raises:
        LedgerBroken: a ledger is damaged; says whose.
    """
    found = sorted(Workspace(out).silos.glob("*/hospital.db"))
    asked = {path.parent.name: path for path in found if path.parent.name in study.site_names}
    read = {site: _read(path, site, study)["forecast"] for site, path in asked.items()}
    return {site: forecast for site, forecast in read.items() if forecast is not None}


def _databases(out: Path, wanted: str | None) -> dict[str, Path]:
    found = {path.parent.name: path for path in sorted(Workspace(out).silos.glob("*/hospital.db"))}
    if not found:
        raise WorkspaceRefused(f"--out {out} holds no simulated hospitals: name a run's folder")
    if wanted is None:
        return found
    if wanted not in found:
        raise WorkspaceRefused(f"--site {wanted!r} is not here: there are {', '.join(found)}")
    return {wanted: found[wanted]}


def _require_forecast(study: Study, databases: Mapping[str, Path]) -> None:
    require_cost(study)
    if not set(study.site_names) & set(databases):
        raise StudyRefused(
            f"study {study.name} is for {', '.join(study.site_names)}: none of these hospitals"
        )


def _read(path: Path, site: str, study: Study | None) -> dict[str, Any]:
    hospital = read_hospital(path, site=site)
    invited = study is not None and site in study.site_names
    try:
        return read_budget(hospital, study if invited else None)
    finally:
        hospital.close()
