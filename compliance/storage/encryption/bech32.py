"""Bech32, the text form of age's keys: a prefix, ``1``, five bits a letter, a checksum.

Source: BIP 173, without its limit of 90 letters, as the age specification asks.
"""

from collections.abc import Iterable, Iterator

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


def write_bech32(prefix: str, data: bytes) -> str:
    """Returns bytes as lower-case Bech32; the inverse of ``read_bech32``.

    >>> write_bech32("age", bytes(2))
    'age1qqqqlpnwam'
    """
    values = list(_regrouped(data, 8, 5, padded=True))
    checked = [*_expanded(prefix), *values]
    sum_ = _polymod([*checked, *([0] * _CHECKSUM)]) ^ 1
    values += [(sum_ >> 5 * (_CHECKSUM - 1 - i)) & 31 for i in range(_CHECKSUM)]
    return f"{prefix}1{''.join(_LETTERS[value] for value in values)}"


def read_bech32(prefix: str, text: str) -> bytes:
    """Returns the bytes that Bech32 of a prefix (lower case) stands for.

    Raises:
        ValueError: it has another prefix, a wrong letter or checksum, or both cases.
    """
    if text not in (text.lower(), text.upper()):
        raise ValueError("capitals and small letters are mixed")
    found, _, letters = text.lower().rpartition("1")
    if found != prefix or len(letters) < _CHECKSUM:
        raise ValueError(f"it does not begin with {prefix}1")
    if not set(letters) <= set(_LETTERS):
        raise ValueError("it holds a letter that no key has")
    values = [_LETTERS.index(letter) for letter in letters]
    if _polymod([*_expanded(prefix), *values]) != 1:
        raise ValueError("its checksum is wrong: a letter was mistyped or lost")
    return bytes(_regrouped(values[:-_CHECKSUM], 5, 8, padded=False))


def _expanded(prefix: str) -> list[int]:
    return [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix)]


def _polymod(values: Iterable[int]) -> int:
    """Returns the remainder that makes the checksum: a BCH code over GF(32)."""
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            state ^= generator if (top >> bit) & 1 else 0
    return state


def _regrouped(values: Iterable[int], width: int, to: int, *, padded: bool) -> Iterator[int]:
    """Yields the same bits in groups of another width.

    Raises:
        ValueError: without padding, bits are left over that are not zero, or too many.
    """
    held = bits = 0
    for value in values:
        held, bits = (held << width) | value, bits + width
        while bits >= to:
            bits -= to
            yield held >> bits
            held &= (1 << bits) - 1
    if padded and bits:
        yield held << (to - bits)
    elif not padded and (bits >= width or held):
        raise ValueError("it ends in bits that no key has")
