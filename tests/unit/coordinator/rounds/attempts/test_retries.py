"""Who is left out of a round's next attempt, and which draw it sums."""

import pytest

from coordinator.rounds.attempts.retries import Attempts, Begun, Failed
from coordinator.rounds.attempts.standing import DISPUTED, NAMED, SUSPECTED, Standing
from protocol.errors import QuorumLost, RunLost, SumRefused

SITES = frozenset("abcde")
LOST, NOISE = QuorumLost("too few"), SumRefused("noise")


def standing_of(least: int = 4, sites: frozenset[str] = SITES) -> Standing:
    return Standing(run_id="run-1", sites=sites, least=least)


def attempts_of(
    standing: Standing,
    *,
    number: int = 0,
    most: int = 3,
    spare: int | None = 1,
    begun: Begun | None = None,
) -> Attempts:
    return Attempts(standing, number=number, most=most, spare=spare, begun=begun or Begun())


def test_too_few_sites_are_asked_again_without_those_that_answered_wrongly() -> None:
    attempts = attempts_of(standing_of())
    assert attempts.fail(Failed(error=LOST, culprits={"b": "lied"}))
    assert attempts.now.without == {"b": NAMED}
    assert (attempts.now.number, attempts.now.draw) == (1, 0)
    assert attempts.fail(Failed(error=LOST))
    assert not attempts.fail(Failed(error=LOST))


def test_a_run_that_cannot_do_without_those_that_answered_wrongly_has_ended() -> None:
    attempts = attempts_of(standing_of())
    with pytest.raises(RunLost, match=r"fewer than 4 .* \(a: lied; b: lied\)"):
        attempts.fail(Failed(error=LOST, culprits={"a": "lied", "b": "lied"}))


def test_revealed_vectors_are_summed_once_more_among_the_same_sites_and_then_drawn_anew() -> None:
    attempts, four = attempts_of(standing_of(least=3)), frozenset("abcd")
    assert attempts.fail(Failed(error=LOST, survivors=four, revealing=True))
    assert (attempts.now.draw, attempts.now.least, set(attempts.now.without)) == (0, 4, {"e"})
    assert attempts.fail(Failed(error=LOST))
    assert (attempts.now.draw, attempts.now.least, attempts.now.without) == (1, 3, {})


def test_vectors_revealed_with_a_false_one_among_them_are_drawn_anew_at_once() -> None:
    attempts = attempts_of(standing_of())
    failed = Failed(error=LOST, survivors=SITES, revealing=True, culprits={"c": "lied"})
    assert attempts.fail(failed)
    assert (attempts.now.draw, attempts.now.without) == (1, {"c": NAMED})


def test_a_draw_that_sites_cannot_give_is_drawn_anew_while_draws_are_left() -> None:
    attempts = attempts_of(standing_of(), most=9)
    refused = Failed(error=LOST, refusals={"a": "DrawSpent", "b": "LinkLost"})
    assert attempts.fail(refused)
    assert attempts.now.draw == 1
    assert not attempts.fail(Failed(error=LOST, refusals={"a": "DrawSpent"}))
    lost = Failed(error=LOST, refusals={"a": "DrawSpent", "b": "DrawSpent"})
    with pytest.raises(RunLost, match="a, b cannot give the noised vectors of this round again"):
        attempts.fail(lost)


def test_a_round_that_was_begun_before_goes_on_with_its_draw_and_its_sites() -> None:
    begun = Begun(attempts=2, draw=1, among=frozenset("abcd"))
    attempts = attempts_of(standing_of(), begun=begun)
    now = attempts.now
    assert (now.number, now.draw, now.least, set(now.without)) == (2, 1, 4, {"e"})


def test_where_draws_are_free_one_site_after_another_is_left_out_after_noise() -> None:
    attempts, tried = attempts_of(standing_of(), most=1, spare=None), []
    survivors = SITES
    while attempts.fail(Failed(error=NOISE, survivors=survivors, revealing=True)):
        (left_out,) = attempts.now.without
        tried.append(left_out)
        survivors = SITES - {left_out}
        assert attempts.now.draw == len(tried)
    assert sorted(tried) == sorted(SITES)
    assert tried != sorted(SITES)  # what they are called decides nothing


def test_where_draws_are_paid_as_many_as_can_be_spared_are_left_out_at_once() -> None:
    attempts = attempts_of(standing_of(least=3), most=9, spare=1)
    assert attempts.fail(Failed(error=NOISE, survivors=SITES, revealing=True))
    without = attempts.now.without
    assert (len(without), set(without.values())) == (2, {SUSPECTED})
    rest = SITES - without.keys()
    assert not attempts.fail(Failed(error=NOISE, survivors=rest, revealing=True))
    assert attempts.suspects == rest


def test_paid_attempts_after_noise_are_capped_like_all_others() -> None:
    attempts = attempts_of(standing_of(), most=2, spare=9)
    assert attempts.fail(Failed(error=NOISE, survivors=SITES, revealing=True))
    assert not attempts.fail(Failed(error=NOISE, survivors=SITES, revealing=True))


def test_noise_without_a_site_to_spare_ends_the_round() -> None:
    attempts = attempts_of(standing_of(least=5), spare=None)
    assert not attempts.fail(Failed(error=NOISE, survivors=SITES, revealing=True))
    assert attempts.suspects == SITES


def test_those_without_whom_the_sum_was_honest_stay_out_where_draws_are_paid() -> None:
    standing = standing_of()
    first = attempts_of(standing, spare=9)
    assert first.fail(Failed(error=NOISE, survivors=SITES, revealing=True))
    left_out = first.now.without
    first.succeed()
    assert first.suspects == SITES
    for number in range(1, 4):
        assert attempts_of(standing, number=number, spare=8).now.without == left_out


def test_where_draws_are_free_each_suspect_is_let_in_again_without_the_others() -> None:
    standing = standing_of(least=3)
    standing.suspects, standing.spared = frozenset("ab"), frozenset("a")
    left_out = [
        frozenset(attempts_of(standing, number=number, spare=None).now.without)
        for number in range(4)
    ]
    assert set(left_out) == {frozenset("a"), frozenset("b")}
    assert left_out[:2] == left_out[2:]


def test_a_suspect_that_was_let_in_and_brought_noise_stays_out() -> None:
    standing = standing_of(least=3)
    standing.suspects, standing.spared = frozenset("ab"), frozenset("a")
    number = next(
        n for n in (0, 1) if "b" in attempts_of(standing, number=n, spare=None).now.without
    )
    attempts = attempts_of(standing, number=number, spare=None)
    assert attempts.fail(Failed(error=NOISE, survivors=SITES - {"b"}, revealing=True))
    assert standing.suspects == {"a"}
    assert set(attempts.now.without) == {"a"}
    attempts.succeed()
    assert set(attempts_of(standing, number=number + 2, spare=None).now.without) == {"a"}


def test_noise_without_those_that_were_left_out_leaves_out_others_beside_them() -> None:
    standing = standing_of(least=3)
    standing.suspects, standing.spared = frozenset("a"), frozenset("a")
    attempts = attempts_of(standing, spare=9, most=9)
    assert attempts.fail(Failed(error=NOISE, survivors=SITES - {"a"}, revealing=True))
    assert len(attempts.now.without) == 2
    assert "a" in attempts.now.without


def test_accuser_and_accused_are_both_left_out_where_they_can_be_spared() -> None:
    attempts = attempts_of(standing_of(least=3))
    assert attempts.fail(Failed(error=LOST, complaints={"a": "b"}))
    assert attempts.now.without == {"a": DISPUTED, "b": DISPUTED}


def test_accuser_alone_is_left_out_where_both_cannot_be_spared() -> None:
    attempts = attempts_of(standing_of())
    assert attempts.fail(Failed(error=LOST, complaints={"a": "b"}))
    assert attempts.now.without == {"a": DISPUTED}


def test_whom_many_accuse_is_left_out_where_they_cannot_be_spared() -> None:
    attempts = attempts_of(standing_of())
    assert attempts.fail(Failed(error=LOST, complaints={"a": "c", "b": "c"}))
    assert attempts.now.without == {"c": DISPUTED}
