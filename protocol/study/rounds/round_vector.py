"""The vector of one training round: which coordinates are sent, in which ring, in which steps.

Rules:

1. Layers that stay with each hospital (``own_layers``) are not sent.
2. Of the other parameters a round sends all, or the part that the study names. Which ones, a key
   says that follows from the study, the round's number and the round's model: the same for every
   hospital, attempt and draw. Nobody chooses it. The study was approved beforehand, and the model
   is the result of the rounds before it; so a coordinator could draw again by leaving hospitals
   out of a sum, and would gain nothing: each coordinate is noised, whichever are sent.
3. An adaptive clip and scalars are always sent: they stand behind the parameters.
4. An update is shortened to the bound after its coordinates were chosen. The bound protects the
   ring, not patients: these were clipped and noised before, in every coordinate. So what is not
   sent does not shorten what is.
5. The ring is the narrowest of those that the study allows that no sum wraps, with a step that is
   fine enough (``ring_bounds.is_fine``). In the ring of 16 bits updates are rounded at random, by
   a key of each site that is public like that of the coordinates.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import StudyRefused
from protocol.study.privacy import DistributedPrivacy
from protocol.study.rounds.noise_shares import NoiseShares
from protocol.study.strategies.own_layers import chosen
from protocol.study.strategies.registry import strategy_of
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import CLIP
from protocol.vectors.fixed_point import decode
from protocol.vectors.keystream import Keystream, RingVector
from protocol.vectors.ring_bounds import (
    LEAST_STEPS,
    finest_frac_bits,
    is_fine,
    least_ring_bits,
    max_sum_of_updates,
)
from protocol.vectors.tensors import Layout, Tensors, layout_of, model_digest
from protocol.vectors.update import UpdateVector, chosen_coordinates

_LABEL = "collegium/sa1"
#: The ring in which updates are rounded at random.
_NARROW = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundVector:
    """The form of the contributions to one training round: how they are encoded, their sum read.

    ``bound`` is the L2 norm that one site's vector stays below, ``frac_bits`` says the step.
    ``weights`` are the sites' public ones, as parts of the largest. ``rounding`` is the key from
    which each site's random rounding follows; None where it rounds to the nearest.
    """

    update: UpdateVector
    ring_bits: int
    frac_bits: int
    bound: float
    is_shared: bool
    weights: Mapping[str, float]
    rounding: str | None = None

    @property
    def size(self) -> int:
        """The number of words in the vector."""
        return self.update.size

    @property
    def digest(self) -> str:
        """The name of what the words are: the layout's, and of the coordinates that are sent."""
        return self.update.digest

    @property
    def coordinates(self) -> NDArray[np.int64] | None:
        """The rising places of the parameters that are sent; None where all are."""
        return self.update.coordinates

    def encode(
        self, site: str, noised: NDArray[np.number], out: RingVector | None = None
    ) -> RingVector:
        """Returns the words of what a hospital contributes.

        Args:
            site: the hospital.
            noised: a number for each parameter: its update, or its noised sum of gradients.
            out: where to write an update's words; fresh memory when None.

        Raises:
            UpdateRefused: an entry is NaN or infinite.
        """
        if self.is_shared:
            words: RingVector = self.update.of(noised).astype(f"<u{self.ring_bits // 8}")
            return words
        rounding = None
        if self.rounding is not None:
            rounding = Keystream(_key(self.rounding, site))
        return self.update.encode(
            noised.astype(np.float64, copy=False),
            weight=self.weights[site],
            bound=self.bound,
            frac_bits=self.frac_bits,
            ring_bits=self.ring_bits,
            out=out,
            rounding=rounding,
        )

    def read(self, total: RingVector) -> tuple[NDArray[np.float64], Mapping[str, float]]:
        """Returns the sum of what was sent, and the sums of scalars by name."""
        if self.is_shared:
            return decode(total, frac_bits=0), {}
        return self.update.read(total, bound=self.bound, frac_bits=self.frac_bits)


def round_vector(study: Study, model: Tensors, number: int) -> RoundVector:
    """Returns the vector of a training round.

    Args:
        study: the study.
        model: what the round begins with.
        number: the round, from 0.

    Raises:
        StudyRefused: the study's ring cannot hold sums of steps that are fine enough.
    """
    layout, communication = layout_of(without_slots(model)), study.communication
    seed = f"{study.digest}\n{number}\n{model_digest(model)}" if communication is not None else ""
    part = 1.0 if communication is None else communication.coordinates
    coordinates = None
    if part < 1 or study.training.kept_layers:
        coordinates = shared_places(study, layout)
        if communication is not None and part < 1:
            coordinates = _drawn(coordinates, communication.sent(len(coordinates)), seed)
        if CLIP in layout.names:
            coordinates = np.append(coordinates, layout.size - 1)
    update = UpdateVector(
        parameters=layout,
        scalars=strategy_of(study.training).scalars,
        coordinates=coordinates,
    )
    privacy, largest = study.privacy, max(study.weights.values())
    weights = {site: weight / largest for site, weight in study.weights.items()}
    if isinstance(privacy, DistributedPrivacy):
        shares = NoiseShares.of(study, privacy, layout.size)
        return RoundVector(
            update=update, ring_bits=shares.ring_bits, frac_bits=0, bound=shares.bound,
            is_shared=True, weights=weights,
        )  # fmt: skip
    ring_bits, frac_bits = ring_of(study, update.sent)
    return RoundVector(
        update=update, ring_bits=ring_bits, frac_bits=frac_bits, bound=study.aggregation.bound,
        is_shared=False, weights=weights,
        rounding=f"rounding\n{seed}" if ring_bits == _NARROW else None,
    )  # fmt: skip


def shared_places(study: Study, layout: Layout) -> NDArray[np.int64]:
    """Returns the rising places of the parameters that hospitals share, without a clip's."""
    own = chosen(layout, study.training.kept_layers)
    if CLIP in layout.names:
        own[-1] = True
    return np.flatnonzero(~own)


def ring_of(study: Study, sent: int) -> tuple[int, int]:
    """Returns the ring of updates of which so many parameters are sent, and their ``frac_bits``.

    Raises:
        StudyRefused: in none of the rings that the study allows is a step fine enough.
    """
    aggregation, sites = study.aggregation, len(study.sites)
    bound, wanted = aggregation.bound, aggregation.frac_bits
    if study.communication is None:
        most = max_sum_of_updates(sites=sites, bound=bound, frac_bits=wanted)
        return least_ring_bits(most), wanted
    for ring_bits in study.communication.rings:
        found = finest_frac_bits(sites=sites, bound=bound, ring_bits=ring_bits, most=wanted)
        if found is not None and (found == wanted or is_fine(bound * 2.0**found, sent)):
            return ring_bits, found
    step = "1" if not found else f"2^-{found}"
    raise StudyRefused(
        f"communication.ring_bits: in a ring of {ring_bits} bits sums of {sites} sites x "
        f"aggregation.bound {bound:g} leave no finer step than {step}; {sent} coordinates need "
        f"one of {bound / LEAST_STEPS / math.sqrt(sent):.2g}: use a wider ring, or send fewer "
        "coordinates"
    )


def _drawn(places: NDArray[np.int64], count: int, seed: str) -> NDArray[np.int64]:
    return places[chosen_coordinates(_key("coordinates", seed), len(places), count)]


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\n".join((_LABEL, *parts)).encode()).digest()
