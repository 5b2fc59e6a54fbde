"""Cached views: computed once for all threads, never of an older version of the store, bounded."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compliance.audit.log import NewEntry
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.views.views import Views, open_views
from dashboard.reading.cached import LIVE_SECONDS, CachedViews, SharedResults
from protocol.encoding import digest
from protocol.errors import FederationError, StoreBroken, WorkspaceRefused
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.begun_run import RUN, begin_run


@dataclass
class Time:
    """A clock that is set."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counted:
    """Computes a new number each time."""

    made: int = 0
    waits: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> int:
        self.made += 1
        return self.made


def test_twenty_threads_that_ask_at_once_make_one_computation() -> None:
    results, counted, begun = SharedResults(), Counted(), threading.Barrier(20)

    def slow() -> int:
        assert counted.waits.wait(PATIENCE)
        return counted()

    def asked(_: int) -> int:
        begun.wait(PATIENCE)
        return results.get("runs", None, 1, slow)

    with ThreadPoolExecutor(20) as pool:
        found = [pool.submit(asked, one) for one in range(20)]
        counted.waits.set()
        assert {one.result(PATIENCE) for one in found} == {1}
    assert counted.made == 1


def test_a_result_is_made_anew_of_another_version_and_after_its_life() -> None:
    clock, counted = Time(), Counted()
    results = SharedResults(clock)
    assert [results.get("runs", None, version, counted) for version in (1, 1, 2, 2, 1)] == [
        1, 1, 2, 2, 3,
    ]  # fmt: skip
    results.get("live", None, 1, counted, life=1.5)
    clock.now = 1.4
    assert results.get("live", None, 1, counted, life=1.5) == 4
    clock.now = 1.5
    assert results.get("live", None, 1, counted, life=1.5) == 5


def test_an_error_is_told_and_not_kept() -> None:
    results = SharedResults()

    def fails() -> int:
        raise StoreBroken("away")

    for _ in range(2):
        with pytest.raises(StoreBroken, match="away"):
            results.get("runs", None, 1, fails)
    assert len(results) == 0
    assert results.get("runs", None, 1, lambda: 7) == 7


def test_so_many_results_of_a_kind_are_kept_and_the_one_unused_longest_goes() -> None:
    results, counted = SharedResults(), Counted()
    for key in range(4):
        results.get("subject", key, 1, counted)
    results.get("subject", 0, 1, counted)
    results.get("subject", 4, 1, counted)
    assert (len(results), counted.made) == (4, 5)
    results.get("subject", 0, 1, counted)
    assert counted.made == 5
    results.get("subject", 1, 1, counted)
    assert counted.made == 6
    for key in range(1000):
        results.get("acts", key, 1, counted)
    assert len(results) < 100


@dataclass
class Opened:
    """A folder's cached views with a clock, and how often a view was computed."""

    folder: Path
    clock: Time
    views: CachedViews
    asked: list[str]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    folder, asked, clock = begin_run(tmp_path / "out"), [], Time()

    def counting(name: str) -> Callable[..., object]:
        whole = getattr(Views, name)

        def counted(views: Views, *given: object, **named: object) -> object:
            asked.append(name)
            return whole(views, *given, **named)

        return counted

    for name in ("runs", "notes", "governance"):
        monkeypatch.setattr(Views, name, counting(name))
    with closing(CachedViews(lambda: open_views(folder, checked=False), clock=clock)) as views:
        yield Opened(folder, clock, views, asked)


def add_entry(folder: Path) -> None:
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store, store.transaction() as transaction:
        entry = NewEntry(type="page", run_id=None, payload=digest(b""))
        transaction.log([entry], workspace.signing_key())


def test_one_more_entry_of_the_log_makes_every_view_anew(opened: Opened) -> None:
    assert [opened.views.runs()[0].run_id for _ in range(3)] == [RUN] * 3
    assert opened.asked == ["runs"]
    add_entry(opened.folder)
    opened.clock.now += 1.0
    assert opened.views.runs()[0].run_id == RUN
    assert opened.asked == ["runs", "runs"]
    opened.clock.now += 1000
    opened.views.runs()
    assert opened.asked == ["runs", "runs"]


def test_while_a_run_is_at_work_its_progress_is_read_again(opened: Opened) -> None:
    with Workspace.open(opened.folder).at_work():
        assert opened.views.runs()[0].state == "running"
        opened.clock.now += LIVE_SECONDS / 2
        opened.views.runs()
        assert opened.asked == ["runs"]
        opened.clock.now += LIVE_SECONDS
        opened.views.runs()
        assert opened.asked == ["runs", "runs"]
    opened.clock.now += LIVE_SECONDS
    assert opened.views.runs()[0].state == "interrupted"


def test_people_are_looked_up_again_after_a_minute(opened: Opened) -> None:
    for later in (0.0, 30.0, 60.0):
        opened.clock.now = later
        assert not opened.views.governance().governed
    assert opened.asked == ["governance"] * 2


def test_a_store_that_was_away_is_read_again_when_it_is_back(opened: Opened) -> None:
    opened.views.runs()
    database = opened.folder / "collegium.db"
    kept = {path: path.read_bytes() for path in opened.folder.glob("collegium.db*")}
    for path in kept:
        path.unlink()
    for _ in range(2):
        opened.clock.now += 10
        with pytest.raises(FederationError):
            opened.views.runs()
    for path, data in kept.items():
        path.write_bytes(data)
    opened.clock.now += 10
    assert opened.views.runs()[0].run_id == RUN and database.is_file()


def test_a_newer_store_and_a_damaged_one_are_one_clear_error(opened: Opened) -> None:
    opened.views.runs()
    with closing(Store(opened.folder / "collegium.db")) as store:
        with store.transaction() as transaction:
            transaction.session.connection().exec_driver_sql(
                "UPDATE alembic_version SET version_num = '9999'"
            )
    with closing(CachedViews(lambda: open_views(opened.folder, checked=False))) as views:
        with pytest.raises(StoreBroken, match="written by another version of collegium"):
            views.runs()
    for path in opened.folder.glob("collegium.db*"):
        path.unlink()
    (opened.folder / "collegium.db").write_bytes(b"not a database " * 500)
    opened.clock.now += 10
    with pytest.raises(StoreBroken):
        opened.views.runs()


def test_a_folder_without_runs_is_refused_when_it_is_asked(tmp_path: Path) -> None:
    views = CachedViews(lambda: open_views(tmp_path, checked=False))
    with pytest.raises(WorkspaceRefused, match="holds no run"):
        views.version()
    begin_run(tmp_path / "out")
    views = CachedViews(lambda: open_views(tmp_path / "out", checked=False))
    assert [run.run_id for run in views.runs()] == [RUN]
    assert views.notes() == ()
    views.close()


def test_threads_read_one_store_at_once(opened: Opened) -> None:
    with closing(Store(opened.folder / "collegium.db")) as store:
        with store.transaction() as transaction:
            before = transaction.session.get_one(RunRow, RUN)
            for number in range(30):
                transaction.write(
                    RunRow(
                        id=f"other-{number}", study_digest=before.study_digest, state="failed",
                        simulation=False, test_noise=False, seed=number, sites_json="{}",
                        started_at=before.started_at, roster_json="{}", environment_json="{}",
                    )
                )  # fmt: skip
    with closing(open_views(opened.folder)) as views, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: views.runs(), range(24)))
    assert {len(runs) for runs in found} == {31}
    assert len({runs for runs in found}) == 1
