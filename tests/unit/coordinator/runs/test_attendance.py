"""Who is left out because it is silent, and when it is back; how far a run is, as it is told."""

from pathlib import Path

from collegium.cli.coordinator.service import duration
from coordinator.runs.monitoring.attendance import GONE_SECONDS, Attendance
from coordinator.runs.monitoring.progress import (
    RoundClock,
    RunProgress,
    forget_progress,
    read_progress,
    write_progress,
)

SITES = ("east", "north", "west")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def attendance_of(seen: dict[str, float], clock: Clock) -> Attendance:
    return Attendance(lambda: seen, clock)


def test_who_missed_a_step_is_silent_until_it_is_heard_of() -> None:
    clock, seen = Clock(), dict.fromkeys(SITES, 995.0)
    attendance = attendance_of(seen, clock)
    assert attendance.silent(SITES) == {}
    attendance.missed(["west"])
    assert attendance.silent(SITES) == {"west": 995.0}
    seen["west"] = 1000.5  # its next request, of whatever kind
    assert attendance.silent(SITES) == {}


def test_a_hospital_at_rest_that_makes_no_request_is_gone() -> None:
    clock, seen = Clock(), dict.fromkeys(SITES, 1000.0)
    attendance = attendance_of(seen, clock)
    clock.now += GONE_SECONDS + 1
    seen["east"] = seen["north"] = clock.now - 5
    assert attendance.silent(SITES) == {"west": 1000.0}


def test_who_was_never_heard_of_is_silent_since_no_time() -> None:
    assert attendance_of({"east": 1000.0}, Clock()).silent(["east", "west"]) == {"west": 0.0}


def test_only_those_are_told_that_were_asked_about() -> None:
    assert attendance_of({}, Clock()).silent([]) == {}


def test_progress_is_read_back_and_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "states"
    progress = RunProgress(
        state="waiting",
        round=3,
        rounds=9,
        waits_for="west",
        silent={"west": "2026-11-26T10:00:00Z"},
    )
    write_progress(folder, "run-1", progress)
    assert read_progress(folder, "run-1") == progress
    assert [path.name for path in folder.iterdir()] == ["run-1.progress.json"]
    forget_progress(folder, "run-1")
    assert read_progress(folder, "run-1") is None


def test_progress_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for text in ("", "[1]", '{"state": "running"}', '{"surprise": 1}'):
        (tmp_path / "run-1.progress.json").write_text(text)
        assert read_progress(tmp_path, "run-1") is None


def test_place_is_told_in_words() -> None:
    assert RunProgress(state="running", round=3, rounds=9).place == "round 3 of 9"
    assert RunProgress(state="running", round=10, rounds=9).place == "evaluation"


def test_time_left_follows_from_the_newest_rounds() -> None:
    clock = Clock()
    rounds = RoundClock(clock)
    rounds.round_ended()
    assert rounds.seconds_left(5) is None
    for _ in range(100):
        clock.now += 2.0
        rounds.round_ended()
    clock.now += 50.0
    assert rounds.seconds_left(5) == 10.0
    assert (duration(10.0), duration(600.0), duration(90_000.0)) == ("10 s", "10 min", "25 h")
