"""The digest of a model in a file, computed in constant memory.

The rules are ``protocol.vectors.tensors``'s: float32, finite, sorted names. Nothing is loaded: a
file of any size is read in pieces.
"""

import hashlib
import json
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import numpy as np

from protocol.errors import MessageRefused
from protocol.vectors.tensors import MAX_BYTES, Layout

#: The bytes that are read at a time: a multiple of a float's four.
PIECE = 1 << 20
_MAX_HEADER = 1 << 20
_MAX_AXES = 32
_LENGTH = 8
_FLOAT = 4


@dataclass(frozen=True, kw_only=True)
class _TensorPlace:
    """The place of a tensor: its shape, and bytes from ``begin`` to ``end`` after the header."""

    name: str
    shape: tuple[int, ...]
    begin: int
    end: int


def digest_of_model_file(file: BinaryIO) -> str:
    """Returns the digest of the model in a safetensors file; see ``tensors.model_digest``.

    Args:
        file: an open file that can be moved in; it is left anywhere.

    Raises:
        MessageRefused: too large, not safetensors, not float32, or not finite.
        OSError: it cannot be read.
    """
    places, base = _places(file)
    ordered = sorted(places, key=lambda place: place.name)
    layout = Layout(
        names=tuple(place.name for place in ordered), shapes=tuple(place.shape for place in ordered)
    )
    state = hashlib.sha256(layout.digest.encode())
    for place in ordered:
        file.seek(base + place.begin)
        left = place.end - place.begin
        while left:
            piece = file.read(min(PIECE, left))
            if len(piece) % _FLOAT or not piece:
                raise MessageRefused(f"tensor {place.name!r} ends before its last value")
            if not np.isfinite(np.frombuffer(piece, dtype="<f4")).all():
                raise MessageRefused(f"tensor {place.name!r} holds values that are not finite")
            state.update(piece)
            left -= len(piece)
    return state.hexdigest()


def _places(file: BinaryIO) -> tuple[tuple[_TensorPlace, ...], int]:
    """Returns where the tensors lie, and where the header ends; they leave no gap.

    Source: the safetensors format: a length of 8 bytes, a JSON header, the tensors' bytes.
    """
    size = file.seek(0, 2)
    if size > MAX_BYTES:
        raise MessageRefused(f"a model of {size} bytes exceeds the limit of {MAX_BYTES}")
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH), "little")
    if not 0 < length <= min(_MAX_HEADER, size - _LENGTH):
        raise MessageRefused("not safetensors: no header of a length that fits")
    try:
        # As text, and not as bytes: json would take UTF-16, and halves of surrogate pairs.
        said = json.loads(file.read(length).decode(), parse_constant=_refuse, parse_int=_natural)
        _require_texts(said.pop("__metadata__", {}))
        places = [_place(name, held) for name, held in said.items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MessageRefused(f"not safetensors: {type(error).__name__}") from error
    at = 0
    for place in sorted(places, key=lambda place: place.begin):
        if place.begin != at:
            raise MessageRefused("not safetensors: the tensors overlap or leave a gap")
        at = place.end
    if not places or _LENGTH + length + at != size:
        raise MessageRefused("not safetensors: the tensors do not fill the file")
    return tuple(places), _LENGTH + length


def _require_texts(metadata: Any) -> None:
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise ValueError("metadata is text")
        (name + value).encode()


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _natural(digits: str) -> int:
    if digits.startswith("-"):  # -0 as well: the library takes none
        raise ValueError("shapes and offsets are not negative")
    return int(digits)


def _place(name: str, held: Any) -> _TensorPlace:
    name.encode()  # JSON can escape what no name is: half of a surrogate pair
    if held.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor has a dtype, a shape and two offsets")
    if held["dtype"] != "F32":
        raise MessageRefused(f"tensor {name!r} is {held['dtype']}, expected F32")
    shape, (begin, end) = tuple(held["shape"]), held["data_offsets"]
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise TypeError("shapes and offsets are whole numbers")
    if len(shape) > _MAX_AXES:
        raise MessageRefused(f"tensor {name!r} has {len(shape)} axes")
    if end - begin != _FLOAT * prod(shape) or end == begin:
        raise MessageRefused(f"tensor {name!r} holds another number of values than its shape")
    return _TensorPlace(name=name, shape=shape, begin=begin, end=end)
