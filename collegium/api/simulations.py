"""Simulations and sweeps, as the commands of these names run them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from collegium.api.chart import Chart
from collegium.api.folder import Folder
from collegium.api.inputs import PathLike, as_path, number_of
from collegium.api.run import Run
from collegium.api.study import Study, records_of, study_of
from collegium.output.notebook_progress import watch_for
from collegium.simulation.settings import SimulationSettings, usual_processes
from collegium.simulation.simulate import simulate_study
from collegium.simulation.sweeps.grid import Grid
from collegium.simulation.sweeps.sweep import sweep_studies
from compliance.facts.comparison.modes import comparison_json
from compliance.reports.document import Block, Paragraph
from compliance.reports.renderers import render_fragment
from compliance.reports.sections import utility
from coordinator.views.views import open_views
from protocol.errors import StudyRefused


def simulate(
    study: Study | PathLike,
    *,
    out: PathLike,
    data: PathLike | None = None,
    budget: float | None = None,
    test_noise: bool = False,
    workers: int = 1,
    gpu: bool = False,
    processes: int | None = None,
    ray_address: str | None = None,
    ray_token_file: PathLike | None = None,
    progress: bool | None = None,
) -> Run:
    """Runs a study with every hospital simulated on this machine.

    Stopping the cell stops the run; what was finished is kept, and the run says ``stopped``.

    Args:
        study: a study, or the path of its document.
        out: the folder for the run: new, or one with earlier simulations. There the same patients
            pay for every run, and runs that ask the same stand in one chart.
        data: the folder that holds the records the study names; bundled records need none.
        budget: each hospital's budget for life (epsilon); 10, or what the study needs, by default.
        test_noise: repeatable noise, for tests: no privacy is claimed.
        workers: processes that compute gradients in each hospital.
        gpu: whether the hospitals compute on this machine's GPU, or on those of the cluster.
        processes: processes that hold the hospitals; by default one a core.
        ray_address: ``host:port`` of the head of a Ray cluster, on whose nodes the workers are.
        ray_token_file: the file that holds the cluster's token, for its owner alone.
        progress: whether to show it; by default in a notebook and in a terminal.

    Returns:
        The run.

    Raises:
        StudyRefused: the study cannot be read, or cannot keep what it promises.
        CohortRefused: records are missing or do not fit the contract.
        WorkspaceRefused: the folder holds something else, or another process is at work in it.
        BudgetSpent: the patients' budget does not suffice.
        QuorumLost: the run failed on its way.
        DeviceRefused: the Ray cluster does not let this machine in, or has too little room.

    Example::

        run = cg.simulate("study.yaml", data="records", out="first-out")
    """
    chosen = study_of(study)
    settings = SimulationSettings(
        data=records_of(chosen, data),
        budget=budget,
        test_noise=test_noise,
        workers=workers,
        gpu=gpu,
        processes=usual_processes() if processes is None else processes,
        ray_address=ray_address,
        ray_token_file=None if ray_token_file is None else as_path(ray_token_file),
    )
    folder = as_path(out)
    with _for_this_user_alone():
        run = simulate_study(chosen.document, chosen.folder, folder, settings, watch_for(progress))
    return Run(folder, run["run_id"])


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, compared.

    Attributes:
        out: the folder.
        run_ids: the names of its runs, in the order of modes, epsilons and seeds.

    Example::

        swept = cg.sweep("study.yaml", out="sweep-out", epsilon=[0.5, 2, None], seeds=range(1, 4))
        swept.summary()
        swept.chart()
    """

    out: Path
    run_ids: tuple[str, ...]
    note: str = ""

    def runs(self) -> pd.DataFrame:
        """Returns the sweep's runs, in its order; columns as ``Folder.runs``.

        Example::

            swept.runs()[["epsilon", "seed", "auroc"]]
        """
        return Folder(self.out).runs().loc[list(self.run_ids)]

    def summary(self) -> pd.DataFrame:
        """Returns the mean of the headline figure of each mode at each epsilon.

        It is over all runs in the folder that ask the same, as the chart is.

        Returns:
            A row for each mode and epsilon (missing: without privacy): ``mean``, ``low`` and
            ``high``, its 95 % interval over ``count`` repetitions (missing for fewer than three),
            ``over`` (seeds or splits), how many runs were ``withheld``, and how many are
            ``next_to_chance``. Exact figures where there are any, else released ones.

        Example::

            swept.summary()[["mode", "epsilon", "mean"]]
        """
        with closing(open_views(self.out)) as views:
            last = self.run_ids[-1]
            found = comparison_json(views.utility(last), views.withheld(last))
        name = found["figure"]
        rows = [
            {
                "mode": level["mode"],
                "epsilon": level["epsilon"],
                "mean": level[name]["mean"],
                "low": (level[name]["interval"] or [None])[0],
                "high": (level[name]["interval"] or [None])[-1],
                "count": level[name]["count"],
                "over": level[name]["over"],
                "withheld": level["withheld"],
                "next_to_chance": level["next_to_chance"],
            }
            for level in found["levels"]
        ]
        figures = {"epsilon": float, "mean": float, "low": float, "high": float}
        return pd.DataFrame(rows).astype(figures)

    def utility(self) -> pd.DataFrame:
        """Returns utility against privacy, a row for each AUROC; columns as ``Run.utility``.

        Example::

            swept.utility().query("kind == 'released'")
        """
        return self._last.utility()

    def chart(self) -> Chart:
        """Draws utility against privacy over all runs in the folder that ask the same.

        Raises:
            WorkspaceRefused: no run has a figure.

        Example::

            swept.chart().save("utility.svg")
        """
        return self._last.chart()

    @property
    def _last(self) -> Run:
        return Run(self.out, self.run_ids[-1])

    def __repr__(self) -> str:
        table = self.summary()
        return f"Sweep of {len(self.run_ids)} runs in {self.out}\n{table.to_string(index=False)}"

    def _repr_html_(self) -> str:
        with closing(open_views(self.out)) as views:
            last = self.run_ids[-1]
            blocks: list[Block] = [
                *utility.utility_section(views.utility(last), views.withheld(last)).blocks
            ]
        if self.note:
            blocks.append(Paragraph(text=self.note))
        return render_fragment((), blocks, title=f"Sweep of {len(self.run_ids)} runs")


def sweep(
    studies: Study | PathLike | Sequence[Study | PathLike],
    *,
    out: PathLike,
    epsilon: float | None | Sequence[float | None],
    seeds: int | Sequence[int] = 1,
    modes: Sequence[str] = (),
    splits: bool = False,
    data: PathLike | None = None,
    budget: float | None = None,
    workers: int = 1,
    gpu: bool = False,
    processes: int | None = None,
    ray_address: str | None = None,
    ray_token_file: PathLike | None = None,
    progress: bool | None = None,
) -> Sweep:
    """Compares epsilons, seeds and modes of privacy: utility against privacy.

    Args:
        studies: one study, or one for each mode; paths of documents will do.
        out: the folder, new or with earlier simulations.
        epsilon: one or several; None trains without privacy.
        seeds: one or several seeds of the model.
        modes: ``per_site``, ``distributed``, ``pooled`` (all records in one place, a simulation
            only); by default each study's own.
        splits: each seed splits the patients anew, so that intervals contain the variance of the
            split. Every run is then charged to every patient in full.
        data: the folder that holds the records; bundled records need none.
        budget: each hospital's budget for life; by default what the whole sweep needs.
        workers, gpu, processes, ray_address, ray_token_file: as in ``simulate``.
        progress: whether to show it; by default in a notebook and in a terminal.

    Returns:
        The sweep.

    Raises:
        StudyRefused: studies that cannot be compared, or an epsilon, seed or mode that makes no
            sense.
        CohortRefused, WorkspaceRefused, BudgetSpent, QuorumLost, DeviceRefused: as ``simulate``.

    Example::

        cg.sweep(study, out="sweep-out", epsilon=[0.5, 1, 2, None], seeds=range(1, 4)).chart()
    """
    given = [studies] if isinstance(studies, Study | str | os.PathLike) else list(studies)
    chosen = [study_of(one) for one in given]
    if not chosen:
        raise StudyRefused("studies: name at least one study")
    alone = isinstance(epsilon, str) or not isinstance(epsilon, Iterable)
    epsilons: list[Any] = [epsilon] if alone else [*epsilon]  # type: ignore[misc]
    named = [modes] if isinstance(modes, str) else [*modes]
    grid = Grid.parsed(
        ",".join("none" if one is None else repr(number_of(one)) for one in epsilons),
        ",".join(map(str, [seeds] if isinstance(seeds, int) else [*seeds])),
        ",".join(named) if named else None,
        splits=splits,
    )
    settings = SimulationSettings(
        data=records_of(chosen[0], data),
        budget=budget,
        workers=workers,
        gpu=gpu,
        processes=usual_processes() if processes is None else processes,
        ray_address=ray_address,
        ray_token_file=None if ray_token_file is None else as_path(ray_token_file),
    )
    folder, documents = as_path(out), [(one.document, one.folder) for one in chosen]
    with _for_this_user_alone():
        run_ids = sweep_studies(documents, folder, grid, settings, watch_for(progress))
    return Sweep(folder, tuple(run_ids), grid.warning)


@contextmanager
def _for_this_user_alone() -> Iterator[None]:
    """Lets what is written meanwhile be read by its own user alone, as the command does."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
