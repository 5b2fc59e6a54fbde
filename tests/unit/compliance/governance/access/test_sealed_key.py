"""A sealed key opens with its password for its own person, and with nothing else."""

import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.governance.access.sealed_key import (
    COST,
    AccountSecrets,
    SealedKey,
    SealingCost,
    decoy,
    derive,
    open_sealed,
    read_sealed_key,
    seal,
)
from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken

CHEAP = SealingCost(memory_kib=8, passes=1, lanes=1)
SECRETS = AccountSecrets(seed=bytes(range(32)), one_time_secret=b"o" * 20)
PASSWORD = "a horse that nobody rides"  # noqa: S105  (of a test)


def sealed(name: str = "Ada", password: str = PASSWORD) -> SealedKey:
    return seal(SECRETS, name, password, secrets.token_bytes, CHEAP)


def test_the_password_opens_it_and_nothing_of_it_is_readable() -> None:
    box = sealed()
    assert open_sealed(box, "Ada", box.public_key, PASSWORD) == SECRETS
    for secret in (SECRETS.seed, SECRETS.one_time_secret):
        assert secret not in box.to_bytes() and secret.hex().encode() not in box.to_bytes()
    assert "Account" in repr(SECRETS) and "0001" not in repr(SECRETS)


@given(typed=st.text(max_size=40))
def test_another_password_does_not(typed: str) -> None:
    box = sealed()
    if typed != PASSWORD:
        with pytest.raises(PolicyRefused, match="the password does not open the account"):
            open_sealed(box, "Ada", box.public_key, typed)


def test_two_spellings_of_the_same_letters_are_one_password() -> None:
    box = sealed(password="Überraschung am Morgen")  # noqa: S106  (of a test)
    assert open_sealed(box, "Ada", box.public_key, "U\u0308berraschung am Morgen") == SECRETS


def test_a_box_under_another_name_or_key_does_not_open() -> None:
    box = sealed()
    with pytest.raises(PolicyRefused, match="is another person's"):
        open_sealed(box, "Bea", box.public_key, PASSWORD)
    with pytest.raises(PolicyRefused, match="is another person's"):
        open_sealed(box, "Ada", "0" * 64, PASSWORD)
    for moved in (replace(box, person="Bea"), replace(box, public_key="0" * 64)):
        with pytest.raises(PolicyRefused, match="does not open"):
            open_sealed(moved, moved.person, moved.public_key, PASSWORD)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_every_changed_bit_of_what_is_kept_is_refused(at: int, bit: int) -> None:
    box = sealed()
    data = bytearray(box.to_bytes())
    data[at % len(data)] ^= 1 << bit
    try:
        changed = read_sealed_key(bytes(data))
    except StoreBroken:
        return
    if changed.cost.memory_kib * changed.cost.passes > 4096:
        return  # a cost of its own: another key, at a price that no test pays
    with pytest.raises(PolicyRefused):
        open_sealed(changed, "Ada", box.public_key, PASSWORD)


def test_what_is_kept_is_read_again() -> None:
    box = sealed()
    assert read_sealed_key(box.to_bytes()) == box
    with pytest.raises(StoreBroken, match="a sealed key is damaged"):
        read_sealed_key(box.to_bytes() + b" ")


def test_a_cost_that_exhausts_the_machine_is_refused_before_anything_is_derived() -> None:
    for name in ("memory_kib", "passes", "lanes"):
        with pytest.raises(MessageRefused, match=f"{name} of a sealed key is from 1 to"):
            SealingCost(**{name: 10**9})
    said = parse_canonical(sealed().to_bytes())
    assert isinstance(said, dict)
    with pytest.raises(StoreBroken, match="a sealed key is damaged"):
        read_sealed_key(canonical(said | {"memory_kib": 10**9}))


def test_a_decoy_costs_the_same_and_opens_for_nobody() -> None:
    asked: list[SealingCost] = []

    def counted(password: bytes, salt: bytes, cost: SealingCost) -> bytes:
        asked.append(cost)
        return derive(password, salt, cost)

    for box in (sealed(), decoy(secrets.token_bytes, CHEAP)):
        with pytest.raises(PolicyRefused, match="the password does not open the account"):
            open_sealed(box, box.person, box.public_key, "no", counted)
    assert asked == [CHEAP, CHEAP]


def test_new_boxes_cost_what_rfc_9106_recommends() -> None:
    assert COST == SealingCost(memory_kib=64 * 1024, passes=3, lanes=4)


def test_the_derivation_is_argon2id_of_rfc_9106() -> None:
    # Without secret and associated data; computed by the reference program argon2 (20190702):
    # printf password | argon2 somesalt -id -t 2 -m 8 -p 1 -l 32 -r
    cost = SealingCost(memory_kib=256, passes=2, lanes=1)
    assert derive(b"password", b"somesalt", cost).hex() == (
        "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
    )
