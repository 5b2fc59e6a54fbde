"""A model's parameters as named arrays: one order, one layout, one digest.

Rules:

1. Parameters are float32, little-endian, C order, taken in sorted name order.
2. The layout (names and shapes) has a digest; so has the model (names, shapes
   and bytes). Equal parameters give equal digests on every machine.
3. Files and messages hold safetensors; nothing from outside is unpickled.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from protocol.encoding import digest_json
from protocol.errors import MessageRefused

Tensors: TypeAlias = Mapping[str, NDArray[np.float32]]

#: The largest model that is read at all: 10**8 parameters and the header.
MAX_BYTES = 4 * 10**8 + (1 << 20)
#: No layer has more; NumPy takes 64 at most.
_MAX_AXES = 32
_DTYPES = {"F64": "float64", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names and shapes of a model's parameters, in sorted name order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """The number of the model's parameters."""
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)

    @property
    def digest(self) -> str:
        """SHA-256 of the layout's canonical form."""
        return digest_json([[n, list(s)] for n, s in zip(self.names, self.shapes, strict=True)])


def is_in(name: str, layer: str) -> bool:
    """Returns whether a parameter's dotted name is a layer's, or of something inside it."""
    return name == layer or name.startswith(f"{layer}.")


def layout_of(tensors: Tensors) -> Layout:
    """Returns the layout of a model's parameters."""
    names = tuple(sorted(tensors))
    return Layout(names=names, shapes=tuple(tuple(tensors[name].shape) for name in names))


def flatten(tensors: Tensors) -> NDArray[np.float32]:
    """Returns all parameters as one (size,) vector; the inverse of ``unflatten``."""
    parts = [
        np.asarray(tensors[name], dtype="<f4", order="C").reshape(-1) for name in sorted(tensors)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype="<f4")


def unflatten(layout: Layout, vector: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    """Returns the named parameters held in a (size,) vector; the inverse of ``flatten``.

    Raises:
        ValueError: the vector's length is not the layout's size.
    """
    if vector.shape != (layout.size,):
        raise ValueError(f"expected a vector of {layout.size}, got shape {vector.shape}")
    tensors, start = {}, 0
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        stop = start + int(np.prod(shape, dtype=np.int64))
        tensors[name] = vector[start:stop].astype("<f4").reshape(shape)
        start = stop
    return tensors


def model_digest(tensors: Tensors) -> str:
    """Returns SHA-256 over layout digest and parameter bytes: the model's name for ever.

    >>> model_digest({"w": np.zeros(2, np.float32)}) == model_digest({"w": np.zeros(2)})
    True
    """
    state = hashlib.sha256(layout_of(tensors).digest.encode())
    for name in sorted(tensors):
        state.update(np.asarray(tensors[name], dtype="<f4", order="C").tobytes())
    return state.hexdigest()


def encode_tensors(tensors: Tensors) -> bytes:
    """Returns the safetensors bytes of a model, the same for the same parameters."""
    ordered = {name: np.asarray(tensors[name], dtype="<f4", order="C") for name in sorted(tensors)}
    return save(ordered)


def decode_tensors(
    data: bytes, is_kept: Callable[[str], bool] = lambda name: True
) -> dict[str, NDArray[np.float32]]:
    """Returns the parameters held in safetensors bytes.

    Args:
        data: the file's bytes.
        is_kept: whether a tensor is wanted, by its name; another is neither returned nor checked.

    Raises:
        MessageRefused: too large, not safetensors, not float32, or not finite.
    """
    if len(data) > MAX_BYTES:
        raise MessageRefused(f"a model of {len(data)} bytes exceeds the limit of {MAX_BYTES}")
    try:
        found = {name: held for name, held in _held(data) if is_kept(name)}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise MessageRefused(
            f"not safetensors: {_disguise(data) or type(error).__name__}"
        ) from error
    tensors = {}
    for name, held in found.items():
        if held["dtype"] != "F32":
            dtype = _DTYPES.get(held["dtype"], held["dtype"])
            raise MessageRefused(f"tensor {name!r} is {dtype}, expected float32")
        if not held["data"]:
            raise MessageRefused(f"tensor {name!r} holds nothing")
        if len(held["shape"]) > _MAX_AXES:
            raise MessageRefused(f"tensor {name!r} has {len(held['shape'])} axes")
        tensor = np.frombuffer(held["data"], dtype="<f4").reshape(held["shape"])
        if not np.isfinite(tensor).all():
            raise MessageRefused(f"tensor {name!r} holds values that are not finite")
        tensors[name] = tensor
    return tensors


def _held(data: bytes) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Returns each tensor's name with its dtype, shape and bytes."""
    found: Iterable[tuple[str, Mapping[str, Any]]] = deserialize(data)  # type: ignore[no-untyped-call]
    return found


def _disguise(data: bytes) -> str:
    """Returns what a file is that begins like a pickle, or like an archive that holds one."""
    if data.startswith(b"PK\x03\x04"):
        return "a ZIP archive, as torch.save writes around a pickle; it was not opened"
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle; it was not opened"
    return ""
