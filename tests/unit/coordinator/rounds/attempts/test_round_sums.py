"""The sums of a round: numbers of their attempts, who is not asked, and why a round fails."""

import pytest

from coordinator.rounds.attempts.retries import Attempts
from coordinator.rounds.attempts.round_sums import SumPlace, SumTries, why_too_few
from coordinator.rounds.attempts.standing import NAMED, Standing
from protocol.errors import QuorumLost, RunLost
from protocol.study.study import SumOfSites

WHOLE = Standing(run_id="run-1", sites=frozenset("abcdefghi"), least=7)


def tries_of(place: int, standing: Standing = WHOLE) -> SumTries:
    sites = ("abc", "def", "ghi")[place]
    at = SumPlace(
        round_kind="training", number=1, sites=SumOfSites.over(sites), place=place, sums=3
    )
    attempts = Attempts(standing.of_part(sites, 3), number=1, most=3, spare=1)
    return SumTries.begun(at, attempts, 0)


def test_no_two_sums_of_a_round_have_one_attempt() -> None:
    places = [tries_of(place).at for place in range(3)]
    numbers = [at.attempt(own) for own in range(4) for at in places]
    assert numbers == [*range(12)]


def test_a_group_that_is_not_there_is_not_asked() -> None:
    one = tries_of(1)
    assert not one.can_be_asked({"e": "has not joined", "a": "not heard from"})
    assert one.left_out == {"e": "has not joined"}
    assert str(one.error) == "2 of its 3 hospitals can be asked, 3 are needed"
    assert tries_of(2).can_be_asked({"e": "has not joined"})


def test_a_group_is_lost_for_good_with_the_hospital_that_answered_wrongly() -> None:
    standing = Standing(run_id="run-1", sites=WHOLE.sites, least=7, named={"d": "lied"})
    lost = tries_of(1, standing)
    assert isinstance(lost.error, RunLost) and not lost.is_pending
    assert tries_of(0, standing).is_pending
    assert standing.out([]) == {"d": NAMED}


def test_what_a_group_shows_of_its_hospitals_the_whole_knows() -> None:
    standing = Standing(run_id="run-1", sites=WHOLE.sites, least=7)
    part = standing.of_part("def", 2)
    part.note({"d": "lied"}, {})
    assert standing.out([]) == {"d": NAMED}
    assert standing.of_part("abc", 3).out([]) == {}


def test_a_round_fails_for_the_group_that_failed_and_for_good_only_if_it_must() -> None:
    groups = [tries_of(place) for place in range(3)]
    groups[2].error = QuorumLost("two answered")
    where, error = why_too_few(groups, 3)
    assert where == "training round 2, group 3 (g, h, i)" and isinstance(error, QuorumLost)
    groups[0].error = RunLost("gone")
    assert isinstance(why_too_few(groups, 2)[1], QuorumLost)
    assert isinstance(why_too_few(groups, 3)[1], RunLost)


@pytest.mark.parametrize("times", [1, 5])
def test_an_attempt_that_ends_with_the_others_is_no_try(times: int) -> None:
    attempts = Attempts(WHOLE, number=0, most=2, spare=1)
    for _ in range(times):
        attempts.end_with_others()
    assert attempts.now.number == times and attempts.now.draw == 0
