"""Checks that the real keys, streams and signs pass, and that each weakened stand-in fails.

A check is a function of the implementation. It is run on the real one, and on
ones that are weakened in one place: so the suite shows that it would notice.
"""

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from random import Random
from typing import Any, TypeAlias

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocol.codec import to_json
from protocol.encoding import digest_json
from protocol.secagg.context import RoundContext
from protocol.secagg.encrypted_shares import SiloSecrets, deal_shares
from protocol.secagg.masking import (
    apply_masks,
    mask_private_key,
    pair_key,
    self_commitment,
    self_key,
    share_keys,
)
from protocol.secagg.messages import Advertise
from protocol.secagg.secret_sharing import PRIME, SHARE_BYTES, ShareKind, commit, split
from protocol.vectors.keystream import KEY_BYTES, Keystream, derive_key, fresh_key
from tests.support.reference.secure_sum import keystream_words, masked
from tests.support.simulated.contexts import context_of, site_names

CONTEXT = context_of(4)
SECRET = bytes(range(32))

#: (key, count) in, the stream's first bytes out.
Stream: TypeAlias = Callable[[bytes, int], bytes]
Derive: TypeAlias = Callable[[bytes, bytes, bytes], bytes]
Commit: TypeAlias = Callable[[bytes, str, str, str, ShareKind, bytes], bytes]
Split: TypeAlias = Callable[[bytes, int, Sequence[int], Callable[[int], int]], Mapping[int, int]]
#: A site's secrets and the adverts in, the keys of what it adds and what it subtracts out.
Signs: TypeAlias = Callable[[SiloSecrets, Mapping[str, Advertise]], tuple[list[bytes], list[bytes]]]
#: What one site holds in secret in one context.
Fresh: TypeAlias = Callable[[RoundContext, str], SiloSecrets]


@dataclass(frozen=True, kw_only=True)
class Derivations:
    """The four derivations of a round's keys; by default the real ones."""

    mask_private: Callable[[bytes, RoundContext], X25519PrivateKey] = mask_private_key
    pair: Callable[[X25519PrivateKey, bytes, RoundContext, str, str], bytes] = pair_key
    own: Callable[[bytes, RoundContext], bytes] = self_key
    shares: Callable[[X25519PrivateKey, bytes, RoundContext, str, str], tuple[bytes, bytes]] = (
        share_keys
    )
    commitment: Callable[[bytes, RoundContext], bytes] = self_commitment


def real_stream(key: bytes, count: int) -> bytes:
    return Keystream(key).bytes(count)


def real_derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return derive_key(secret, salt=salt, info=info)


REAL = Derivations()


# --- independent oracles ---


def slow_stream(key: bytes, count: int) -> bytes:
    """AES of the counters, block by block."""
    words = keystream_words(key, -(-count // 4), 32)
    return b"".join(word.to_bytes(4, "little") for word in words)[:count]


def slow_hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for 32 bytes: extract, and one block of expand."""
    extracted = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\1", hashlib.sha256).digest()


def exchanged(private: X25519PrivateKey, public: bytes) -> bytes:
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def public_of(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def private_of(number: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest())


# --- the checks ---


def require_known_stream(stream: Stream) -> None:
    random = Random(1)
    for count in (0, 1, 15, 16, 17, 1000, 5000):
        key = random.randbytes(KEY_BYTES)
        assert stream(key, count) == slow_stream(key, count), "the stream is not AES-256-CTR"


def require_key_of_256_bits(stream: Stream) -> None:
    for length in (0, 16, 24, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            stream(bytes(length), 16)
    keys = {bytes(32)} | {(1 << bit).to_bytes(32, "big") for bit in range(256)}
    for one, other in combinations(range(8), 2):  # the same bit in two words: a fold loses it
        keys.add(((1 << 32 * one) + (1 << 32 * other)).to_bytes(32, "big"))
    assert len({stream(key, 16) for key in keys}) == len(keys), "two keys make the same stream"


def require_uniform(stream: Stream) -> None:
    """Chi-square, both tails: of bytes, of every byte of a word, and each bit of words."""
    for number in range(4):
        data = stream(hashlib.sha256(b"%d" % number).digest(), 1 << 19)
        columns = np.frombuffer(data, dtype=np.uint8).reshape(-1, 4)
        for column in (columns.reshape(-1), *columns.T):
            counts = np.bincount(column, minlength=256)
            expected = len(column) / 256
            chi_square = float(((counts - expected) ** 2).sum() / expected)
            assert abs(chi_square - 255) < 6 * (2 * 255) ** 0.5, "bytes are not uniform"
        words = np.frombuffer(data, dtype="<u4")
        for bit in range(32):
            ones = int(((words >> np.uint32(bit)) & np.uint32(1)).sum())
            assert abs(ones - len(words) / 2) < 6 * len(words) ** 0.5 / 2, f"bit {bit} is not fair"


def require_hkdf(derive: Derive) -> None:
    random = Random(2)
    for _ in range(200):
        secret, salt, info = (random.randbytes(random.randrange(1, 90)) for _ in range(3))
        assert derive(secret, salt, info) == slow_hkdf(secret, salt, info), (
            "this is not HKDF-SHA256"
        )


def require_documented_keys(keys: Derivations) -> None:
    """Every key, from HMAC and the published labels alone."""
    ours, theirs = private_of(1), private_of(2)
    shared, salt = exchanged(ours, public_of(theirs)), bytes.fromhex(CONTEXT.digest)
    found = (
        keys.mask_private(SECRET, CONTEXT).private_bytes_raw(),
        keys.own(SECRET, CONTEXT),
        keys.pair(ours, public_of(theirs), CONTEXT, "u", "v"),
        *keys.shares(ours, public_of(theirs), CONTEXT, "u", "v"),
    )
    labels = ("mask-x25519", "self", "pair/u/v", "share/u/v", "share/v/u")
    secret_of = (SECRET, SECRET, shared, shared, shared)
    for key, label, secret in zip(found, labels, secret_of, strict=True):
        info = f"collegium/sa1/{label}".encode()
        assert key == slow_hkdf(secret, salt, info), f"the key of {label} is another"


def keys_in(keys: Derivations, context: RoundContext) -> list[bytes]:
    """Every key that a site can have in a context, of secrets that never change."""
    ours, public = private_of(1), public_of(private_of(2))
    return [
        keys.mask_private(SECRET, context).private_bytes_raw(),
        keys.own(SECRET, context),
        keys.pair(ours, public, context, "u", "v"),
        *keys.shares(ours, public, context, "u", "v"),
        keys.commitment(SECRET, context),
    ]


def require_keys_of_one_context(keys: Derivations, contexts: Sequence[RoundContext]) -> None:
    made = [key for context in contexts for key in keys_in(keys, context)]
    assert len(set(made)) == len(made), "a key serves two contexts, or two purposes"


def require_keys_of_one_purpose(keys: Derivations) -> None:
    require_keys_of_one_context(keys, [CONTEXT])
    ours, public = private_of(1), public_of(private_of(2))
    for name in ("pair", "shares"):
        made = [getattr(keys, name)(ours, public, CONTEXT, "u", peer) for peer in ("v", "w")]
        assert made[0] != made[1], "the peer's name does not count"


def require_both_sides_agree(keys: Derivations) -> None:
    ours, theirs = private_of(1), private_of(2)
    pair = keys.pair(ours, public_of(theirs), CONTEXT, "u", "v")
    assert pair == keys.pair(theirs, public_of(ours), CONTEXT, "v", "u"), "the pair key differs"
    sending, receiving = keys.shares(ours, public_of(theirs), CONTEXT, "u", "v")
    again = keys.shares(theirs, public_of(ours), CONTEXT, "v", "u")
    assert (receiving, sending) == again, "the share keys differ"
    assert sending != receiving, "one key and one nonce for both directions"


def require_one_key_for_each_use(keys: Derivations) -> None:
    """No two uses in a round share a key: with the nonce all zeros that would be fatal."""
    sites = site_names(6)
    privates = {site: private_of(number) for number, site in enumerate(sites)}
    uses: Counter[bytes] = Counter()
    for one, other in combinations(sites, 2):
        public = public_of(privates[other])
        uses[keys.pair(privates[one], public, CONTEXT, one, other)] += 1
        uses.update(keys.shares(privates[one], public, CONTEXT, one, other))
    uses.update(keys.own(hashlib.sha256(site.encode()).digest(), CONTEXT) for site in sites)
    assert set(uses.values()) == {1}, "a key is used twice in one round"


def require_signs(signs: Signs) -> None:
    """With u < v, u adds PRG(pair), v subtracts it; together zero, each alone not."""
    fresh = {site: SiloSecrets.fresh(CONTEXT, site) for site in CONTEXT.participants[:2]}
    adverts = {site: own.advert() for site, own in fresh.items()}
    one, other = fresh.values()
    pair = pair_key(
        one.mask_private, adverts[other.site].mask_public, CONTEXT, one.site, other.site
    )
    parts = {}
    for own in (one, other):
        add, subtract = signs(own, adverts)
        parts[own.site] = np.zeros(64, dtype=np.uint32)
        apply_masks(parts[own.site], add=add, subtract=subtract)
        apply_masks(parts[own.site], add=[], subtract=[self_key(own.self_secret, CONTEXT)])
        assert parts[own.site].any(), "a vector leaves without a mask"
    assert not (parts[one.site] + parts[other.site]).any(), "the pair masks do not cancel"
    expected = masked([0] * 64, [pair], [], 32)
    assert parts[one.site].tolist() == expected, "the first site adds, the second subtracts"


def require_self_masks(signs: Signs) -> None:
    """Every site's own mask lies over its vector, and comes off with its own key only."""
    fresh = {site: SiloSecrets.fresh(CONTEXT, site) for site in CONTEXT.participants}
    adverts = {site: own.advert() for site, own in fresh.items()}
    total = np.zeros(64, dtype=np.uint32)
    for own in fresh.values():
        add, subtract = signs(own, adverts)
        apply_masks(total, add=add, subtract=subtract)
    for own in fresh.values():
        assert total.any(), "a self mask is missing"
        apply_masks(total, add=[], subtract=[self_key(own.self_secret, CONTEXT)])
    assert not total.any(), "something else than the self masks is left"


def require_uniform_coefficients(dealt: Split) -> None:
    """Every coefficient may be any element of the field, the largest too, and all count."""
    asked: list[int] = []

    def largest(most: int) -> int:
        asked.append(most)
        return most - 1

    shares = dealt(SECRET, 3, [1, 2, 3], largest)
    assert asked == [PRIME, PRIME], "a coefficient is not drawn from the whole field"
    value = int.from_bytes(SECRET, "big")
    for x, share in shares.items():
        assert share == (value - x - x * x) % PRIME, "a coefficient is left out"


def require_commitments_of_one_share(made: Commit) -> None:
    uses = [
        (salt, context, owner, holder, kind, share)
        for salt in (bytes(32), SECRET)
        for context in ("c" * 64, "d" * 64)
        for owner, holder in (("u", "v"), ("v", "u"), ("u", "w"), ("w", "v"))
        for kind in ShareKind
        for share in (bytes(SHARE_BYTES), bytes(SHARE_BYTES - 1) + b"\1")
    ]
    assert len({made(*use) for use in uses}) == len(uses), "a commitment opens to two shares"


def require_nothing_shared(fresh: Fresh) -> None:
    made: list[bytes] = []
    for _ in range(50):
        own = fresh(CONTEXT, "site-00")
        advert = own.advert()
        made += [own.pair_secret, own.self_secret, own.share_private.private_bytes_raw()]
        made += [advert.mask_public, advert.share_public, advert.self_commitment]
    assert len(set(made)) == len(made), "two contexts' secrets have something in common"
    assert all(len(value) == 32 for value in made), "a secret is too short"


class Counting:
    """Stands for the operating system's generator: every call gives the next number."""

    def __init__(self) -> None:
        self.calls = 0

    def token_bytes(self, count: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(count, "big")


def require_key_from_the_system(key: Callable[[], bytes], patch: pytest.MonkeyPatch) -> None:
    counting = Counting()
    patch.setattr(secrets, "token_bytes", counting.token_bytes)
    made = [key() for _ in range(5)]
    assert made == [number.to_bytes(32, "big") for number in range(1, 6)], "not from the system"


def require_secrets_from_the_system(fresh: Fresh, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(secrets, "token_bytes", Counting().token_bytes)
    own = fresh(CONTEXT, "site-00")
    drawn = {own.pair_secret, own.self_secret}
    assert drawn == {bytes(31) + b"\1", bytes(31) + b"\2"}, "not from the system"


# --- the contexts: each differs in one field from the first ---


def other_values(per_field: int) -> Iterator[tuple[str, object]]:
    """Fields and values, all valid; a few for the fields that have few."""
    yield from {
        "round_kind": "evaluation", "colluders": 0, "threshold": 4, "frac_bits": 19,
        "ring_bits": 64, "bound": "8.0", "participants": (*site_names(3), "site-99"),
    }.items()  # fmt: skip
    for number in range(1, per_field + 1):
        yield from (("round", number), ("attempt", number), ("dim", 5 + number))
        yield "log_size", 7 + number
        yield "run_id", f"run-{number}"
        yield "draw", number
        for name in ("study_digest", "log_root", "roster_digest", "model_hash", "layout_hash",
                     "weights_hash", "dp_event_hash"):  # fmt: skip
            yield name, hashlib.sha256(b"%d" % number).hexdigest()


def contexts(per_field: int) -> list[RoundContext]:
    """The context of four sites, and others that differ from it in one field each."""
    changes: list[dict[str, Any]] = [{name: value} for name, value in other_values(per_field)]
    return [CONTEXT, *(replace(CONTEXT, **change) for change in changes)]


FIELDS = sorted({name for name, _ in other_values(1)})


# --- the real implementation passes ---


@pytest.mark.parametrize("check", [require_known_stream, require_key_of_256_bits, require_uniform])
def test_the_real_stream_passes(check: Callable[[Stream], None]) -> None:
    check(real_stream)


def test_the_stream_gives_the_known_answers_of_nist() -> None:
    """SP 800-38A, F.5.5: CTR-AES256.Encrypt, whose counter begins far from zero."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = int.from_bytes(bytes(range(0xF0, 0x100)), "big")
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    encrypted = (
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    stream = Keystream(key, skip=16 * counter).bytes(64)
    assert bytes(a ^ b for a, b in zip(plain, stream, strict=True)).hex() == encrypted


@pytest.mark.parametrize(
    ("secret", "salt", "info", "known"),
    [
        (b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)),
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"),
        (bytes(range(0x50)), bytes(range(0x60, 0xB0)), bytes(range(0xB0, 0x100)),
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"),
        (b"\x0b" * 22, b"", b"",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"),
    ],
    ids=["case 1", "case 2", "case 3"],
)  # fmt: skip
def test_the_derivation_and_its_oracle_give_the_known_answers_of_rfc_5869(
    secret: bytes, salt: bytes, info: bytes, known: str
) -> None:
    assert real_derive(secret, salt, info).hex() == known
    assert slow_hkdf(secret, salt, info).hex() == known


def test_the_real_derivation_passes() -> None:
    require_hkdf(real_derive)


@pytest.mark.parametrize(
    "check",
    [
        require_documented_keys,
        require_keys_of_one_purpose,
        require_both_sides_agree,
        require_one_key_for_each_use,
    ],
)
def test_the_real_keys_pass(check: Callable[[Derivations], None]) -> None:
    check(REAL)


@pytest.mark.parametrize(
    ("values", "least"),  # values for each of twelve fields
    [(420, 5_000), pytest.param(8_400, 100_000, marks=pytest.mark.chaos)],
)
def test_no_key_of_many_contexts_is_used_twice(values: int, least: int) -> None:
    found = contexts(values)
    assert len(found) >= least
    require_keys_of_one_context(REAL, found)


def test_every_field_of_a_context_is_varied() -> None:
    """But the protocol's name and the suite, of which there is one each."""
    assert set(FIELDS) == set(to_json(CONTEXT)) - {"proto", "suite"}


@pytest.mark.parametrize("check", [require_signs, require_self_masks])
def test_the_real_signs_pass(check: Callable[[Signs], None]) -> None:
    check(SiloSecrets.mask_keys)


def test_the_real_shares_pass() -> None:
    require_uniform_coefficients(split)
    require_commitments_of_one_share(commit)


def test_the_real_secrets_are_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    require_nothing_shared(SiloSecrets.fresh)
    require_key_from_the_system(fresh_key, monkeypatch)
    require_secrets_from_the_system(SiloSecrets.fresh, monkeypatch)


def test_the_sealing_key_does_not_come_from_the_patched_generator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """X25519 keys for shares come from OpenSSL's own generator: they differ even so."""
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    one, other = (SiloSecrets.fresh(CONTEXT, "site-00") for _ in range(2))
    assert one.pair_secret == other.pair_secret == bytes(32)
    assert public_of(one.share_private) != public_of(other.share_private)


def test_salts_and_coefficients_are_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    counting, drawn = Counting(), []
    fresh = {site: SiloSecrets.fresh(CONTEXT, site) for site in CONTEXT.participants}
    adverts = {site: own.advert() for site, own in fresh.items()}

    def zero(most: int) -> int:
        drawn.append(most)
        return 0

    monkeypatch.setattr(secrets, "token_bytes", counting.token_bytes)
    monkeypatch.setattr(secrets, "randbelow", zero)
    own = fresh["site-00"]
    dealt = deal_shares(own, adverts)
    assert drawn == [PRIME] * 2 * (CONTEXT.threshold - 1)
    assert counting.calls == 2 * len(adverts)
    assert dealt.own.self_share.value == int.from_bytes(own.self_secret, "big")
    assert int.from_bytes(dealt.own.pair_share.salt, "big") in range(1, counting.calls + 1)


# --- weakened streams ---


def folded_stream(key: bytes, count: int) -> bytes:
    """The key folded to 32 bits, and a generator that is none for secrets."""
    seed = int(np.bitwise_xor.reduce(np.frombuffer(key, dtype="<u4")))
    return np.random.RandomState(seed).bytes(count)


def short_stream(key: bytes, count: int) -> bytes:
    """AES-128 of the first half of the key."""
    cipher = Cipher(algorithms.AES(key[:16]), modes.CTR(bytes(16))).encryptor()
    return cipher.update(bytes(count))


def repeating_stream(key: bytes, count: int) -> bytes:
    """A counter that wraps after sixteen blocks."""
    block = slow_stream(key, 256)
    return (block * (count // 256 + 1))[:count]


def without_top_byte(key: bytes, count: int) -> bytes:
    """What ``randint(0, 255)`` gives: never 255."""
    seed = int.from_bytes(hashlib.sha256(key).digest()[:4], "big")
    return np.random.default_rng(seed).integers(0, 255, count).astype(np.uint8).tobytes()


def without_top_bit(key: bytes, count: int) -> bytes:
    """What signed words give: the highest bit is never set."""
    words = np.frombuffer(real_stream(key, -(-count // 4) * 4), dtype="<u4")
    return (words & np.uint32(2**31 - 1)).tobytes()[:count]


def too_even(key: bytes, count: int) -> bytes:
    """Every byte exactly as often as every other: no generator does that."""
    return (bytes(range(256)) * (count // 256 + 1))[:count]


@pytest.mark.parametrize(
    ("check", "weakened", "said"),
    [
        (require_known_stream, folded_stream, "not AES-256-CTR"),
        (require_key_of_256_bits, folded_stream, "DID NOT RAISE"),
        (require_known_stream, short_stream, "not AES-256-CTR"),
        (require_known_stream, repeating_stream, "not AES-256-CTR"),
        (require_known_stream, without_top_byte, "not AES-256-CTR"),
        (require_uniform, without_top_byte, "not uniform"),
        (require_uniform, without_top_bit, "not uniform"),
        (require_uniform, too_even, "not uniform"),
        (require_uniform, lambda key, count: real_stream(key, 1024) * (count // 1024), "uniform"),
    ],
)
def test_a_weakened_stream_is_noticed(
    check: Callable[[Stream], None], weakened: Stream, said: str
) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=said):
        check(weakened)


def test_a_key_of_16_bytes_is_noticed() -> None:
    def any_width(key: bytes, count: int) -> bytes:
        return real_stream(key.ljust(32, b"\0")[:32], count)

    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        require_key_of_256_bits(any_width)


@pytest.mark.parametrize("bits", [32, 128, 255])
def test_a_key_of_which_not_all_bits_count_is_noticed(bits: int) -> None:
    def partial(key: bytes, count: int) -> bytes:
        value = int.from_bytes(key, "big") % 2**bits
        return Keystream(value.to_bytes(32, "big") if len(key) == 32 else key).bytes(count)

    with pytest.raises(AssertionError, match="same stream"):
        require_key_of_256_bits(partial)


def test_a_folded_key_is_noticed_even_behind_aes() -> None:
    def folded(key: bytes, count: int) -> bytes:
        if len(key) != KEY_BYTES:
            raise ValueError("a key has 32 bytes")
        fold = np.bitwise_xor.reduce(np.frombuffer(key, dtype="<u4"))
        return real_stream(int(fold).to_bytes(32, "big"), count)

    with pytest.raises(AssertionError, match="same stream"):
        require_key_of_256_bits(folded)


# --- weakened derivations ---


def _info(*purpose: str) -> bytes:
    return "/".join(("collegium/sa1", *purpose)).encode()


def derivations(
    *,
    salt: Callable[[RoundContext], bytes] = lambda context: context.salt,
    info: Callable[..., bytes] = _info,
    sort_pair: bool = True,
    sort_shares: bool = False,
    names: bool = True,
    exchange: Callable[[X25519PrivateKey, bytes], bytes] = exchanged,
    size: int = 32,
) -> Derivations:
    """The four derivations written anew, each part of which can be weakened."""

    def key(secret: bytes, context: RoundContext, *purpose: str) -> bytes:
        return slow_hkdf(secret, salt(context), info(*purpose))[:size].ljust(32, b"\0")

    def sites(one: str, other: str, ordered: bool) -> list[str]:
        return [] if not names else sorted((one, other)) if ordered else [one, other]

    def pair(own: X25519PrivateKey, public: bytes, c: RoundContext, u: str, v: str) -> bytes:
        return key(exchange(own, public), c, "pair", *sites(u, v, sort_pair))

    def shares(
        own: X25519PrivateKey, public: bytes, c: RoundContext, u: str, v: str
    ) -> tuple[bytes, bytes]:
        secret = exchange(own, public)
        return (
            key(secret, c, "share", *sites(u, v, sort_shares)),
            key(secret, c, "share", *sites(v, u, sort_shares)),
        )

    return Derivations(
        mask_private=lambda secret, context: X25519PrivateKey.from_private_bytes(
            key(secret, context, "mask-x25519")
        ),
        pair=pair,
        own=lambda secret, context: key(secret, context, "self"),
        shares=shares,
        commitment=lambda secret, context: hashlib.sha256(b"c" + salt(context) + secret).digest(),
    )


def without(field: str) -> Callable[[RoundContext], bytes]:
    """The context's digest with one field left out."""

    def salt(context: RoundContext) -> bytes:
        fields = {name: value for name, value in context.to_json().items() if name != field}
        return bytes.fromhex(digest_json(fields))

    return salt


def test_the_derivations_written_anew_are_the_real_ones() -> None:
    for context in contexts(2):
        assert keys_in(derivations(), context)[:5] == keys_in(REAL, context)[:5]


@pytest.mark.parametrize("field", FIELDS)
def test_keys_that_leave_one_field_of_the_context_out_are_noticed(field: str) -> None:
    require_keys_of_one_context(derivations(), contexts(2))
    with pytest.raises(AssertionError, match="serves two contexts"):
        require_keys_of_one_context(derivations(salt=without(field)), contexts(2))


NO_CONTEXT = derivations(salt=lambda _context: bytes(32))
NO_LABEL = derivations(info=lambda *_purpose: b"collegium/sa1")
NO_NAMES = derivations(names=False)
ONE_WAY = derivations(sort_shares=True)
TWO_PAIRS = derivations(sort_pair=False)
SHORT = derivations(size=16)
SAME_SECRET = derivations(exchange=lambda _own, _public: bytes(32), names=False)
SAME_FOR_ALL = derivations(exchange=lambda _own, _public: bytes(32), info=lambda p, *_: _info(p))


@pytest.mark.parametrize(
    ("check", "weakened", "said"),
    [
        (require_documented_keys, NO_CONTEXT, "mask-x25519 is another"),
        (require_documented_keys, NO_LABEL, "mask-x25519 is another"),
        (require_documented_keys, NO_NAMES, "pair/u/v is another"),
        (require_documented_keys, ONE_WAY, "share/v/u is another"),
        (require_documented_keys, SHORT, "mask-x25519 is another"),
        (require_keys_of_one_purpose, NO_LABEL, "two purposes"),
        (require_keys_of_one_purpose, NO_NAMES, "two purposes"),
        (require_keys_of_one_purpose, ONE_WAY, "two purposes"),
        (require_both_sides_agree, TWO_PAIRS, "the pair key differs"),
        (require_both_sides_agree, ONE_WAY, "both directions"),
        (require_one_key_for_each_use, ONE_WAY, "used twice"),
        (require_one_key_for_each_use, SAME_SECRET, "used twice"),
        (require_one_key_for_each_use, SAME_FOR_ALL, "used twice"),
    ],
)
def test_a_weakened_derivation_is_noticed(
    check: Callable[[Derivations], None], weakened: Derivations, said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        check(weakened)


@pytest.mark.parametrize("name", ["mask_private", "own", "pair", "shares", "commitment"])
def test_one_derivation_without_the_context_is_noticed(name: str) -> None:
    weakened = replace(REAL, **{name: getattr(NO_CONTEXT, name)})
    with pytest.raises(AssertionError, match="serves two contexts"):
        require_keys_of_one_context(weakened, contexts(1))


@pytest.mark.parametrize(
    "weakened",
    [
        lambda secret, salt, info: hashlib.sha256(secret + salt + info).digest(),
        lambda secret, salt, info: slow_hkdf(secret, b"", info),
        lambda secret, salt, info: slow_hkdf(secret, salt, b""),
        lambda secret, salt, info: slow_hkdf(secret, salt, info)[:16] + bytes(16),
        lambda secret, salt, info: hmac.new(salt, secret + info, hashlib.sha256).digest(),
    ],
    ids=["a bare hash", "no salt", "no label", "16 bytes", "no expansion"],
)
def test_another_derivation_than_hkdf_is_noticed(weakened: Derive) -> None:
    with pytest.raises(AssertionError, match="not HKDF"):
        require_hkdf(weakened)


# --- weakened signs ---


def both_add(own: SiloSecrets, adverts: Mapping[str, Advertise]) -> tuple[list[bytes], list[bytes]]:
    add, subtract = own.mask_keys(adverts)
    return [*add, *subtract], []


def swapped(own: SiloSecrets, adverts: Mapping[str, Advertise]) -> tuple[list[bytes], list[bytes]]:
    (first, *add), subtract = own.mask_keys(adverts)
    return [first, *subtract], add


def one_flipped(
    own: SiloSecrets, adverts: Mapping[str, Advertise]
) -> tuple[list[bytes], list[bytes]]:
    return swapped(own, adverts) if own.site == "site-00" else own.mask_keys(adverts)


def no_pairs(own: SiloSecrets, adverts: Mapping[str, Advertise]) -> tuple[list[bytes], list[bytes]]:
    return own.mask_keys(adverts)[0][:1], []


def no_self(own: SiloSecrets, adverts: Mapping[str, Advertise]) -> tuple[list[bytes], list[bytes]]:
    add, subtract = own.mask_keys(adverts)
    return add[1:], subtract


def no_masks(
    _own: SiloSecrets, _adverts: Mapping[str, Advertise]
) -> tuple[list[bytes], list[bytes]]:
    return [], []


@pytest.mark.parametrize(
    ("check", "weakened", "said"),
    [
        (require_signs, both_add, "do not cancel"),
        (require_signs, one_flipped, "do not cancel"),
        (require_signs, swapped, "the first site adds"),
        (require_signs, no_pairs, "without a mask"),
        (require_self_masks, both_add, "something else"),
        (require_self_masks, one_flipped, "something else"),
        (require_self_masks, no_self, "missing|something else"),
        (require_self_masks, no_masks, "missing"),
    ],
)
def test_a_weakened_sign_is_noticed(
    check: Callable[[Signs], None], weakened: Signs, said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        check(weakened)


# --- weakened shares, commitments and secrets ---


def test_coefficients_that_never_reach_the_top_are_noticed() -> None:
    def below_top(
        secret: bytes, t: int, xs: Sequence[int], randbelow: Callable[[int], int]
    ) -> Mapping[int, int]:
        return split(secret, t, xs, lambda most: randbelow(most - 1))

    with pytest.raises(AssertionError, match="whole field"):
        require_uniform_coefficients(below_top)


def test_a_polynomial_of_too_low_a_degree_is_noticed() -> None:
    def too_few(
        secret: bytes, t: int, xs: Sequence[int], randbelow: Callable[[int], int]
    ) -> Mapping[int, int]:
        shares = split(secret, t - 1, xs, randbelow)
        randbelow(PRIME)
        return shares

    with pytest.raises(AssertionError, match="left out"):
        require_uniform_coefficients(too_few)


@pytest.mark.parametrize("part", range(6))
def test_a_commitment_that_leaves_a_part_out_is_noticed(part: int) -> None:
    fixed: tuple[Any, ...] = (bytes(32), "c", "u", "v", ShareKind.SELF, bytes(SHARE_BYTES))

    def partial(*given: Any) -> bytes:
        parts = [*given[:part], fixed[part], *given[part + 1 :]]
        made: Commit = commit
        return made(*parts)

    with pytest.raises(AssertionError, match="opens to two"):
        require_commitments_of_one_share(partial)


@lru_cache(maxsize=1)
def _kept() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


@pytest.mark.parametrize(
    "change",
    [
        lambda own: replace(own, share_private=_kept()),
        lambda own: replace(own, self_secret=own.pair_secret),
        lambda own: replace(own, pair_secret=SECRET),
        lambda own: replace(own, self_secret=bytes([own.self_secret[0] % 16]).ljust(32)),
    ],
    ids=["one sealing key for all", "both secrets alike", "a fixed secret", "4 bits"],
)
def test_secrets_that_have_something_in_common_are_noticed(
    change: Callable[[SiloSecrets], SiloSecrets],
) -> None:
    with pytest.raises(AssertionError, match="in common"):
        require_nothing_shared(lambda context, site: change(SiloSecrets.fresh(context, site)))


def test_a_key_of_another_generator_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(7)
    with pytest.raises(AssertionError, match="not from the system"):
        require_key_from_the_system(lambda: random.randbytes(32), monkeypatch)

    def seeded(context: RoundContext, site: str) -> SiloSecrets:
        own = SiloSecrets.fresh(context, site)
        return replace(own, self_secret=random.randbytes(32))

    with pytest.raises(AssertionError, match="not from the system"):
        require_secrets_from_the_system(seeded, monkeypatch)
