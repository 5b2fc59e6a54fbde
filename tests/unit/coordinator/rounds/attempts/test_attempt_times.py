"""The times of an attempt are those of its clock, and never an entry of the log by themselves."""

from coordinator.rounds.attempts.attempt_times import AttemptTimes
from coordinator.rounds.attempts.conduct import Conduct, conduct_from


def test_steps_and_updates_are_timed_from_their_beginnings() -> None:
    now = [10.0]
    times = AttemptTimes(lambda: now[0])
    now[0] = 11.0
    times.step_begins()
    now[0] = 13.0
    times.update_came("east")
    now[0] = 14.5
    times.update_came("west")
    times.update_came("east")
    times.step_ends("masked")
    assert times.updates == {"east": 3.0, "west": 4.5}
    assert times.steps == {"masked": 3.5}


def test_times_are_kept_with_the_round_and_are_no_conduct_that_is_logged() -> None:
    conduct = Conduct(steps={"masked": 3.5}, updates={"east": 3.0}, traffic={"east": (1, 2)})
    assert not conduct.is_logged
    assert conduct_from(conduct.text) == conduct
    assert conduct_from('{"traffic": {"east": [1, 2]}}').updates == {}
