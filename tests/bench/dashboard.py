"""The dashboard over many runs: its views, its pages, twenty viewers at once, and its memory.

The floor of the list of runs is SQLite alone with the same cells of the same rows; that of a page
is Streamlit with a page that shows one word. Viewers are real websockets to a server in a process
of its own; one run is at work meanwhile, and the log grows twice a second.
"""

import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from streamlit.testing.v1 import AppTest

from compliance.audit.log import NewEntry
from compliance.governance.access.one_time_codes import code_at
from compliance.storage.clock import utc_now
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.runs.monitoring.progress import RunProgress, write_progress
from coordinator.runs.sign_in import new_account
from coordinator.views.views import Views, open_views
from dashboard.reading.cached import cached_views
from protocol.encoding import digest
from tests.bench.measurement import CPU, OURS, Row, Target, milliseconds, row_of, take_turns
from tests.support.dashboard.viewers import (
    DashboardProcess,
    DashboardViewer,
    logged_in,
    served,
)
from tests.support.hospital.accounts import PASSWORD
from tests.support.large_store.acts import NAMES, key_of
from tests.support.large_store.store import StoreSize, make_large_store

AREA = "dashboard"
#: A store of 100 runs, for the short form.
SHORT = StoreSize(runs=100, rounds=20, sites=4, modes=2)
_BARE, _EMPTY = "bare sqlite3", "an empty page"
_VIEWERS, _SECONDS = 20, 30.0
_MOST_PAINT, _MOST_MIB, _MOST_CORES = 1500, 1024, 1.0
#: So often one open page looks again; its server may then hold so many MiB more.
_LOOKS, _MOST_GROWN = 1000, 10


def rows(size: StoreSize, folder: Path | None = None) -> Iterator[Row]:
    """Yields the rows about a store of a size; ``folder`` names one that was made before."""
    with tempfile.TemporaryDirectory() as scratch:
        out = folder or make_large_store(Path(scratch) / "out", size)
        with closing(open_views(out)) as views:
            entries = views.version().size
            case = f"{len(views.runs())} runs, {entries:,} entries"
        yield _list(out, case)
        yield from _views(out, case)
        yield from _pages(out, case)
        yield from _viewers(out, case)


def _list(out: Path, case: str) -> Row:
    """Returns the row about the list of runs in a process that has read nothing of it."""
    query = (
        "SELECT run.id, run.state, run.started_at, run.ended_at, study.document, run.exact_json, "
        "json_extract(release.payload_json, '$.figures') FROM run JOIN study ON study.digest = "
        "run.study_digest LEFT JOIN release ON release.run_id = run.id AND release.kind = "
        "'evaluation' ORDER BY run.started_at DESC"
    )

    def bare() -> object:
        with closing(sqlite3.connect(out / "collegium.db")) as connection:
            return connection.execute(query).fetchall()

    def ours() -> object:
        with closing(open_views(out, checked=False)) as views:
            return views.runs()

    taken = take_turns({OURS: ours, _BARE: bare}, 5)
    return row_of(AREA, "the list of runs, read anew", case, taken, target=Target(most=300))


def _views(out: Path, case: str) -> Iterator[Row]:
    with closing(open_views(out, checked=False)) as views:
        run = views.newest_finished()
        if run is None:
            raise RuntimeError("no run of the store has finished")
        asked: dict[str, Callable[[Views], object]] = {
            "one run": lambda views: views.dossier(run.run_id),
            "the list of runs, again": Views.runs,
            "utility against epsilon": lambda views: views.utility(run.run_id),
            "people, changes, incidents": Views.governance,
            "who cosigned the log": Views.cosigned_log,
            "one proof": lambda views: views.proof(views.version().size // 2),
        }
        for name, ask in asked.items():
            first = milliseconds(lambda ask=ask: ask(views), clock=CPU)  # type: ignore[misc]
            again = milliseconds(lambda ask=ask: ask(views), clock=CPU)  # type: ignore[misc]
            yield row_of(
                AREA, name, case, {OURS: [first]}, target=Target(most=300), parts={"again": again}
            )
    kept = cached_views(out)
    kept.runs()
    yield row_of(
        AREA, "the list of runs, kept", case,
        {OURS: take_turns({OURS: kept.runs}, 15)[OURS]}, target=Target(most=5),
    )  # fmt: skip


def _script(out: str, name: str) -> None:
    from pathlib import Path  # AppTest runs this text alone

    import streamlit as st

    from dashboard import app
    from dashboard.page import Page
    from dashboard.reading.cached import cached_views

    if name:
        app.show_page(name, Page(views=cached_views(Path(out))))
    else:
        st.write("empty")


def _drawn(out: Path, name: str, address: str = "") -> None:
    page = AppTest.from_function(_script, args=(str(out), name), default_timeout=600)
    if address:
        page.query_params["run"] = address
    page.run()
    if page.exception:
        raise RuntimeError(f"{name} cannot be shown: {page.exception[0].value}")


def _pages(out: Path, case: str) -> Iterator[Row]:
    from dashboard.app import PAGES

    run = next(one.run_id for one in cached_views(out).runs() if one.state == "finished")
    for name, address in (("runs", run), *((name, "") for name in PAGES)):
        works = {
            OURS: lambda name=name, address=address: _drawn(out, name, address),  # type: ignore[misc]
            _EMPTY: lambda: _drawn(out, ""),
        }
        taken = take_turns(works, 3)
        shown = f"{name}, one run" if address else name
        yield row_of(AREA, f"page drawn: {shown}", case, taken, target=Target(most=_MOST_PAINT))


def _viewers(out: Path, case: str) -> Iterator[Row]:
    """Yields what viewers cost who have logged in, while a run is at work.

    Twenty look at the table of runs; before, each person looks at every page, and after them one
    page is looked at so often that a leak would show.
    """
    from dashboard.app import PAGES

    secrets = {name: new_account(out, key_of(name), PASSWORD)[1] for name in NAMES}
    with _run_at_work(out), served(out) as server:
        cookies = [
            logged_in(server.port, name, code_at(secret, utc_now()))
            for name, secret in secrets.items()
        ]
        first = DashboardViewer(server.port, cookies[0])
        first.look([""], 0)
        sessions = [DashboardViewer(server.port, cookie) for cookie in cookies]
        for one in sessions:
            one.look(list(PAGES), 0)
        visited = server.held_mib()
        viewers = [
            DashboardViewer(server.port, cookies[number % len(cookies)])
            for number in range(_VIEWERS)
        ]
        threads = [
            threading.Thread(target=viewer.look, args=(["runs"], _SECONDS)) for viewer in viewers
        ]
        began, used = time.monotonic(), server.cpu_seconds()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cores = (server.cpu_seconds() - used) / (time.monotonic() - began)
        grown = _grown(server, cookies[0])
        peak = server.peak_mib()
    _require_seen(viewers)
    if faults := [fault for one in (first, *sessions) for fault in one.errors]:
        raise RuntimeError(f"a page shows {faults[0]}")
    yield row_of(
        AREA, "the first page after the start", case,
        {OURS: [1000 * paint for paint in first.paints]},
        clock="wall", target=Target(most=_MOST_PAINT),
    )  # fmt: skip
    for place, name in enumerate(PAGES):
        paints = [1000 * one.paints[place] for one in sessions]
        yield row_of(
            AREA, f"page over the server: {name}", case, {OURS: paints}, clock="wall",
            target=Target(most=_MOST_PAINT),
        )  # fmt: skip
    paints = [1000 * paint for viewer in viewers for paint in viewer.paints]
    refreshes = sum(viewer.refreshes for viewer in viewers)
    yield row_of(AREA, f"{_VIEWERS} viewers at once: a page", case, {OURS: paints}, clock="wall")
    yield row_of(
        AREA, f"{_VIEWERS} viewers: cores", case, {OURS: [cores]}, unit="cores", clock="wall",
        target=Target(most=_MOST_CORES), parts={"refreshes": refreshes},
    )  # fmt: skip
    yield row_of(
        AREA, "memory, the most of all", case, {OURS: [peak]}, unit="MiB",
        target=Target(most=_MOST_MIB), clock="wall", parts={"after every page": visited},
    )  # fmt: skip
    yield row_of(
        AREA, f"memory, grown by {_LOOKS:,} looks", case, {OURS: [grown]}, unit="MiB",
        target=Target(most=_MOST_GROWN), clock="wall",
    )  # fmt: skip


def _grown(server: DashboardProcess, cookie: str) -> float:
    """Returns by how much memory grew while one open page looked again and again."""
    DashboardViewer(server.port, cookie).look(["runs"], 0, refreshes=_LOOKS // 5)
    before = server.held_mib()
    DashboardViewer(server.port, cookie).look(["runs"], 0, refreshes=_LOOKS)
    return server.held_mib() - before


def _require_seen(viewers: list[DashboardViewer]) -> None:
    for viewer in viewers:
        if viewer.errors or "dataframe" not in viewer.elements or not viewer.refreshes:
            raise RuntimeError(
                f"a viewer saw {viewer.elements}, {viewer.refreshes} refreshes, {viewer.errors}"
            )


@contextmanager
def _run_at_work(out: Path) -> Iterator[None]:
    """Lets a process be at work in the folder: its newest run goes on, and the log grows."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.dashboard", str(out)])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def work(out: Path) -> None:
    """Is at work in a folder until it is ended."""
    workspace = Workspace.open(out)
    with closing(open_views(out, checked=False)) as views:
        run = next(one for one in views.runs() if one.state == "interrupted")
    key, number = workspace.signing_key(), 0
    with workspace.at_work(), closing(Store(workspace.database)) as store:
        while True:
            number += 1
            entry = NewEntry(type="page", run_id=None, payload=digest(b"%d" % number))
            with store.transaction() as transaction:
                transaction.log([entry], key)
            told = RunProgress(state="running", round=number, rounds=run.rounds, seconds_left=60.0)
            write_progress(workspace.states, run.run_id, told)
            time.sleep(0.5)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
