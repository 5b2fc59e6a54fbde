"""Canonical bytes and digests: what is signed or hashed has exactly one form.

Rules:

1. Records are written as RFC 8785 canonical JSON (sorted keys, shortest
   numbers, UTF-8), so that two institutions always hash the same bytes.
2. A digest is SHA-256, written as 64 lower-case hexadecimal digits.
3. Decoding is strict: duplicate keys, NaN, infinities and trailing bytes are
   refused, and so is any text that is not already canonical.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import rfc8785

from protocol.errors import MessageRefused

#: A JSON value. Mapping and Sequence, so that frozen records can offer theirs.
Json: TypeAlias = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None


def canonical(value: Json) -> bytes:
    """Returns the RFC 8785 bytes of a JSON value.

    >>> canonical({"b": 1, "a": [True, None, 1e-05]})
    b'{"a":[true,null,0.00001],"b":1}'

    Raises:
        ValueError: the value holds something JSON has no form for (NaN, a set,
            an integer beyond 2**53).
    """
    plain: Any = value
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


def digest_json(value: Json) -> str:
    """Returns the digest of a value's canonical bytes."""
    return digest(canonical(value))


def parse_canonical(data: bytes) -> Json:
    """Returns the value of canonical JSON bytes; the inverse of ``canonical``.

    Guarantee: ``canonical(parse_canonical(data)) == data``.

    Raises:
        MessageRefused: not UTF-8, not JSON, nested too deeply, or not in canonical form.
    """
    try:
        value: Json = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        again = canonical(value)
    except (ValueError, RecursionError) as error:
        raise MessageRefused(f"not canonical JSON: {type(error).__name__}") from error
    if again != data:
        raise MessageRefused("not canonical JSON: the same value has another canonical form")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
