"""Simulates a consortium on one machine: a local Ray, whose actors hold the hospitals.

The same state machines and the same bytes as between real hospitals; only the
link differs. Each run's coordinator is torch-free: the driver's process for a
single run, a Ray task for a run of a sweep; only of a study that names layers or
parameters the driver builds the network once, to refuse it before anything starts.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from collegium.output.progress import Watch
from collegium.simulation.consortium import consortium
from collegium.simulation.pricing import budget_for
from collegium.simulation.runs import run_study
from collegium.simulation.settings import SimulationSettings, require_network
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.membership.directory import is_coordinator
from coordinator.rounds.round_records import RoundRecords
from coordinator.rounds.run_records import RunRecord, new_run_id
from coordinator.views.one_run.simulated import killed_runs
from protocol.errors import FederationError, WorkspaceRefused
from protocol.identity.roster import parse_roster
from protocol.study.study import Study
from protocol.study.study_file import index_beside


def simulate_study(
    study: Study, folder: Path, out: Path, settings: SimulationSettings, watch: Watch
) -> dict[str, Any]:
    """Runs one study in an output folder, new or used, and writes its page; returns its JSON.

    Args:
        study: the study.
        folder: where its document lies; an index file that it names is read from there.
        out: the output folder.
        settings: what the simulation is told beside the study.
        watch: begins to show the run's progress.

    Raises:
        FederationError: see the tree; nothing that was finished is lost.
    """
    from collegium.output.folder_page import finish_folder

    settings.require_sources(study)
    require_network(study)
    index = index_beside(study, folder)
    enough = budget_for([study])
    with simulation_folder(out) as workspace, watch(study, 0, True) as progress:
        progress.say("starting the hospitals")
        with consortium(workspace, study, settings, enough) as hospitals:
            run_id = run_study(hospitals, study, index, new_run_id(), None, progress)
    return finish_folder(workspace, run_id)


@contextmanager
def simulation_folder(out: Path) -> Iterator[Workspace]:
    """Yields an output folder, at work: a new one, or one in which simulations were run before.

    In one folder live one consortium and its patients: what every run costs them adds
    up in the same ledgers, and runs of one question stand in one chart. A new folder is
    taken away again if nothing was ever begun in it.

    Raises:
        WorkspaceRefused: it holds something else, or another process is at work in it.
    """
    existed, is_new = out.exists(), not (out / "collegium.db").is_file()
    workspace = Workspace.create(out) if is_new else _simulated(out)
    try:
        with workspace.at_work():
            _end_killed(workspace)
            yield workspace
    except FederationError:
        if is_new and not _has_begun(workspace):
            workspace.discard(keep_folder=existed)
        raise


def _simulated(out: Path) -> Workspace:
    if is_coordinator(out):
        raise WorkspaceRefused(
            f"--out {out} is a network coordinator's folder: choose another for simulations"
        )
    return Workspace.open(out)


def _has_begun(workspace: Workspace) -> bool:
    with closing(Store(workspace.database)) as store:
        return store.has_rounds()


def _end_killed(workspace: Workspace) -> None:
    """Writes down that runs have ended whose process was killed: nobody else is at work here."""
    with closing(Store(workspace.database)) as store:
        key = workspace.signing_key()
        with store.read() as session:
            killed = [(row.id, row.roster_json, study) for row, study in killed_runs(session)]
        for run_id, roster, study in killed:
            for context in RoundRecords(store, key, run_id).abandon():
                RoundArchive(workspace.rounds).drop(context)
            record = RunRecord(store, key, parse_roster(roster.encode()), study, run_id)
            record.end(FederationError("its process ended before the run did"))
