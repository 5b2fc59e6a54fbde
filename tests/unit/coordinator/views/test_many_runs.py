"""Views of a store of many runs, on SQLite and PostgreSQL: the same answers, with few queries."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from compliance.audit.log import NewEntry
from coordinator.audit.cosignature_check import check_cosignatures
from coordinator.audit.faults import Faults
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.views.log.cosigners import cosigned_log
from coordinator.views.log.search import LogQuery
from coordinator.views.one_run.rows import released_figures, study_of
from coordinator.views.one_run.simulated import exact_figures
from coordinator.views.views import Views, open_views
from protocol.encoding import digest
from protocol.errors import StoreBroken
from tests.support.hospital.people import CLEO
from tests.support.large_store.store import SMALL, fill_folder
from tests.support.large_store.templates import Templates, made_templates
from tests.support.simulated.output_folder import change

SIZE = replace(SMALL, modes=1)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    scratch = tmp_path_factory.mktemp("templates")
    return made_templates(scratch, rounds=SIZE.rounds, sites=SIZE.sites, modes=1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def folder(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = None
    if request.param == "postgresql":
        place = request.getfixturevalue("postgres").new_schema()
    return fill_folder(tmp_path_factory.mktemp("store") / "out", templates, SIZE, place)


@pytest.fixture
def views(folder: Path) -> Iterator[Views]:
    with closing(open_views(folder)) as found:
        yield found


def statements(views: Views, ask: Callable[[], Any]) -> int:
    """How many statements a view needs."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    engine = views._store._engine
    event.listen(engine, "before_cursor_execute", counted)
    ask()
    event.remove(engine, "before_cursor_execute", counted)
    return count


def test_copies_of_runs_are_what_their_log_says(views: Views) -> None:
    assert views.verification().faults == ()


def test_a_list_of_runs_says_what_each_run_says(views: Views) -> None:
    runs = views.runs()
    assert len(runs) == SIZE.runs and [r.started_at for r in runs] == sorted(
        (r.started_at for r in runs), reverse=True
    )
    with views._store.read() as session:
        for run in runs:
            row = session.get_one(RunRow, run.run_id)
            study = study_of(session, row)
            released = released_figures(session, row.id, study)
            assert (run.study_name, run.seed) == (study.name, study.seeds.model)
            assert run.exact == exact_figures(row).get("auroc")
            assert (run.released is None) == (released is None)
            if released is not None and run.released is not None:
                assert vars(run.released) == released["figures"]["auroc"]
    assert {run.state for run in runs} == {"finished", "failed", "interrupted"}
    done = {run.state: run.rounds_done for run in runs}
    assert (done["finished"], done["failed"]) == (SIZE.rounds, SIZE.rounds // 2 or 1)


def test_the_queries_of_a_list_do_not_grow_with_its_runs(views: Views) -> None:
    assert statements(views, views.runs) <= 8
    assert statements(views, views.runs) <= 7  # of a run under way everything is read again
    assert statements(views, views.calendars) <= 4
    assert statements(views, views.cosigned_log) <= 12


def test_cosigners_are_those_that_a_look_at_every_head_finds(views: Views) -> None:
    found = views.cosigned_log()
    with views._store.read() as session:
        faults = Faults()
        whole = check_cosignatures(session, (), faults)
        again = cosigned_log(session)
    assert not found.faults and found == again
    newest = {key.name: size for key, (size, _) in whole.newest.items()}
    assert len(newest) == 3
    assert sorted(one.size for one in found.cosigners if one.size) == sorted(newest.values())
    assert found.quorum_size == max(newest.values())


def test_an_entry_more_is_another_version(views: Views, folder: Path) -> None:
    before = views.version()
    assert before == views.version()
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store, store.transaction() as transaction:
        entry = NewEntry(type="page", run_id=None, payload=digest(b""))
        transaction.log([entry], workspace.signing_key())
    after = views.version()
    assert after.size == before.size + 1 and after.root != before.root
    assert views.search_log(LogQuery(), limit=1).entries[0].entry.type == "page"


def test_so_many_of_the_newest_acts_are_read(views: Views) -> None:
    everything = views.acts()
    assert views.acts(newest=2) == everything[-2:]
    assert views.acts(newest=10**6) == everything


def test_a_search_finds_the_entries_of_a_persons_acts_and_no_others(views: Views) -> None:
    acts = {act.digest for act in views.acts() if act.person == CLEO}
    page = views.search_log(LogQuery(person=CLEO), limit=1000)
    assert page.next is None and {one.entry.payload for one in page.entries} == acts
    every = views.search_log(LogQuery(words="act-"), limit=1000).entries
    assert page.entries == tuple(one for one in every if one.entry.payload in acts)


def test_a_damaged_row_is_one_clear_error(templates: Templates, tmp_path: Path) -> None:
    folder = fill_folder(tmp_path / "out", templates, replace(SIZE, runs=2, acts=0, alerts=0))
    change(folder, "UPDATE release SET payload_json = '{' WHERE kind = 'evaluation'")
    with closing(open_views(folder)) as views, pytest.raises(StoreBroken, match="database|damaged"):
        views.runs()
