"""Canonical bytes and digests: what is signed or hashed has exactly one form.

Rules:

1. Records are written as RFC 8785 canonical JSON (sorted keys, shortest
   numbers, UTF-8), so that two institutions always hash the same bytes.
2. A digest is SHA-256, written as 64 lower-case hexadecimal digits. The
   masked vectors alone, hundreds of megabytes a round, are named by BLAKE3
   (ADR 4), written the same way.
3. Decoding is strict: duplicate keys, NaN, infinities and trailing bytes are
   refused, and so is any text that is not already canonical.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import rfc8785
from blake3 import blake3

from protocol.errors import MessageRefused

#: A JSON value. Mapping and Sequence, so that frozen records can offer theirs.
Json: TypeAlias = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

#: Beyond it RFC 8785 has no form for an integer.
_MAX_INTEGER = 2**53 - 1
_MAX_DEPTH = 64
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")
#: Below this a second thread is not worth its start.
_WORTH_THREADS = 1 << 21


def canonical(value: Json) -> bytes:
    """Returns the RFC 8785 bytes of a JSON value.

    >>> canonical({"b": 1, "a": [True, None, 1e-05]})
    b'{"a":[true,null,0.00001],"b":1}'

    Raises:
        ValueError: the value holds something JSON has no form for (NaN, a set,
            an integer beyond 2**53).
    """
    plain: Any = value
    if _is_plain(plain):
        return _PLAIN.encode(plain).encode("ascii")
    try:
        return rfc8785.dumps(plain)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"no canonical form: {error}") from error


def digest(data: bytes) -> str:
    """Returns the SHA-256 of ``data`` as 64 hexadecimal digits.

    >>> digest(b"")[:16]
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(data).hexdigest()


def blob_digest(blob: bytes | memoryview, threads: int = 1) -> str:
    """Returns the BLAKE3 of a masked vector as 64 hexadecimal digits.

    >>> blob_digest(b"")[:16]
    'af1349b9f5f9a1a6'

    Source: BLAKE3, O'Connor et al. 2020, section 2; the example is its own test vector.
    """
    worth_it = len(blob) > _WORTH_THREADS
    return blake3(blob, max_threads=threads if worth_it else 1).hexdigest()


def digest_json(value: Json) -> str:
    """Returns the digest of a value's canonical bytes."""
    return digest(canonical(value))


def parse_canonical(data: bytes) -> Json:
    """Returns the value of canonical JSON bytes; the inverse of ``canonical``.

    Guarantee: ``canonical(parse_canonical(data)) == data``.

    Raises:
        MessageRefused: not UTF-8, not JSON, nested too deeply, or not in canonical form.
    """
    if _is_deep(data):
        raise MessageRefused(f"not canonical JSON: nested deeper than {_MAX_DEPTH}")
    try:
        value, again = _read_plain(data) or _read_any(data)
    except (ValueError, RecursionError) as error:
        raise MessageRefused(f"not canonical JSON: {type(error).__name__}") from error
    if again != data:
        raise MessageRefused("not canonical JSON: the same value has another canonical form")
    return value


def _is_deep(data: bytes) -> bool:
    """Whether values lie deeper in each other than any record does, so that reading could fail."""
    if data.count(b"{") + data.count(b"[") <= _MAX_DEPTH:
        return False
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest > _MAX_DEPTH


def _read_any(data: bytes) -> tuple[Json, bytes]:
    value: Json = _STRICT.decode(data.decode("utf-8"))
    return value, canonical(value)


def _read_plain(data: bytes) -> tuple[Json, bytes] | None:
    """Returns a value and its canonical bytes, or None where the C encoder will not do.

    In ASCII text without floats and large integers nothing but ASCII strings
    can be canonical: an escape for anything else would not be written again.
    """
    if not data.isascii():
        return None
    try:
        value: Json = _READ_PLAIN.decode(data.decode("ascii"))
    except _NotPlain:
        return None
    return value, _PLAIN.encode(value).encode("utf-8")


def _is_plain(value: Any) -> bool:
    """Whether the C encoder writes a value as RFC 8785 does: ASCII text and integers only.

    Floats have another spelling there, and beyond ASCII keys have another order.
    """
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is dict:
        return all(map(_is_plain_key, value)) and all(map(_is_plain, value.values()))
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    if kind is int:
        return -_MAX_INTEGER <= int(value) <= _MAX_INTEGER
    return value is None or kind is bool


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and key.isascii()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _NotPlain(Exception):
    """A number that the C encoder would not write as RFC 8785 does."""


def _refuse_float(_: str) -> float:
    raise _NotPlain


def _plain_integer(text: str) -> int:
    if len(text) > 15:
        raise _NotPlain
    return int(text)


_READ_PLAIN = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_refuse_float, parse_int=_plain_integer
)
_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_STRICT = json.JSONDecoder(parse_constant=_refuse_constant)


def canonical_base64(text: str, what: str) -> bytes:
    """Returns the bytes that base64 stands for, in its one spelling.

    Args:
        text: the base64.
        what: names it in a refusal.

    Raises:
        MessageRefused: it is none, or another spelling of the same bytes.
    """
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageRefused(f"{what} is not base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise MessageRefused(f"{what} is not canonical base64")
    return decoded
