"""Keys and masks: both sides agree, signs cancel, and nothing is shared between purposes."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageRefused
from protocol.keystream import CHUNK_BYTES
from protocol.masking import (
    apply_masks,
    mask_private_key,
    pair_key,
    require_usable,
    seal,
    self_commitment,
    self_key,
    share_keys,
    unseal,
)
from protocol.sealed_shares import SiloSecrets, deal_shares, open_entry
from tests.contexts import context_of, site_names
from tests.reference.secure_sum import masked, plain_sum

CONTEXT = context_of(4)
SECRET = bytes(range(32))
KEYS = st.lists(st.binary(min_size=32, max_size=32), max_size=3)


def secrets_of(count: int) -> dict[str, SiloSecrets]:
    context = context_of(count)
    return {site: SiloSecrets.fresh(context, site) for site in context.cohort}


def test_keys_are_the_frozen_ones() -> None:
    # HKDF written out with hmac, and the X25519 of the cryptography package: not with this code.
    private = mask_private_key(SECRET, CONTEXT)
    peer = mask_private_key(bytes(32), CONTEXT).public_key().public_bytes_raw()
    assert (
        self_key(SECRET, CONTEXT).hex()
        == "cfded25ef66e689866cc109466037d5cdafa67f44abae37045056ecc1b5b9f45"
    )
    assert (
        private.public_key().public_bytes_raw().hex()
        == "1606a946a9698ecdb5e8ef3d6f3a0a3ceea467edd71846cb7cd656de6d367f3b"
    )
    assert (
        pair_key(private, peer, CONTEXT, "a", "b").hex()
        == "bc0940a03a383afc2ffb17506fea8ee42b6008fad937dc48cf5d4225acda85a5"
    )
    assert (
        share_keys(private, peer, CONTEXT, "a", "b")[0].hex()
        == "ecea908da2ba2f93adf202b13bb94ba57acb61a1645b2af9860ea31e4925d518"
    )
    assert (
        self_commitment(SECRET, CONTEXT).hex()
        == "eceed87e337bc840489df7989539ed73b1cc81507b83896d9f6796e818c89098"
    )


def test_both_sides_derive_the_same_keys() -> None:
    ours, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    our_public = ours.public_key().public_bytes_raw()
    their_public = theirs.public_key().public_bytes_raw()
    pair = pair_key(ours, their_public, CONTEXT, "a", "b")
    assert pair == pair_key(theirs, our_public, CONTEXT, "b", "a")
    sending, receiving = share_keys(ours, their_public, CONTEXT, "a", "b")
    assert (receiving, sending) == share_keys(theirs, our_public, CONTEXT, "b", "a")
    assert len({pair, sending, receiving}) == 3


def test_every_field_of_the_context_gives_other_keys() -> None:
    contexts = [CONTEXT, *(context_of(4, attempt=number) for number in range(1, 200))]
    keys = {self_key(SECRET, context) for context in contexts}
    keys |= {self_commitment(SECRET, context) for context in contexts}
    assert len(keys) == 2 * len(contexts)


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), bytes(31), b""])
def test_point_that_shares_no_secret_is_refused(point: bytes) -> None:
    with pytest.raises(MessageRefused, match="not a usable point"):
        require_usable(point)
    with pytest.raises(MessageRefused, match="not a usable point"):
        pair_key(X25519PrivateKey.generate(), point, CONTEXT, "a", "b")


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9), KEYS, KEYS)
def test_masks_equal_the_slow_oracle(
    vector: list[int], add: list[bytes], subtract: list[bytes]
) -> None:
    fast = np.array(vector, dtype=np.uint32)
    apply_masks(fast, add=add, subtract=subtract)
    assert fast.tolist() == masked(vector, add, subtract, 32)


def test_chunks_of_a_long_vector_continue_each_stream() -> None:
    vector = np.zeros(CHUNK_BYTES // 8 + 5, dtype=np.uint64)
    apply_masks(vector, add=[SECRET], subtract=[bytes(32)])
    last = masked([0] * len(vector), [SECRET], [bytes(32)], 64)[-5:]
    assert vector[-5:].tolist() == last


@pytest.mark.parametrize("count", [3, 4, 7])
def test_pair_masks_cancel_and_self_masks_remain(count: int) -> None:
    secrets = secrets_of(count)
    adverts = {site: own.advert() for site, own in secrets.items()}
    vectors, selves = [], []
    for own in secrets.values():
        add, subtract = own.mask_keys(adverts)
        vector = np.full(4, 7, dtype=np.uint32)
        apply_masks(vector, add=add, subtract=subtract)
        vectors.append(vector.tolist())
        selves.append(add[0])
    total = np.array(plain_sum(vectors, 32), dtype=np.uint32)
    apply_masks(total, add=[], subtract=selves)
    assert total.tolist() == [7 * count] * 4


def test_site_adds_for_those_after_it_and_subtracts_for_those_before() -> None:
    secrets = secrets_of(5)
    adverts = {site: own.advert() for site, own in secrets.items()}
    for place, own in enumerate(secrets.values()):
        add, subtract = own.mask_keys(adverts)
        assert (len(add), len(subtract)) == (1 + 4 - place, place)


def test_sealed_data_opens_only_for_its_direction_and_context() -> None:
    sealed = seal(SECRET, CONTEXT, "a", "b", b"shares")
    assert unseal(SECRET, CONTEXT, "a", "b", sealed) == b"shares"
    for key, context, sender, receiver, data in (
        (bytes(32), CONTEXT, "a", "b", sealed),
        (SECRET, context_of(4, round=1), "a", "b", sealed),
        (SECRET, CONTEXT, "b", "a", sealed),
        (SECRET, CONTEXT, "a", "c", sealed),
        (SECRET, CONTEXT, "a", "b", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (SECRET, CONTEXT, "a", "b", b""),
    ):
        with pytest.raises(MessageRefused, match="cannot be opened"):
            unseal(key, context, sender, receiver, data)


def test_holder_opens_its_own_entry_and_no_other() -> None:
    secrets = secrets_of(4)
    adverts = {site: own.advert() for site, own in secrets.items()}
    owner, holder, other = site_names(4)[:3]
    dealt = deal_shares(secrets[owner], adverts)
    key = deal_shares(secrets[holder], adverts).receive_keys[owner]
    opened = open_entry(dealt.entries[1], key, context_of(4), owner=owner, holder=holder)
    promised = dealt.entries[1][:64]
    assert opened.commitments(context_of(4), owner, holder) == promised
    with pytest.raises(MessageRefused, match="cannot be opened"):
        open_entry(dealt.entries[2], key, context_of(4), owner=owner, holder=other)


def test_entry_that_breaks_its_commitment_is_refused() -> None:
    secrets = secrets_of(4)
    adverts = {site: own.advert() for site, own in secrets.items()}
    owner, holder = site_names(4)[:2]
    entry = deal_shares(secrets[owner], adverts).entries[1]
    key = deal_shares(secrets[holder], adverts).receive_keys[owner]
    with pytest.raises(MessageRefused, match="do not match their commitments"):
        open_entry(bytes(64) + entry[64:], key, context_of(4), owner=owner, holder=holder)


def test_secrets_are_fresh_and_do_not_show() -> None:
    made = [SiloSecrets.fresh(CONTEXT, "site-00") for _ in range(20)]
    assert len({own.pair_secret for own in made} | {own.self_secret for own in made}) == 40
    assert len({own.advert().share_public for own in made}) == 20
    assert made[0].pair_secret.hex() not in repr(made[0])
