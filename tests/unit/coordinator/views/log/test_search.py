"""The search over the log finds what it says, in parts that together are the whole."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from compliance.reports.evidence import entry_words
from coordinator.database.store import Store, logged_entries
from coordinator.database.workspace import Workspace
from coordinator.views.log import search
from coordinator.views.log.act_places import ActPlaces
from coordinator.views.log.search import LogPage, LogQuery, search_log
from coordinator.views.views import Views, open_views
from protocol.errors import StoreBroken
from protocol.log.entry import LogEntry
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.output_folder import RUNS, change


@pytest.fixture
def views(genuine: Path) -> Iterator[Views]:
    with closing(open_views(genuine)) as found:
        yield found


def every_entry(folder: Path) -> list[LogEntry]:
    with closing(Store.for_reading(Workspace.open(folder).database)) as store:
        with store.read() as session:
            return [entry.content for entry in logged_entries(session)]


def whole(views: Views, query: LogQuery, limit: int = 7) -> list[int]:
    """Returns all that a search finds, page by page."""
    found: list[int] = []
    before: int | None = None
    while True:
        page = views.search_log(query, before, limit)
        assert len(page.entries) <= limit
        found += [one.entry.index for one in page.entries]
        if page.next is None:
            return found
        assert before is None or page.next < before
        before = page.next


def test_an_empty_search_finds_every_entry_once_the_newest_first(
    genuine: Path, views: Views
) -> None:
    assert whole(views, LogQuery()) == [entry.seq for entry in reversed(every_entry(genuine))]
    assert views.search_log(LogQuery()).size == views.log_size() == len(every_entry(genuine))


@pytest.mark.parametrize("words", ["roster", "ROUND opened", "the run FINISHED", "run-2 result"])
def test_words_are_searched_in_type_and_meaning_whatever_the_case(
    words: str, genuine: Path, views: Views
) -> None:
    wanted = [
        entry.seq
        for entry in reversed(every_entry(genuine))
        if all(
            word in f"{entry.canonical_bytes.decode()} {entry_words(entry.type)}".lower()
            for word in words.lower().split()
        )
    ]
    assert wanted and whole(views, LogQuery(words=words)) == wanted


def test_a_leaf_is_found_by_its_hash(views: Views) -> None:
    entry = views.search_log(LogQuery(), before=8, limit=1).entries[0].entry
    assert whole(views, LogQuery(words=entry.leaf_hash[:20])) == [entry.index]


def test_a_run_is_found_by_its_beginning_and_a_hospital_by_its_runs(
    genuine: Path, views: Views
) -> None:
    entries = every_entry(genuine)
    of_run = [entry.seq for entry in reversed(entries) if entry.run == RUNS[0]]
    assert whole(views, LogQuery(run=RUNS[0])) == of_run
    either = [entry.seq for entry in reversed(entries) if entry.run in RUNS]
    assert whole(views, LogQuery(run="run-")) == either == whole(views, LogQuery(hospital="east"))
    assert whole(views, LogQuery(run="another")) == whole(views, LogQuery(hospital="eas")) == []


def test_times_bound_the_search_the_end_excluded(genuine: Path, views: Views) -> None:
    entries = every_entry(genuine)
    since, until = entries[20].time, entries[60].time
    wanted = [entry.seq for entry in reversed(entries) if since <= entry.time < until]
    assert wanted and whole(views, LogQuery(since=since, until=until)) == wanted


def test_a_person_is_found_by_their_acts_with_what_each_was(folder: Path) -> None:
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        people = People.over(store, workspace.signing_key())
        people.found()
        people.act(BEA, "report.export", ("report", RUNS[1]), {"run": RUNS[1]})
        people.act(CLEO, "incident.open", ("incident", "a laptop"), {"kind": "other",
                                                                   "severity": "high"})  # fmt: skip
    with closing(open_views(folder)) as views:
        page = views.search_log(LogQuery(person=BEA, words="carried out"))
        assert [one.act for one in page.entries] == [
            f"{BEA}: export a report or evidence (report {RUNS[1]})",
            f"{BEA}: confirm a change of another (change 1)",
        ]
        of_both = views.search_log(LogQuery(person=BEA, run=RUNS[1]))
        assert {one.act for one in of_both.entries} == {page.entries[0].act}
        assert whole(views, LogQuery(person="Nobody Known")) == []


def test_acts_are_found_that_came_after_a_search_and_none_of_a_log_that_is_shorter(
    folder: Path,
) -> None:
    def told() -> list[int]:
        return [entry.seq for entry in reversed(every_entry(folder)) if entry.payload in acts]

    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store, closing(open_views(folder)) as views:
        people = People.over(store, workspace.signing_key())
        people.found()
        acts = {act.digest for act in views.acts() if act.person == BEA}
        assert acts and whole(views, LogQuery(person=BEA)) == told()
        people.act(BEA, "report.export", ("report", RUNS[1]), {"run": RUNS[1]})
        acts = {act.digest for act in views.acts() if act.person == BEA}
        assert whole(views, LogQuery(person=BEA)) == told()
    places = ActPlaces()
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        for size in (told()[0] + 1, told()[0], told()[0] + 1):
            wanted = [place for place in reversed(told()) if place < size]
            assert places.read(session, size, acts) == wanted


def test_only_what_may_be_found_is_looked_at(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST", 1)
    assert views.search_log(LogQuery(person="Nobody Known")).next is None
    page = views.search_log(LogQuery(run=RUNS[0]))
    assert [one.entry.run for one in page.entries] == [RUNS[0]]


def test_a_search_that_looked_at_enough_says_where_it_goes_on(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST", 10)
    first = views.search_log(LogQuery(words="study-registered"))
    assert first.entries == () and first.next == first.size - 10
    assert whole(views, LogQuery(words="study-registered")) == [0]


def test_an_entry_that_was_changed_is_refused(folder: Path) -> None:
    change(folder, "UPDATE audit_entry SET entry = 'x' WHERE idx = 5")
    with closing(open_views(folder)) as views, pytest.raises(StoreBroken, match="audit entry 5"):
        whole(views, LogQuery())


def test_an_empty_log_has_nothing_to_find(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "empty.db")) as store, store.read() as session:
        assert search_log(session, LogQuery(words="x", since="2026-01-01T00:00:00.000Z")) == (
            LogPage(entries=(), size=0, next=None)
        )
