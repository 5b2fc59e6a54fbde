"""The log of queries: durable, chained, without a value; what was changed or removed is found."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import StoreBroken, WorkspaceRefused
from silos.results.inference.query_log import QueryEntry, QueryLog


class Time:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def asked(log: QueryLog, records: int = 3, caller: str = "ward", declared: int = 10) -> QueryEntry:
    return log.append(
        caller=caller, records=records, refused=0, content="c" * 64, model="d" * 64,
        alarms=frozenset(), declared=declared, over="daily-volume",
    )  # fmt: skip


def lines_of(home: Path) -> list[bytes]:
    return (home / "inference" / "queries.log").read_bytes().splitlines(keepends=True)


def test_each_line_is_bound_to_the_one_before_and_two_writers_share_a_file(tmp_path: Path) -> None:
    first, second = QueryLog(tmp_path), QueryLog(tmp_path)
    written = [asked(first), asked(second), asked(first, caller="triage")]
    found = QueryLog(tmp_path).entries()
    assert found == written and [one.caller for one in found] == ["ward", "ward", "triage"]
    assert (tmp_path / "inference" / "queries.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "inference" / "salt").stat().st_mode & 0o777 == 0o600


def test_more_records_than_declared_within_a_day_are_an_alarm(tmp_path: Path) -> None:
    time = Time()
    log = QueryLog(tmp_path, time)
    assert asked(log, 6).alarms == () and asked(log, 4).alarms == ()
    assert asked(log, 1).alarms == ("daily-volume",)
    assert asked(QueryLog(tmp_path, time), 0).alarms == ("daily-volume",)
    time.now += timedelta(days=1, seconds=1)
    assert asked(log, 10).alarms == ()


def test_a_clock_that_is_set_back_or_forth_hides_no_record_of_the_day(tmp_path: Path) -> None:
    time = Time()
    log = QueryLog(tmp_path, time)
    first = asked(log, 6)
    time.now -= timedelta(days=2)
    assert asked(log, 4).time == first.time
    time.now += timedelta(days=2)
    assert asked(log, 1).alarms == ("daily-volume",)
    assert asked(QueryLog(tmp_path, time), 0).alarms == ("daily-volume",)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_was_changed_or_removed_is_found(tmp_path: Path, place: int) -> None:
    log = QueryLog(tmp_path)
    for _ in range(4):
        asked(log)
    kept, path = lines_of(tmp_path), tmp_path / "inference" / "queries.log"
    path.write_bytes(b"".join(kept[:place] + kept[place + 1 :]))
    with pytest.raises(StoreBroken, match="does not follow the line before"):
        QueryLog(tmp_path).entries()
    changed = kept[place].replace(b'"records":3', b'"records":1')
    path.write_bytes(b"".join([*kept[:place], changed, *kept[place + 1 :]]))
    with pytest.raises(StoreBroken, match=f"line {place + 2} "):
        QueryLog(tmp_path).entries()
    path.write_bytes(b"".join([*kept[:place], b"{}\n"]))
    with pytest.raises(StoreBroken, match="is no entry"):
        QueryLog(tmp_path).entries()


def test_lines_cut_off_at_the_end_are_found_by_a_head_that_was_kept(tmp_path: Path) -> None:
    log = QueryLog(tmp_path)
    asked(log)
    early = log.head
    asked(log)
    late, kept = log.head, lines_of(tmp_path)
    QueryLog(tmp_path).require_head(early)
    (tmp_path / "inference" / "queries.log").write_bytes(kept[0])
    with pytest.raises(StoreBroken, match="became shorter"):
        asked(log)
    QueryLog(tmp_path).require_head(early)
    with pytest.raises(StoreBroken, match="lines were removed"):
        QueryLog(tmp_path).require_head(late)


def test_a_line_that_a_crash_cut_off_gives_way_to_the_next(tmp_path: Path) -> None:
    asked(QueryLog(tmp_path))
    path = tmp_path / "inference" / "queries.log"
    path.write_bytes(path.read_bytes() + b'{"alarms":[],"cal')
    asked(QueryLog(tmp_path), caller="triage")
    assert [one.caller for one in QueryLog(tmp_path).entries()] == ["ward", "triage"]


def test_the_contents_digest_is_keyed_and_the_same_for_the_same_records(tmp_path: Path) -> None:
    records = np.arange(6, dtype=np.float32).reshape(2, 3)
    log = QueryLog(tmp_path)
    whole = log.content_of(iter([records]))
    assert whole == QueryLog(tmp_path).content_of(iter([records[:1], records[1:]]))
    (tmp_path / "other").mkdir()
    assert whole != QueryLog(tmp_path / "other").content_of(iter([records]))


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inference").write_text("no folder")
    with pytest.raises(WorkspaceRefused, match="nothing is scored without it"):
        QueryLog(tmp_path)
    (tmp_path / "b" / "inference").mkdir(parents=True)
    (tmp_path / "b" / "inference" / "salt").write_bytes(b"short")
    with pytest.raises(StoreBroken, match="damaged"):
        QueryLog(tmp_path / "b")
