"""The vector in which a training update travels through the secure sum.

::

    [ parameters, in the layout's order ][ scalar 1 ][ scalar 2 ] ...

A strategy may need more than the mean update: how long the updates were before
they cancelled each other, for example. Such a scalar travels behind the
parameters, under the same mask; nothing about a single site is sent in clear
beside it. A scalar is a number from 0 to 1, is computed from the very update
that leaves, and is summed with the same public weight. In the vector 1 is a
sixteenth of the bound, so that scalars never wrap where parameters do not.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.encoding import digest_json
from protocol.vectors.fixed_point import decode, encode
from protocol.vectors.keystream import RingVector
from protocol.vectors.ring_bounds import SCALAR_PART
from protocol.vectors.tensors import Layout

#: From an update and the bound to a number from 0 to 1.
Scalar: TypeAlias = Callable[[NDArray[np.floating], float], float]


@dataclass(frozen=True, kw_only=True)
class UpdateVector:
    """The layout of one strategy's vector: a network's parameters, and its scalars by name."""

    parameters: Layout
    scalars: Mapping[str, Scalar]

    @property
    def size(self) -> int:
        """The number of numbers in the vector."""
        return self.parameters.size + len(self.scalars)

    @property
    def digest(self) -> str:
        """The layout's name; without scalars, that of the parameters' layout."""
        if not self.scalars:
            return self.parameters.digest
        return digest_json({"parameters": self.parameters.digest, "scalars": list(self.scalars)})

    def encode(
        self,
        update: NDArray[np.floating],
        *,
        weight: float,
        bound: float,
        frac_bits: int,
        ring_bits: int = 32,
        out: RingVector | None = None,
    ) -> RingVector:
        """Returns the (size,) ring elements of one site's update and its scalars.

        Raises:
            UpdateRefused: an entry of the update is NaN or infinite.
            ValueError: weight, bound or ring are out of range.
        """
        elements = np.empty(self.size, dtype=f"<u{ring_bits // 8}") if out is None else out
        count = self.parameters.size
        encode(
            update, weight=weight, bound=bound, frac_bits=frac_bits, ring_bits=ring_bits,
            out=elements[:count],
        )  # fmt: skip
        for place, scalar in enumerate(self.scalars.values(), start=count):
            value = scalar(update, bound)
            elements[place] = math.floor(value * weight * bound * SCALAR_PART * 2.0**frac_bits)
        return elements

    def read(
        self, total: RingVector, *, bound: float, frac_bits: int
    ) -> tuple[NDArray[np.float64], Mapping[str, float]]:
        """Returns the weighted sums of the updates and of each scalar."""
        values = decode(total, frac_bits=frac_bits)
        count = self.parameters.size
        scalars = values[count:] / (bound * SCALAR_PART)
        return values[:count], dict(zip(self.scalars, scalars.tolist(), strict=True))
