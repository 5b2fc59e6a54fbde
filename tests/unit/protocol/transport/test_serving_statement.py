"""Statements of serving: forms, what they say of a time, which of them cover the same time."""

import pytest

from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.transport.serving_statement import (
    MAX_STATEMENT,
    ServedPeriod,
    ServingStatement,
    parse_serving_statement,
    sign_serving,
)

DAY = "2026-03-03T{:02}:00:00.000Z".format


def period(since: int, until: int, snapshot: str | None = "a" * 64) -> ServedPeriod:
    return ServedPeriod(
        snapshot=snapshot, use="service", since=DAY(since), until=DAY(until), end="recorded"
    )


def statement(since: int, until: int, *periods: ServedPeriod, number: int = 1) -> ServingStatement:
    return ServingStatement(
        coordinator="c" * 64, site="east", number=number, since=DAY(since), until=DAY(until),
        periods=periods, head="0" * 64,
    )  # fmt: skip


def test_a_statement_says_what_was_loaded_at_a_time_it_covers_and_nothing_of_others() -> None:
    said = statement(8, 18, period(8, 12), period(10, 18, "b" * 64))
    assert [one.snapshot for one in said.at(DAY(9)) or ()] == ["a" * 64]
    assert len(said.at(DAY(11)) or ()) == 2
    assert said.at(DAY(7)) is None and said.at(DAY(19)) is None
    assert statement(8, 18).at(DAY(9)) == ()


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [((8, 12), (12, 18), False), ((8, 13), (12, 18), True), ((8, 18), (9, 10), True),
     ((8, 9), (10, 11), False), ((8, 12), (8, 9), True), ((8, 8), (8, 12), True)],
)  # fmt: skip
def test_two_statements_that_touch_do_not_overlap(
    first: tuple[int, int], second: tuple[int, int], both: bool
) -> None:
    one, other = statement(*first), statement(*second, number=2)
    assert one.overlaps(other) is both and other.overlaps(one) is both


def test_a_signed_statement_is_read_back_and_verifies_under_its_hospitals_key_alone() -> None:
    key = SigningKey.generate()
    signed = sign_serving(statement(8, 18, period(8, 12)), key)
    read = parse_serving_statement(signed.to_bytes())
    assert read == signed
    read.require_signed(key.public)
    with pytest.raises(MessageRefused, match="east did not sign this statement of serving"):
        read.require_signed(SigningKey.generate().public)


def test_what_is_larger_than_any_statement_is_refused_unread() -> None:
    with pytest.raises(MessageRefused, match="at most"):
        parse_serving_statement(b" " * (MAX_STATEMENT + 1))


def test_two_equal_periods_and_one_that_ends_before_it_begins_are_refused() -> None:
    with pytest.raises(ValueError, match="in order, each once"):
        statement(8, 18, period(8, 9), period(8, 9))
    with pytest.raises(ValueError, match="ends before it begins"):
        period(9, 8)
