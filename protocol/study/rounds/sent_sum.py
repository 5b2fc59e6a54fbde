r"""The sum of a round, sent to hospitals in place of the model that follows from it.

A hospital that has opened a round holds its model. Of that model, of who is in the sum, and of
the sum follows the next one, by the server step that the study names. So where a study names its
``communication``, hospitals are sent a sum in the ring's own words, and find the model themselves;
its digest stands in the next round's context. A whole model goes to a hospital that lacks the one
before, and wherever a server step needs more than that: an optimiser's state, which stays with
the coordinator, or the mean of the last rounds' models.

::

    collegium/sum/1 \n  canonical JSON {"sites": [...]}  \n  words, little-endian
"""

from dataclasses import dataclass

import numpy as np

from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.study.rounds.mean import mean_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.strategies.server_state import (
    begun,
    model_of,
    needs_more_than_its_model,
    next_state,
)
from protocol.study.study import Study
from protocol.vectors.keystream import RingVector
from protocol.vectors.tensors import Tensors, layout_of

_MAGIC = b"collegium/sum/1\n"
#: Longer than the names of as many sites as there may be.
_MAX_HEADER = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class SentSum:
    """A training round's sum, and the sites that are in it."""

    survivors: tuple[str, ...]
    total: RingVector

    @property
    def to_bytes(self) -> bytes:
        """The sum as it is sent."""
        words = self.total.astype(self.total.dtype.newbyteorder("<"), copy=False)
        return b"".join([_MAGIC, canonical({"sites": self.survivors}), b"\n", words.tobytes()])


def is_sum(blob: bytes) -> bool:
    """Whether a blob is a sum, not a model."""
    return blob.startswith(_MAGIC)


def can_be_sent(study: Study, number: int) -> bool:
    """Whether of a round, counted from 0, the sum is sent in place of the model after it."""
    if study.communication is None or study.partial_sums:  # not all hospitals see each sum
        return False
    return not needs_more_than_its_model(study.training, number)


def model_after(study: Study, model: Tensors, number: int, sent: SentSum) -> Tensors:
    """Returns the model after a training round whose sum was sent.

    Args:
        study: the study.
        model: what the round began with.
        number: the round, from 0.
        sent: what was sent.
    """
    layout = layout_of(without_slots(model))
    mean = mean_of(study, model, number, sent.survivors, sent.total)
    state = next_state(study.training, begun(study.training, model, number), mean)
    return model_of(study.training, layout, state)


def read_sum(study: Study, model: Tensors, number: int, blob: bytes) -> SentSum:
    """Returns the sum of a training round that began with a model.

    Raises:
        MessageRefused: it is no sum of this round.
    """
    end = blob.find(b"\n", len(_MAGIC), len(_MAGIC) + _MAX_HEADER)
    if not is_sum(blob) or end < 0:
        raise MessageRefused("a sum begins with the sites that are in it")
    header, vector = parse_canonical(blob[len(_MAGIC) : end]), round_vector(study, model, number)
    sites = header.get("sites") if isinstance(header, dict) else None
    if not isinstance(sites, list) or not sites or header != {"sites": sites}:
        raise MessageRefused("a sum begins with the sites that are in it")
    if sites != [site for site in study.site_names if site in sites]:
        raise MessageRefused("the sites of a sum are the study's, sorted, each once")
    words = np.dtype(f"<u{vector.ring_bits // 8}")
    if len(blob) - end - 1 != vector.size * words.itemsize:
        raise MessageRefused(f"the sum of round {number + 1} has {vector.size} words")
    total: RingVector = np.frombuffer(blob, dtype=words, offset=end + 1)
    return SentSum(survivors=tuple(map(str, sites)), total=total)
