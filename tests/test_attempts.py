"""Who is left out of a round's next attempt."""

from coordinator.attempts import Attempts
from protocol.errors import QuorumLost, SumRefused

SITES = ("a", "b", "c", "d", "e")
LOST, NOISE = QuorumLost("too few"), SumRefused("noise")


def test_too_few_sites_are_asked_again_without_the_named_ones() -> None:
    attempts = Attempts(SITES, least=4, most=3)
    assert attempts.fail(LOST, survivors=(), culprits=["b"], complaints={})
    assert attempts.without == {"b"}
    assert attempts.fail(LOST, survivors=(), culprits=[], complaints={})
    assert not attempts.fail(LOST, survivors=(), culprits=[], complaints={})
    assert attempts.number == 3


def test_named_sites_stay_in_when_the_round_cannot_do_without_them() -> None:
    attempts = Attempts(SITES, least=4, most=3)
    assert attempts.fail(LOST, survivors=(), culprits=["a", "b"], complaints={})
    assert attempts.without == set()


def test_after_noise_one_site_after_another_is_left_out() -> None:
    attempts = Attempts(SITES, least=4, most=1)
    tried = []
    while attempts.fail(NOISE, survivors=SITES, culprits=[], complaints={}):
        tried.append(attempts.suspect)
        assert attempts.without == {attempts.suspect}
    assert tried == list(SITES)


def test_noise_without_a_site_to_spare_ends_the_round() -> None:
    attempts = Attempts(SITES, least=5, most=3)
    assert not attempts.fail(NOISE, survivors=SITES, culprits=[], complaints={})
    assert attempts.suspect is None


def test_suspects_of_an_earlier_round_stay_out() -> None:
    attempts = Attempts(SITES, least=3, most=2, suspects=["d"])
    assert attempts.without == {"d"}
    assert attempts.fail(NOISE, survivors=("a", "b", "c", "e"), culprits=[], complaints={})
    assert attempts.without == {"d", "a"}


def test_accuser_and_accused_are_both_left_out_where_they_can_be_spared() -> None:
    attempts = Attempts(SITES, least=3, most=3)
    assert attempts.fail(LOST, survivors=(), culprits=["b"], complaints={"a": "b"})
    assert attempts.without == {"a", "b"}


def test_accuser_alone_is_left_out_where_both_cannot_be_spared() -> None:
    attempts = Attempts(SITES, least=4, most=3)
    assert attempts.fail(LOST, survivors=(), culprits=["b"], complaints={"a": "b"})
    assert attempts.without == {"a"}
