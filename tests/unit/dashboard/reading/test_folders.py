"""Several folders in one view: runs by their folders' names, figures of a question together."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from dashboard.reading.cached import CachedViews
from dashboard.reading.folders import SeveralFolders, views_of
from protocol.errors import PolicyRefused, WorkspaceRefused
from tests.support.hospital.people import People
from tests.support.large_store.store import SMALL, fill_folder
from tests.support.large_store.templates import made_templates
from tests.support.simulated.begun_run import RUN, begin_run

SIZE = replace(SMALL, runs=3, acts=0, alerts=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    scratch = tmp_path_factory.mktemp("folders")
    (scratch / "templates").mkdir()
    templates = made_templates(scratch / "templates", rounds=SIZE.rounds, sites=SIZE.sites, modes=1)
    first = fill_folder(scratch / "one", templates, SIZE)
    return [first, fill_folder(scratch / "two", templates, replace(SIZE, runs=2))]


def test_runs_of_all_folders_stand_under_their_folders_names(folders: list[Path]) -> None:
    views = views_of(folders)
    runs = views.runs()
    assert [run.folder for run in runs].count("one") == 3 and len(runs) == 5
    assert len({run.run_id for run in runs}) == 5
    assert [run.started_at for run in runs] == sorted((r.started_at for r in runs), reverse=True)
    for run in runs:
        dossier = views.dossier(run.run_id)
        assert (dossier.run_id, dossier.started_at) == (run.run_id, run.started_at)
    assert {alert.run.split("/")[0] for alert in views.alerts() if alert.run} == {"one", "two"}


def test_figures_of_one_question_come_from_every_folder(folders: list[Path]) -> None:
    views, (first, second) = views_of(folders), [views_of([folder]) for folder in folders]
    run = next(one for one in views.runs() if one.state == "finished" and one.folder == "one")
    own = first.utility(run.run_id.split("/")[1])
    other = second.utility(second.runs()[0].run_id)
    assert sorted(map(repr, views.utility(run.run_id))) == sorted(map(repr, [*own, *other]))


def test_a_folder_is_verified_by_itself_and_faults_name_it(folders: list[Path]) -> None:
    kept = views_of(folders).verified()
    assert kept is not None and kept.result.faults == ()
    assert kept.size == sum(views_of([one]).version().size for one in folders)


def test_what_is_of_one_log_is_looked_at_with_one_folder(folders: list[Path]) -> None:
    views = views_of(folders)
    with pytest.raises(WorkspaceRefused, match="several folders are open"):
        views.proof(1)
    with pytest.raises(WorkspaceRefused, match="they begin with one/..., two/..."):
        views.dossier("three/run")


def test_a_folder_with_people_stands_alone(tmp_path: Path, folders: list[Path]) -> None:
    governed = begin_run(tmp_path / "governed")
    workspace = Workspace.open(governed)
    with closing(Store(workspace.database)) as store:
        People.over(store, workspace.signing_key()).found_first()
    with pytest.raises(PolicyRefused, match="people are registered in governed: open that folder"):
        views_of([*folders, governed])
    assert isinstance(views_of([governed]), CachedViews)


def test_the_same_run_may_stand_in_two_folders_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    both = [begin_run(tmp_path / name / "out") for name in ("a", "b")]
    views = views_of(both)
    assert isinstance(views, SeveralFolders)
    assert {run.run_id for run in views.runs()} == {f"a-out/{RUN}", f"b-out/{RUN}"}
    assert isinstance(views_of([both[0], both[0]]), CachedViews)
