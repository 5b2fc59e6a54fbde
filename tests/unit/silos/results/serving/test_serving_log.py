"""The hospital's log of serving: chained, signed, ended where it was cut off; statements of it."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import PolicyRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.transport.serving_statement import SignedServing
from silos.results.serving import LoadedModel, ServingLog, made_statement

KEY = SigningKey.from_bytes(bytes(31) + b"s")
FIRST = LoadedModel(snapshot="a" * 64, model="1" * 64, run="run-1", source="folder heart-1")
OWN = LoadedModel(snapshot=None, model="2" * 64, run="run-1", source="the hospital's own model")


class Ticking:
    """A clock that goes on by an hour at each look, from midnight."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 3, tzinfo=UTC)
        self.step = timedelta(hours=1)

    def __call__(self) -> datetime:
        self.time += self.step
        return self.time


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def log(tmp_path: Path, clock: Ticking) -> ServingLog:
    return ServingLog(tmp_path, KEY, clock=clock)


def stated(log: ServingLog, since: str | None = None, **more: Any) -> SignedServing:
    return made_statement(log, coordinator="c" * 64, site="east", since=since, **more)


def lines(home: Path) -> list[bytes]:
    return (home / "inference" / "serving.log").read_bytes().splitlines(keepends=True)


def test_what_was_loaded_is_logged_with_its_times_and_where_it_came_from(
    log: ServingLog, tmp_path: Path
) -> None:
    with log.serving(FIRST, "service"):
        (running,) = log.periods()
        assert (running.until, running.end) == (None, "running")
        assert list((tmp_path / "inference").glob("serving-*.lock"))
    (period,) = log.periods()
    assert (period.snapshot, period.model, period.source) == ("a" * 64, "1" * 64, "folder heart-1")
    assert (period.since, period.until) == ("2026-03-03T01:00:00.000Z", "2026-03-03T02:00:00.000Z")
    assert period.end == "recorded" and not list((tmp_path / "inference").glob("*.lock"))
    assert (tmp_path / "inference" / "serving.log").stat().st_mode & 0o077 == 0


def test_an_end_is_written_also_when_scoring_failed(log: ServingLog) -> None:
    with pytest.raises(ZeroDivisionError), log.serving(FIRST, "batch"):
        raise ZeroDivisionError
    assert [one.end for one in log.periods()] == ["recorded"]


def cut_off(log: ServingLog, tmp_path: Path) -> None:
    """Leaves what a killed process leaves: a beginning, and a lock that nobody holds."""
    with log.serving(FIRST, "service"):
        kept = lines(tmp_path)
    (tmp_path / "inference" / "serving.log").write_bytes(b"".join(kept))
    (tmp_path / "inference" / "serving-0.lock").touch()


def test_what_was_cut_off_is_ended_with_the_last_answer_that_is_known(
    tmp_path: Path, clock: Ticking
) -> None:
    answered = "2026-03-03T01:30:00.000Z"
    log = ServingLog(tmp_path, KEY, last_answer=lambda model, since: answered, clock=clock)
    cut_off(log, tmp_path)
    (seen,) = log.periods()
    assert (seen.until, seen.end) == (answered, "unrecorded") and len(lines(tmp_path)) == 1
    with log.serving(OWN, "service"):
        pass
    first, second = log.periods()
    assert (first.until, first.end, second.end) == (answered, "unrecorded", "recorded")
    assert not (tmp_path / "inference" / "serving-0.lock").exists()


def test_a_line_that_was_cut_off_in_writing_was_never_written(
    log: ServingLog, tmp_path: Path
) -> None:
    with log.serving(FIRST, "batch"):
        pass
    with (tmp_path / "inference" / "serving.log").open("ab") as file:
        file.write(b'{"event":{"beg')
    assert len(log.periods()) == 1
    with log.serving(FIRST, "batch"):
        pass
    assert len(log.periods()) == 2


def changed(kept: list[bytes]) -> list[bytes]:
    return [kept[0].replace(b"heart-1", b"heart-2"), *kept[1:]]


def signed_by_another(kept: list[bytes]) -> list[bytes]:
    other = SigningKey.generate()
    said = json.loads(kept[-1])
    text = kept[-1].replace(said["signer"].encode(), other.public.hex().encode())
    return [*kept[:-1], text]


@pytest.mark.parametrize(
    "tamper",
    [changed, lambda kept: kept[1:], lambda kept: [kept[0], *kept[2:]], signed_by_another,
     lambda kept: [*kept, b"{}\n"], lambda kept: [*kept, kept[-1]],
     lambda kept: [*kept[:-1], kept[-1].replace(b'"time":"2026', b'"time":"2036')]],
)  # fmt: skip
def test_a_log_that_was_changed_is_found(
    log: ServingLog, tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]]
) -> None:
    for model in (FIRST, OWN):
        with log.serving(model, "batch"):
            pass
    (tmp_path / "inference" / "serving.log").write_bytes(b"".join(tamper(lines(tmp_path))))
    with pytest.raises(StoreBroken, match="log of serving"):
        log.periods()
    with pytest.raises(StoreBroken, match="log of serving"):
        stated(log)


def test_nothing_is_scored_behind_a_newest_line_that_this_hospital_did_not_sign(
    log: ServingLog, tmp_path: Path
) -> None:
    with log.serving(FIRST, "batch"):
        pass
    path = tmp_path / "inference" / "serving.log"
    for spoilt in (
        b"".join(signed_by_another(lines(tmp_path))),
        b"x" * 20_000 + b"\n",
        b"x" * 20_000,
    ):
        path.write_bytes(spoilt)
        with pytest.raises(StoreBroken, match="log of serving"), log.serving(FIRST, "batch"):
            pytest.fail("something was scored")


def test_a_former_key_of_the_hospital_counts(log: ServingLog, tmp_path: Path) -> None:
    with log.serving(FIRST, "batch"):
        pass
    now = SigningKey.generate()
    rotated = ServingLog(tmp_path, now, frozenset({KEY.public}))
    with rotated.serving(FIRST, "batch"):
        pass
    assert len(rotated.periods()) == 2


def test_times_never_go_back(log: ServingLog, clock: Ticking) -> None:
    with log.serving(FIRST, "batch"):
        clock.step = -timedelta(hours=5)
    (period,) = log.periods()
    assert period.since == period.until


def test_nothing_is_scored_where_the_log_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "inference").write_text("no folder")
    with pytest.raises(WorkspaceRefused, match="nothing is scored without it"):
        with ServingLog(tmp_path, KEY).serving(FIRST, "batch"):
            pytest.fail("something was scored")


def test_statements_follow_each_other_and_say_what_was_loaded(log: ServingLog) -> None:
    with log.serving(FIRST, "service"):
        first = stated(log).statement
        (running,) = first.periods
        assert (running.snapshot, running.end, running.until) == ("a" * 64, "running", first.until)
    second = stated(log).statement
    assert (first.number, second.number, second.since) == (1, 2, first.until)
    (ended,) = second.periods
    assert ended.end == "recorded" and ended.since == second.since
    assert not first.overlaps(second)
    with log.serving(OWN, "batch"):
        pass
    (own,) = stated(log).statement.periods
    assert own.snapshot is None and own.use == "batch"
    stated(log).require_signed(KEY.public)


def test_the_newest_statement_is_written_anew_the_same(log: ServingLog, tmp_path: Path) -> None:
    with ExitStack() as running:
        running.enter_context(log.serving(FIRST, "service"))
        with log.serving(OWN, "batch"):
            pass
        made = stated(log)
    assert stated(log, again=True) == made
    now = SigningKey.generate()
    again = stated(ServingLog(tmp_path, now, frozenset({KEY.public})), again=True)
    assert again.statement == made.statement
    again.require_signed(now.public)


def test_what_was_running_when_it_was_stated_did_not_end_before(
    log: ServingLog, tmp_path: Path
) -> None:
    with log.serving(FIRST, "service"):
        first = stated(log).statement
        kept = lines(tmp_path)
    (tmp_path / "inference" / "serving.log").write_bytes(b"".join(kept))  # killed, not ended
    (period,) = log.periods()
    assert (period.until, period.end) == (first.until, "unrecorded")


def test_a_time_is_stated_once_and_none_that_is_to_come(log: ServingLog) -> None:
    with pytest.raises(PolicyRefused, match="no model was ever loaded here"):
        stated(log)
    with pytest.raises(PolicyRefused, match="no statement was made here yet"):
        stated(log, again=True)
    assert stated(log, "2026-01-01T00:00:00.000Z").statement.periods == ()
    with pytest.raises(PolicyRefused, match="a hospital states each time once"):
        stated(log, "2026-02-01T00:00:00.000Z")
    with pytest.raises(PolicyRefused, match="still to come"):
        stated(log, "2027-01-01T00:00:00.000Z")


def test_batches_of_a_day_and_snapshot_stand_as_one_period(log: ServingLog, clock: Ticking) -> None:
    clock.step = timedelta(minutes=1)
    for model in (FIRST, OWN, FIRST):
        with log.serving(model, "batch"):
            pass
    clock.time += timedelta(days=1)
    with log.serving(FIRST, "batch"):
        pass
    said = stated(log).statement
    assert [(one.snapshot, one.since[:10]) for one in said.periods] == [
        ("a" * 64, "2026-03-03"), (None, "2026-03-03"), ("a" * 64, "2026-03-04"),
    ]  # fmt: skip
    assert said.periods[0].until > said.periods[1].until


def test_a_longer_time_than_a_statement_holds_is_stated_in_several(
    log: ServingLog, clock: Ticking
) -> None:
    clock.step = timedelta(minutes=1)
    for _ in range(8):
        with log.serving(FIRST, "service"):
            pass
    first, second = stated(log, most=5).statement, stated(log, most=5).statement
    assert len(first.periods) == 5 and len(second.periods) == 3
    assert second.since == first.until and not first.overlaps(second)
    assert first.until < write_time(clock.time)
