"""Plain values as bytes: texts, numbers, arrays, and lists and dictionaries of them.

What comes out of the process that trains is read by one that holds the hospital's keys. So it
is data in a form that can carry nothing else; reading it never runs anything.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import MessageRefused

_TYPES = ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1", "|b1")
_ARRAY, _PAIRS, _LIST = "array", "pairs", "list"


def to_bytes(value: Any) -> bytes:
    """Returns a value as bytes: one line of JSON, then its arrays.

    A tuple comes back as a tuple, and a list too.

    >>> from_bytes(to_bytes(("engine", {"w": np.arange(3)})))
    ('engine', {'w': array([0, 1, 2])})

    Raises:
        TypeError: there is something else in it.
    """
    arrays: list[NDArray[Any]] = []
    head = json.dumps(_described(value, arrays)).encode()
    return b"\n".join([head, b"".join(array.tobytes() for array in arrays)])


def from_bytes(data: bytes) -> Any:
    """Returns the value that ``to_bytes`` was given.

    Raises:
        MessageRefused: these bytes are not such a value's.
    """
    head, _, rest = data.partition(b"\n")
    try:
        value, used = _read(json.loads(head), memoryview(rest), 0)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MessageRefused("the training process sent no plain value") from error
    if used != len(rest):
        raise MessageRefused("the training process sent more bytes than it described")
    return value


def _described(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        array = np.asarray(value, order="C")
        if array.dtype.str not in _TYPES:
            raise TypeError(f"an array of {array.dtype} is no plain value")
        arrays.append(array)
        return {_ARRAY: [array.dtype.str, list(array.shape)]}
    if isinstance(value, Mapping):
        return {_PAIRS: [[str(key), _described(part, arrays)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        return {_LIST: [_described(part, arrays) for part in value]}
    raise TypeError(f"a {type(value).__name__} is no plain value")


def _read(described: Any, rest: memoryview, used: int) -> tuple[Any, int]:
    if described is None or isinstance(described, str | bool | int | float):
        return described, used
    ((kind, inner),) = described.items()
    if kind == _ARRAY:
        name, shape = inner
        if name not in _TYPES or any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("no such array")
        end = used + np.dtype(name).itemsize * int(np.prod(shape, dtype=object))
        if end > len(rest):
            raise ValueError("an array is cut off")
        return np.frombuffer(rest[used:end], name).reshape(shape).copy(), end
    if kind == _PAIRS:
        found: dict[str, Any] = {}
        for key, part in inner:
            found[str(key)], used = _read(part, rest, used)
        return found, used
    if kind != _LIST:
        raise ValueError("no such value")
    parts = []
    for part in inner:
        value, used = _read(part, rest, used)
        parts.append(value)
    return tuple(parts), used
