"""The keystream: known answers, and what must fail when it is weakened."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.vectors.keystream import CHUNK_BYTES, Keystream, derive_key, fresh_key
from tests.support.reference.secure_sum import keystream_words

KEY = bytes(range(32))


def test_stream_is_aes_256_of_the_counter() -> None:
    # The all-zero block under the all-zero key, from NIST's AESAVS.
    assert Keystream(bytes(32)).bytes(16).hex() == "dc95c078a2408989ad48a21492842087"
    assert Keystream(KEY).words(9, np.uint32).tolist() == keystream_words(KEY, 9, 32)
    assert Keystream(KEY).words(5, np.uint64).tolist() == keystream_words(KEY, 5, 64)


def test_derivation_gives_the_known_answer_of_rfc_5869() -> None:
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    derived = derive_key(b"\x0b" * 22, salt=salt, info=info)
    assert derived.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_every_part_of_a_derivation_changes_the_key() -> None:
    keys = {
        derive_key(secret, salt=salt, info=info)
        for secret in (b"1", b"2")
        for salt in (b"1", b"2")
        for info in (b"1", b"2")
    }
    assert len(keys) == 8


@given(st.lists(st.integers(0, 40), max_size=6))
def test_pieces_of_a_stream_make_the_whole(lengths: list[int]) -> None:
    stream = Keystream(KEY)
    pieces = b"".join(stream.bytes(length) for length in lengths)
    assert pieces == Keystream(KEY).bytes(sum(lengths))


@pytest.mark.parametrize("word", [np.uint32, np.uint64])
@pytest.mark.parametrize("size", [0, 1, 7, CHUNK_BYTES // 4, CHUNK_BYTES // 4 + 3])
def test_adding_equals_words_and_is_undone_by_subtracting(word: type, size: int) -> None:
    vector = Keystream(fresh_key()).words(size, word)
    before = vector.copy()
    Keystream(KEY).add_to(vector)
    assert (vector == before + Keystream(KEY).words(size, word)).all()
    Keystream(KEY).subtract_from(vector)
    assert (vector == before).all()


def test_all_256_bits_of_a_key_count() -> None:
    streams = {
        Keystream(bytes(i * [0] + [1 << bit] + (31 - i) * [0])).bytes(8)
        for i in range(32)
        for bit in range(8)
    }
    assert len(streams) == 256


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"a key has 32 bytes, got {length}"):
        Keystream(bytes(length))


def test_signed_words_and_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="words are unsigned"):
        Keystream(KEY).words(3, np.int32)
    with pytest.raises(ValueError, match="uint16, uint32 or uint64"):
        Keystream(KEY).add_to(np.zeros(3, np.uint8))


def test_fresh_keys_differ() -> None:
    assert len({fresh_key() for _ in range(1000)}) == 1000
    assert len(fresh_key()) == 32
