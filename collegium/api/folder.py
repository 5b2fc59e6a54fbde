"""Folder: what runs left behind, and the way to each of them."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from collegium.api.chart import Chart
from collegium.api.frames import budget_frame, rows_of, utility_frame
from collegium.api.inputs import QUIET, PathLike, as_path
from collegium.api.run import Run
from collegium.api.study import Study, study_of
from collegium.output.run_list import list_runs
from collegium.reports.report_files import newest_utility
from compliance.estimates.interval import Interval
from compliance.facts.figures import figure_kind
from compliance.facts.formatting import Cell, Format
from compliance.reports.document import Column, Table
from compliance.reports.renderers import render_fragment
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.counted import counted
from protocol.errors import FederationError, WorkspaceRefused
from silos.config.folder import is_hospital


@dataclass(frozen=True)
class Folder:
    """A folder of runs: a simulation's, a coordinator's, or what a hospital's own folder lists.

    Everything is read anew when it is asked for, also while a run is at work in it.

    Attributes:
        out: the folder.

    Example::

        folder = cg.open("demo-out")
        folder.runs().query("state == 'finished'")
        folder.run().summary()
    """

    out: Path

    def runs(self) -> pd.DataFrame:
        """Returns the runs, newest first.

        Returns:
            A row for each run, indexed by ``run``: ``study``, ``state``, ``started_at``, ``mode``,
            ``epsilon``, ``seed``, ``split``, ``figure`` (the name of its task's headline), a
            column of that name, such as ``auroc`` (exact, a simulation's only), and
            ``auroc_released`` with ``_low``, ``_high`` and ``_note``, ``simulation``,
            ``test_noise`` and ``sweep``. Of a hospital's own folder: ``study``, ``state``,
            ``joined_at``, ``epsilon``, ``releases`` and ``approved_by``.

        Raises:
            WorkspaceRefused: there is no run in the folder.
            StoreBroken: its database is damaged.

        Example::

            folder.runs()[["epsilon", "auroc_released"]]
        """
        if is_hospital(self.out):
            from collegium.verification import own_folder

            return rows_of(_named(own_folder.list_runs(self.out, QUIET)), "run", _OWN)
        found = list_runs(self.out, QUIET, as_json=True)
        names = dict.fromkeys(run["figure"] for run in found) or ("auroc",)
        figures = [f"{name}{part}" for name in names for part in _PARTS]
        return rows_of(_named(found), "run", (*_BEFORE, *figures, *_BEHIND))

    def run(self, name: str | None = None) -> Run:
        """Returns one run.

        Args:
            name: its name, or a beginning that only it has; the newest when left out.

        Raises:
            WorkspaceRefused: there is no such run, or several begin so.

        Example::

            cg.open("demo-out").run().sites()
        """
        with closing(open_views(self.out)) as views:
            if name is not None:
                return Run(self.out, views.dossier(name).run_id)
            runs = views.runs()
        if not runs:
            raise WorkspaceRefused(f"{self.out} holds no run yet")
        return Run(self.out, runs[0].run_id)

    def utility(self) -> pd.DataFrame:
        """Returns utility against privacy over all runs that ask what the newest finished asks.

        Returns:
            See ``Run.utility``.

        Raises:
            WorkspaceRefused: no run is finished.

        Example::

            cg.open("demo-out").utility()
        """
        _, points, withheld = newest_utility(self.out)
        return utility_frame(points, withheld)

    def chart(self) -> Chart:
        """Draws utility against privacy over all runs that ask what the newest finished asks.

        Raises:
            WorkspaceRefused: no run is finished, or none has a figure.

        Example::

            cg.open("demo-out").chart().save("utility.svg")
        """
        from compliance.charts.run import utility_against_epsilon

        _, points, withheld = newest_utility(self.out)
        if not points:
            raise WorkspaceRefused(f"{self.out} holds no run with a figure: nothing to draw")
        return Chart(utility_against_epsilon(points, withheld))

    def budget(self, study: Study | PathLike | None = None) -> pd.DataFrame:
        """Returns what the simulated hospitals' patients have spent, reserved and left.

        Args:
            study: foretells what this study would cost.

        Returns:
            A row for each hospital and each part of its patients (training, evaluation):
            ``epsilon_max`` for life, ``delta``, and the shares of it that are spent, reserved and
            left. With a study, ``fits`` says whether one more run of it fits in.

        Raises:
            WorkspaceRefused: there is no simulated hospital in the folder.
            StudyRefused: the study has nothing to foretell here.
            LedgerBroken: a ledger is damaged.

        Example::

            cg.open("demo-out").budget()
        """
        from collegium.verification.budget import show_budgets

        document = None if study is None else study_of(study).document
        found = show_budgets(self.out, None, document, QUIET)["hospitals"]
        return budget_frame(found)

    @property
    def page(self) -> Path:
        """The page for people that the newest simulation left, ``index.html``."""
        return Workspace(self.out).page

    def __repr__(self) -> str:
        try:
            runs = self.runs()
        except FederationError as error:
            return f"Folder {self.out}: {error}"
        states = ", ".join(f"{n} {state}" for state, n in runs["state"].value_counts().items())
        return f"Folder {self.out}: {counted(len(runs), 'run')}{f' ({states})' if states else ''}"

    def _repr_html_(self) -> str | None:
        try:
            runs = self.runs()
        except FederationError:
            return None  # its plain text says why
        return render_fragment((), (_table(runs),), title=str(self.out))


def open(out: PathLike) -> Folder:
    """Opens a folder of runs for reading; nothing in it is changed.

    Args:
        out: what ``--out`` or ``--home`` named: a simulation's, a coordinator's or a hospital's
            own folder.

    Returns:
        The folder.

    Raises:
        WorkspaceRefused: there is no run in it.
        StoreBroken: its database is damaged.

    Example::

        cg.open("demo-out").runs()
    """
    folder = Folder(as_path(out))
    folder.runs()
    return folder


_BEFORE = ("study", "state", "started_at", "mode", "epsilon", "seed", "split", "figure")
#: The columns of one figure, behind its name.
_PARTS = ("", "_released", "_released_low", "_released_high", "_released_note")
_BEHIND = ("simulation", "test_noise", "sweep")
_OWN = ("study", "state", "joined_at", "epsilon", "releases", "approved_by")
_SHOWN = {
    "study": Format.TEXT, "state": Format.TEXT, "mode": Format.TEXT, "epsilon": Format.EPSILON,
    "releases": Format.COUNT,
}  # fmt: skip
_RELEASED = "_released"


def _named(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    empty = {"value": None, "low": None, "high": None, "note": ""}
    named = []
    for run in runs:
        released = f"{run['figure']}{_RELEASED}" if "figure" in run else None
        named.append(
            {**run, "run": run["run_id"]} | ({released: run[released] or empty} if released else {})
        )
    return named


def _table(runs: pd.DataFrame) -> Table:
    kinds = [figure_kind(name) for name in dict.fromkeys(runs.get("figure", ()))]
    titles = {name: name for name in _SHOWN} | {
        f"{kind.name}{part}": f"{kind.title}{part.replace('_', ' ')}"
        for kind in kinds
        for part in ("", _RELEASED)
    }
    shown = [name for name in titles if name in runs.columns]
    return Table(
        title=counted(len(runs), "run"),
        columns=(
            Column(title="run", form=Format.CODE),
            *(Column(title=titles[n], form=_SHOWN.get(n, Format.RATIO)) for n in shown),
        ),
        rows=tuple(
            (str(name), *(_cell(run, column) for column in shown)) for name, run in runs.iterrows()
        ),
        note="Figures are exact, a simulation's only; released ones have their 95 % interval, or "
        "why there is none."
        if kinds
        else "",
    )


def _cell(run: "pd.Series[Any]", column: str) -> Cell:
    """Returns a cell; what is missing is a dash, and a released figure carries its interval."""

    def known(name: str) -> Any:
        return None if pd.isna(run[name]) else run[name]

    if not column.endswith(_RELEASED):
        found: Cell = known(column)
        return found
    low, high = known(f"{column}_low"), known(f"{column}_high")
    note = known(f"{column}_note") or ""
    return Interval(value=known(column), low=low, high=high, note=note)
