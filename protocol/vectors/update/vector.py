"""The vector in which a training update travels through the secure sum.

::

    [ parameters that are sent, in the layout's order ][ scalar 1 ][ scalar 2 ] ...

A strategy may need more than the mean update: how long the updates were before
they cancelled each other, for example. Such a scalar travels behind the
parameters, under the same mask; nothing about a single site is sent in clear
beside it. A scalar is a number from 0 to 1, is computed from what is sent of the
very update that leaves, and is summed with the same public weight. In the vector
1 is a sixteenth of the bound, so that scalars never wrap where parameters do not.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from protocol.encoding import Json, digest, digest_json
from protocol.vectors.fixed_point import decode, encode
from protocol.vectors.keystream import Keystream, RingVector
from protocol.vectors.ring_bounds import SCALAR_PART
from protocol.vectors.tensors import Layout

Number = TypeVar("Number", bound=np.generic)
#: From an update and the bound to a number from 0 to 1.
Scalar: TypeAlias = Callable[[NDArray[np.floating], float], float]


@dataclass(frozen=True, kw_only=True, eq=False)
class UpdateVector:
    """The layout of one strategy's vector: a network's parameters, and its scalars by name.

    ``coordinates`` are the rising places of the parameters that are sent; None where all are.
    """

    parameters: Layout
    scalars: Mapping[str, Scalar]
    coordinates: NDArray[np.int64] | None = None

    @property
    def sent(self) -> int:
        """The number of parameters that are sent."""
        return self.parameters.size if self.coordinates is None else len(self.coordinates)

    @property
    def size(self) -> int:
        """The number of numbers in the vector."""
        return self.sent + len(self.scalars)

    @cached_property
    def digest(self) -> str:
        """The layout's name; of all parameters without scalars, that of the parameters' layout."""
        said: dict[str, Json] = {"parameters": self.parameters.digest}
        if self.coordinates is not None:
            said["coordinates"] = digest(self.coordinates.astype("<u4").tobytes())
        if self.scalars:
            said["scalars"] = list(self.scalars)
        return self.parameters.digest if len(said) == 1 else digest_json(said)

    def of(self, update: NDArray[Number]) -> NDArray[Number]:
        """Returns what is sent of a vector with a number for each parameter."""
        return update if self.coordinates is None else update[self.coordinates]

    def encode(
        self,
        update: NDArray[np.floating],
        *,
        weight: float,
        bound: float,
        frac_bits: int,
        ring_bits: int = 32,
        out: RingVector | None = None,
        rounding: Keystream | None = None,
    ) -> RingVector:
        """Returns the (size,) ring elements of one site's update and its scalars.

        What is sent of the update is shortened to the bound, not the whole of it.

        Raises:
            UpdateRefused: an entry of the update is NaN or infinite.
            ValueError: weight, bound or ring are out of range.
        """
        elements = np.empty(self.size, dtype=f"<u{ring_bits // 8}") if out is None else out
        count, sent = self.sent, self.of(update)
        encode(
            sent, weight=weight, bound=bound, frac_bits=frac_bits, ring_bits=ring_bits,
            out=elements[:count], rounding=rounding,
        )  # fmt: skip
        for place, scalar in enumerate(self.scalars.values(), start=count):
            value = scalar(sent, bound)
            elements[place] = math.floor(value * weight * bound * SCALAR_PART * 2.0**frac_bits)
        return elements

    def read(
        self, total: RingVector, *, bound: float, frac_bits: int
    ) -> tuple[NDArray[np.float64], Mapping[str, float]]:
        """Returns the weighted sums of what was sent of the updates, and of each scalar."""
        values = decode(total, frac_bits=frac_bits)
        count = self.sent
        scalars = values[count:] / (bound * SCALAR_PART)
        return values[:count], dict(zip(self.scalars, scalars.tolist(), strict=True))
