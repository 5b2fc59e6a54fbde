"""Keys and masks: both sides agree, signs cancel, and nothing is shared between purposes."""

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MessageRefused
from protocol.secagg.encrypted_shares import SiloSecrets, deal_shares, open_entry
from protocol.secagg.masking import (
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
from protocol.vectors.keystream import CHUNK_BYTES
from tests.support.reference.secure_sum import masked, plain_sum
from tests.support.simulated.contexts import context_of, site_names

CONTEXT = context_of(4)
SECRET = bytes(range(32))
KEYS = st.lists(st.binary(min_size=32, max_size=32), max_size=3)


def secrets_of(count: int) -> dict[str, SiloSecrets]:
    context = context_of(count)
    return {site: SiloSecrets.fresh(context, site) for site in context.participants}


def written_out(secret: bytes, label: str) -> bytes:
    """HKDF-SHA256 with one block of output (RFC 5869), from hmac alone: not with this code."""
    extracted = hmac.digest(bytes.fromhex(CONTEXT.digest), secret, "sha256")
    return hmac.digest(extracted, f"collegium/sa1/{label}\x01".encode(), "sha256")


def test_keys_follow_from_the_context_as_the_page_says() -> None:
    private = mask_private_key(SECRET, CONTEXT)
    assert private.private_bytes_raw() == written_out(SECRET, "mask-x25519")
    peer = X25519PrivateKey.from_private_bytes(written_out(bytes(32), "mask-x25519")).public_key()
    shared = private.exchange(peer)
    public = peer.public_bytes_raw()
    assert pair_key(private, public, CONTEXT, "a", "b") == written_out(shared, "pair/a/b")
    assert share_keys(private, public, CONTEXT, "a", "b")[0] == written_out(shared, "share/a/b")
    assert self_key(SECRET, CONTEXT) == written_out(SECRET, "self")


def test_commitment_to_a_self_secret_is_the_one_that_the_page_writes_out() -> None:
    committed = f"collegium/sa1\nself-secret\n{CONTEXT.digest}\n".encode() + SECRET
    assert self_commitment(SECRET, CONTEXT) == hashlib.sha256(committed).digest()


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
