"""Shamir's shares and their commitments."""

import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageRefused
from protocol.secagg.secret_sharing import (
    PRIME,
    SHARE_BYTES,
    Opening,
    ShareKind,
    combine,
    commit,
    lagrange,
    parse_opening,
    split,
)
from tests.support.reference.secure_sum import interpolate_at_zero

SECRETS = st.binary(min_size=32, max_size=32)


@given(SECRETS, st.integers(1, 12), st.data())
def test_any_threshold_of_shares_gives_the_secret(
    secret: bytes, count: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, count))
    shares = split(secret, threshold, range(1, count + 1), secrets.randbelow)
    chosen = data.draw(st.permutations(sorted(shares)))[:threshold]
    assert combine({x: shares[x] for x in chosen}) == secret


@given(SECRETS, st.sets(st.integers(1, 300), min_size=2, max_size=8))
def test_combining_equals_the_formula_of_the_books(secret: bytes, xs: set[int]) -> None:
    shares = split(secret, len(xs), xs, secrets.randbelow)
    assert interpolate_at_zero(shares) == int.from_bytes(secret, "big")
    assert combine(shares) == secret


def test_shares_of_a_known_polynomial() -> None:
    # f(x) = 5 + 7x + 11x^2
    coefficients = iter([7, 11])
    shares = split((5).to_bytes(32, "big"), 3, [1, 2, 3], lambda _: next(coefficients))
    assert shares == {1: 23, 2: 63, 3: 125}


def test_every_coefficient_is_drawn_from_the_whole_field() -> None:
    asked: list[int] = []

    def randbelow(limit: int) -> int:
        asked.append(limit)
        return secrets.randbelow(limit)

    split(bytes(32), 4, range(1, 6), randbelow)
    assert asked == [PRIME] * 3


def test_too_few_shares_fit_every_secret() -> None:
    # With t - 1 shares, each secret is reached by exactly one last share.
    shares = split(bytes(32), 3, [1, 2, 3], secrets.randbelow)
    known = {1: shares[1], 2: shares[2]}
    factors = lagrange((1, 2, 3))
    wanted = int.from_bytes(b"\xab" * 32, "big")
    rest = wanted - sum(factors[x] * share for x, share in known.items())
    known[3] = rest * pow(factors[3], -1, PRIME) % PRIME
    assert combine(known) == b"\xab" * 32


def test_too_few_shares_do_not_give_the_secret() -> None:
    secret = bytes(range(32))
    shares = split(secret, 3, [1, 2, 3], secrets.randbelow)
    with pytest.raises(MessageRefused, match="do not give a secret"):
        combine({1: shares[1], 2: shares[2]})  # a 521-bit value: below 2**256 by chance never


def test_changed_share_changes_the_outcome() -> None:
    shares = split(bytes(range(32)), 2, [1, 2], secrets.randbelow)
    with pytest.raises(MessageRefused, match="do not give a secret"):
        combine({1: shares[1] + 2**400, 2: shares[2]})


def test_factors_of_one_survivor_set_are_made_once() -> None:
    lagrange.cache_clear()
    shares = split(bytes(32), 5, range(1, 6), secrets.randbelow)
    for _ in range(10):
        combine(shares)
    assert lagrange.cache_info().misses == 1


@pytest.mark.parametrize(
    ("secret", "threshold", "xs", "message"),
    [
        (bytes(31), 2, [1, 2], "a secret has 32 bytes"),
        (bytes(32), 3, [1, 2], "2 holders cannot reach a threshold of 3"),
        (bytes(32), 0, [1, 2], "cannot reach a threshold of 0"),
        (bytes(32), 2, [0, 1], "distinct and above 0"),
        (bytes(32), 2, [1, 1], "distinct and above 0"),
        (bytes(32), 1, [PRIME], "distinct and above 0"),
    ],
)
def test_impossible_sharing_is_refused(
    secret: bytes, threshold: int, xs: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split(secret, threshold, xs, secrets.randbelow)


def test_commitment_binds_every_part() -> None:
    base: tuple[Any, ...] = (
        bytes(32),
        "ctx",
        "owner",
        "holder",
        ShareKind.SELF,
        bytes(SHARE_BYTES),
    )
    others: tuple[Any, ...] = (
        b"\1" * 32,
        "cty",
        "other",
        "other",
        ShareKind.PAIR,
        b"\1" * SHARE_BYTES,
    )
    commitments = {commit(*base)}
    for place, other in enumerate(others):
        changed = (*base[:place], other, *base[place + 1 :])
        commitments.add(commit(*changed))
    assert len(commitments) == 7


def test_commitment_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="a salt has 32 bytes, a share 66"):
        commit(bytes(31), "ctx", "a", "b", ShareKind.SELF, bytes(SHARE_BYTES))


def test_opening_survives_its_bytes_and_shows_nothing() -> None:
    opening = Opening(share=(7).to_bytes(SHARE_BYTES, "big"), salt=b"\xee" * 32)
    assert parse_opening(opening.to_bytes()) == opening
    assert opening.value == 7
    assert "ee" not in repr(opening)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(97), "an opening has 98 bytes, got 97"),
        (b"\xff" * 98, "not an element of the field"),
        (PRIME.to_bytes(66, "big") + bytes(32), "not an element of the field"),
    ],
)
def test_malformed_opening_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MessageRefused, match=message):
        parse_opening(data)
