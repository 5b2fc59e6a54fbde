"""Shamir's shares of 32-byte secrets, and salted commitments that make a wrong share visible.

Rules:

1. A polynomial of degree t - 1 over the prime field p = 2**521 - 1 holds the
   secret at 0 and a share at each holder's x. Any t shares give the secret;
   t - 1 shares say nothing about it.
2. The owner commits to every share with a fresh salt in its signed message.
   The holder checks the commitment when it decrypts, the coordinator again
   when the share is revealed: who lies is known by name.

Source: Shamir 1979 (CACM 22, 11); the prime is the Mersenne prime M521.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from protocol.errors import MessageRefused

PRIME = 2**521 - 1
SECRET_BYTES = 32
SHARE_BYTES = 66
SALT_BYTES = 32
#: A share and its salt, as they lie in a sealed message.
OPENING_BYTES = SHARE_BYTES + SALT_BYTES
_LABEL = "collegium/v1/share-commitment"


class ShareKind(StrEnum):
    """The one of a site's two secrets that a share belongs to."""

    SELF = "self"
    PAIR = "pair"


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One share (66 bytes, big-endian, below p) and the salt of its commitment."""

    share: bytes
    salt: bytes

    def __repr__(self) -> str:  # a share in a log would be one share less to find
        return "Opening(...)"

    @property
    def value(self) -> int:
        """The share as a field element."""
        return int.from_bytes(self.share, "big")

    def to_bytes(self) -> bytes:
        """Returns share and salt as 98 bytes; the inverse of ``parse_opening``."""
        return self.share + self.salt


def parse_opening(data: bytes) -> Opening:
    """Returns the opening held in 98 bytes.

    Raises:
        MessageRefused: there are not 98 bytes, or the share is not below p.
    """
    if len(data) != OPENING_BYTES:
        raise MessageRefused(f"an opening has {OPENING_BYTES} bytes, got {len(data)}")
    if int.from_bytes(data[:SHARE_BYTES], "big") >= PRIME:
        raise MessageRefused("a share is not an element of the field")
    return Opening(share=data[:SHARE_BYTES], salt=data[SHARE_BYTES:])


def split(
    secret: bytes, threshold: int, xs: Iterable[int], randbelow: Callable[[int], int]
) -> dict[int, int]:
    """Returns one share for each x; ``combine`` of any ``threshold`` of them is the inverse.

    >>> import secrets
    >>> shares = split(bytes(range(32)), 2, [1, 2, 3], secrets.randbelow)
    >>> combine({1: shares[1], 3: shares[3]}) == bytes(range(32))
    True

    Args:
        secret: 32 bytes.
        threshold: how many shares give the secret.
        xs: the holders' distinct coordinates, from 1.
        randbelow: returns a uniform integer below its argument, e.g. ``secrets.randbelow``.

    Raises:
        ValueError: fewer holders than the threshold, or a coordinate is 0 or repeated.
    """
    places = list(xs)
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes")
    if len(set(places)) != len(places) or any(not 0 < x < PRIME for x in places):
        raise ValueError("coordinates are distinct and above 0")
    if not 1 <= threshold <= len(places):
        raise ValueError(f"{len(places)} holders cannot reach a threshold of {threshold}")
    coefficients = [randbelow(PRIME) for _ in range(threshold - 1)]
    return {x: _evaluate(int.from_bytes(secret, "big"), coefficients, x) for x in places}


def combine(shares: Mapping[int, int]) -> bytes:
    """Returns the secret that shares give, by x-coordinate.

    Raises:
        MessageRefused: the shares do not lie on one polynomial with a 32-byte
            secret. Not every wrong share is noticed here: see the commitments.
    """
    factors = lagrange(tuple(sorted(shares)))
    value = sum(share * factors[x] for x, share in shares.items()) % PRIME
    if value.bit_length() > 8 * SECRET_BYTES:
        raise MessageRefused("the shares do not give a secret")
    return value.to_bytes(SECRET_BYTES, "big")


@lru_cache(maxsize=8)
def lagrange(xs: tuple[int, ...]) -> Mapping[int, int]:
    """Returns each share's factor in the secret; the same survivors use the same factors.

    >>> lagrange((1, 2)) == {1: 2, 2: PRIME - 1}
    True
    """
    product = math.prod(xs)
    factors = {}
    for x in xs:
        below = x * math.prod(other - x for other in xs if other != x)
        factors[x] = product * pow(below, -1, PRIME) % PRIME
    return factors


def commit(
    salt: bytes, context: str, owner: str, holder: str, kind: ShareKind, share: bytes
) -> bytes:
    """Returns the 32-byte commitment to one share.

    Guarantee: without the salt it says nothing about the share, and it
    opens to one share only.

    >>> commit(bytes(32), "ctx", "a", "b", ShareKind.SELF, bytes(66)).hex()[:16]
    '9f46e737358bb1d0'
    """
    if len(salt) != SALT_BYTES or len(share) != SHARE_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, a share {SHARE_BYTES}")
    label = f"{_LABEL}\n{context}\n{owner}\n{holder}\n{kind}\n"
    return hashlib.sha256(label.encode() + salt + share).digest()


def _evaluate(constant: int, coefficients: list[int], x: int) -> int:
    """Returns the polynomial's value at x, by Horner's rule."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value + coefficient) * x % PRIME
    return (value + constant) % PRIME
