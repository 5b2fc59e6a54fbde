"""Attacks of one hospital of nine, which controls its own software, on the model.

Nothing that it sends is shortened on its side: any vector of the ring is sent that the check of a
group's sum lets pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.study.study import Study
from protocol.vectors.fixed_point import norm_of

Floats: TypeAlias = NDArray[np.float64]
#: Of the norm that the check of a sum of three allows, what an attacker surely has for itself.
_PASSES = 2.0


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack: what becomes of the hospital's records, and of the update made of them."""

    records: Callable[[Records], Records] = lambda honest: honest
    update: Callable[[Floats, Study], Floats] = lambda honest, _study: honest


def flipped(honest: Records) -> Records:
    """Returns records in which the ill are called healthy, and the healthy ill."""
    return replace(honest, labels=1 - honest.labels)


def _longest(honest: Floats, study: Study) -> Floats:
    length = norm_of(honest)
    return -honest * (_PASSES * study.aggregation.bound / length) if length else honest


ATTACKS: Mapping[str, Attack] = {
    "none": Attack(),
    "sign flipped": Attack(update=lambda honest, _: -honest),
    "sign flipped, ten times the update": Attack(update=lambda honest, _: -10 * honest),
    "sign flipped, as long as the check lets pass": Attack(update=_longest),
    "labels flipped": Attack(records=flipped),
    "labels flipped, ten times the update": Attack(
        records=flipped, update=lambda honest, _: 10 * honest
    ),
}
