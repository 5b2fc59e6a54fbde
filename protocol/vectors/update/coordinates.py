"""The coordinates of an update that a round sends: drawn from a public key, the same for all.

Every place gets the next 64-bit word of the key's stream; the places of the smallest words are
chosen, of equal words the first. So every set of ``count`` places is equally likely, none is
chosen twice, and whoever has the key finds the same ones.
"""

import numpy as np
from numpy.typing import NDArray

from protocol.vectors.keystream import Keystream


def chosen_coordinates(key: bytes, size: int, count: int) -> NDArray[np.int64]:
    """Returns (count,) rising places below ``size``.

    >>> chosen_coordinates(bytes(32), 8, 3).tolist()
    [4, 5, 6]

    Args:
        key: 32 bytes; public.
        size: how many places there are.
        count: how many are chosen, from 1 to ``size``.

    Raises:
        ValueError: there are not so many places.
    """
    if not 1 <= count <= size:
        raise ValueError(f"of {size} coordinates {count} cannot be chosen")
    words = Keystream(key).words(size, np.uint64)
    last = np.partition(words, count - 1)[count - 1]
    # Of words equal to the last one only the first are chosen, as many as are still wanted.
    smaller, equal = np.flatnonzero(words < last), np.flatnonzero(words == last)
    found = np.concatenate([smaller, equal[: count - len(smaller)]])
    found.sort()
    return found.astype(np.int64, copy=False)
