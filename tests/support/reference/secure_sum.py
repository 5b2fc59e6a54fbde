"""Secure aggregation with Python integers, one word at a time: slow and obvious."""

from collections.abc import Iterable, Mapping

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PRIME = 2**521 - 1


def keystream_words(key: bytes, count: int, bits: int) -> list[int]:
    """AES-256 of the counters 0, 1, 2, ... in ECB mode, cut into little-endian words."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - an oracle
    size, stream, counter = bits // 8, b"", 0
    while len(stream) < count * size:
        stream += encryptor.update(counter.to_bytes(16, "big"))
        counter += 1
    return [int.from_bytes(stream[i * size : (i + 1) * size], "little") for i in range(count)]


def masked(
    vector: Iterable[int], add: Iterable[bytes], subtract: Iterable[bytes], bits: int
) -> list[int]:
    """The vector with the streams of keys added and subtracted."""
    words = list(vector)
    for sign, keys in ((1, add), (-1, subtract)):
        for key in keys:
            stream = keystream_words(key, len(words), bits)
            words = [word + sign * mask for word, mask in zip(words, stream, strict=True)]
    return [word % 2**bits for word in words]


def plain_sum(vectors: Iterable[Iterable[int]], bits: int) -> list[int]:
    """What a round should yield: the sum, modulo the ring."""
    return [sum(column) % 2**bits for column in zip(*vectors, strict=True)]


def interpolate_at_zero(shares: Mapping[int, int]) -> int:
    """Lagrange's formula as it stands in books, with one inverse for every factor."""
    total = 0
    for x, share in shares.items():
        term = share
        for other in shares:
            if other != x:
                term = term * -other * pow(x - other, -1, PRIME) % PRIME
        total += term
    return total % PRIME
