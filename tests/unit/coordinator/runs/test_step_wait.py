"""A step that waits says for whom, since when and until when; its log has two lines about it."""

import pytest

from coordinator.runs.monitoring.step_wait import StepWait, Waits


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_step_waits_once_nobody_has_answered_for_as_long_as_a_round_takes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    step = StepWait("run-1", clock, clock)
    step.begin({"east", "north", "west"}, 600.0, 60.0)
    for seconds, site in ((50, "east"), (40, "north")):
        clock.now += seconds
        assert not step.look()
        step.answered(site)
    clock.now += 59
    assert not step.look() and step.now is None
    clock.now += 1
    assert step.look() and not step.look()
    assert step.now == Waits(sites=("west",), since=1000.0, until=1600.0)
    clock.now = 1600.0
    assert step.end(least=2) == {"west"}
    assert step.now is None
    assert caplog.messages == [
        "run run-1 waits for west, silent for 150 s: for 450 s more at the most",
        "run run-1: no answer from west within 600 s: the round goes on without",
    ]


def test_an_answer_that_comes_late_ends_the_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    step = StepWait("run-1", clock, clock)
    step.begin({"east", "west"}, 600.0, None)
    clock.now += 10
    assert step.look()
    step.answered("east")
    assert step.now is not None and step.now.sites == ("west",)
    step.answered("west")
    assert step.now is None and step.end(least=2) == frozenset()
    assert caplog.messages[1:] == ["run run-1: east has answered", "run run-1: west has answered"]


def test_it_is_not_said_to_go_on_where_too_few_are_left(caplog: pytest.LogCaptureFixture) -> None:
    step = StepWait("run-1", Clock())
    step.begin({"east", "north", "west"}, 2.0, None)
    step.answered("east")
    assert step.end(least=2) == {"north", "west"}
    assert caplog.messages == [
        "run run-1: no answer from north, west within 0 s: too few are left for the round"
    ]


def test_nobody_is_blamed_for_a_run_that_was_stopped(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    step = StepWait("run-1", clock, clock)
    step.begin({"east"}, 2.0, None)
    clock.now += 2
    step.stop()
    assert not step.look() and step.now is None and not caplog.messages


def test_a_clock_that_is_set_anew_changes_no_duration(caplog: pytest.LogCaptureFixture) -> None:
    clock, wall = Clock(), Clock()
    step = StepWait("run-1", clock, wall)
    step.begin({"east"}, 60.0, None)
    clock.now += 20
    wall.now += 3620  # set forward by an hour meanwhile
    assert step.look()
    assert step.now == Waits(sites=("east",), since=wall.now - 20, until=wall.now + 40)
    assert caplog.messages == [
        "run run-1 waits for east, silent for 20 s: for 40 s more at the most"
    ]
