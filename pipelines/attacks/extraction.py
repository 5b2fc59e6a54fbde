"""Extraction: can a patient's record be told from others that could be it, by a model alone?

Who knows a part of a record tries everything that the rest could be, and asks the model which
record it finds likeliest. The *exposure* of a record among n others is log2(n + 1) less the log2 of
its rank by loss: the bits that the model gives away. Two sorts of records are tried:

- a hospital's own: of each, half of the columns (or of the image) is unknown. What the model says
  of training patients beyond what it says of others is what it kept of them;
- inserted ones: mixtures of records with a drawn label, which nobody could learn but by heart. The
  rank of one that was not inserted is uniform, so what guessing gives is known exactly.

Source: Carlini et al. 2019 (USENIX Security), arXiv 1802.08232, section 4.2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.attacks.losses import LossOf, Singles
from pipelines.attacks.membership import AttackEstimate
from pipelines.records import Records
from protocol.study.cohort.cohort import Cohort

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

#: Others that a hospital's own record, and an inserted one, is told from, at most.
OTHERS, OTHERS_OF_INSERTED = 63, 511
#: With fewer others a rank says nothing.
FEWEST = 7
#: Patients of either part whose records are tried, and records that are inserted, at most.
TRIED, INSERTED = 128, 32
#: Of a hospital's training patients at most one in so many gives its place to an inserted record.
_ONE_IN = 4
_Z95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """The mean exposure of some records, in bits, beside that of records which nobody trained on.

    Attributes:
        records: how many were tried.
        others: from how many each was told; ``log2(others + 1)`` bits are the most.
        bits: their mean exposure.
        usual: the mean of records that the model was not trained on, or what guessing gives.
        excess: ``bits`` less ``usual``.
    """

    records: int
    others: int
    bits: float
    usual: float
    excess: AttackEstimate


def pieces_of(cohort: Cohort, width: int) -> tuple[slice, ...]:
    """Returns the parts of a flat record that are known or unknown as a whole.

    Each column is one; the pixels of an image are two, its upper and its lower half.

    Args:
        cohort: the study's.
        width: how many numbers a record has.
    """
    widths = [column.width for column in cohort.features] if cohort.width else []
    pixels = width - sum(widths)
    ends = np.cumsum([*([pixels // 2, pixels - pixels // 2] if pixels else []), *widths])
    begins = [0, *ends[:-1]]
    return tuple(slice(int(a), int(b)) for a, b in zip(begins, ends, strict=True) if b > a)


def exposure_of_own(
    losses: LossOf, cohort: Cohort, train: Records, test: Records, random: np.random.Generator
) -> Exposure | None:
    """Returns how much more a model gives away of training patients' records than of others'.

    Of each patient the first record is tried. What the unknown half could be is taken from test
    patients, for training and for test patients alike. None where there are too few of either.
    """
    inside, outside = (_first_records(part) for part in (train, test))
    others = min(OTHERS, len(outside[0]) - 1)
    if others < FEWEST or len(inside[0]) < 2:
        return None
    found = []
    for (features, labels), is_test in ((inside, False), (outside, True)):
        tried = random.permutation(len(features))[:TRIED]
        bits = [
            _bits(losses, _hybrids(features[at], outside[0], at if is_test else None, others,
                                   cohort, random), labels[at])
            for at in tried.tolist()
        ]  # fmt: skip
        found.append(np.array(bits))
    ours, theirs = found
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    return _exposure(ours, float(theirs.mean()), float(error), others)


def canaries(
    cohort: Cohort, records: Records, count: int, random: np.random.Generator
) -> tuple[Singles, Singles]:
    """Returns (count, ...) records, each piece of which is another record's, and drawn labels."""
    features, labels = records.features[:], records.labels[:]
    mixed = _mixtures(cohort, features, count, random)
    return mixed, labels[random.integers(len(labels), size=count)]


def num_canaries(patients: int) -> int:
    """Returns how many of a hospital's training patients give their places to canaries."""
    return max(2, min(INSERTED, patients // _ONE_IN))


def exposure_of_inserted(
    losses: LossOf,
    cohort: Cohort,
    inserted: tuple[Singles, Singles],
    like: Records,
    random: np.random.Generator,
) -> Exposure:
    """Returns how much more a model gives away of inserted records than guessing does.

    Args:
        losses: under a model that was trained with them.
        cohort: the study's.
        inserted: what ``canaries`` gave.
        like: the records of which others are mixed in the same way.
        random: mixes them.
    """
    features = like.features[:]
    bits = np.array(
        [
            _bits(
                losses,
                np.concatenate(
                    [own[None], _mixtures(cohort, features, OTHERS_OF_INSERTED, random)]
                ),
                label,
            )
            for own, label in zip(*inserted, strict=True)
        ]
    )
    whole = np.log2(OTHERS_OF_INSERTED + 1)
    usual = float(np.mean(whole - np.log2(np.arange(1, OTHERS_OF_INSERTED + 2))))
    error = float(bits.std(ddof=1) / np.sqrt(len(bits)))
    return _exposure(bits, usual, error, OTHERS_OF_INSERTED)


def _exposure(bits: Floats, usual: float, error: float, others: int) -> Exposure:
    value = float(bits.mean()) - usual
    reach = _Z95 * error
    return Exposure(
        records=len(bits),
        others=others,
        bits=float(bits.mean()),
        usual=usual,
        excess=AttackEstimate(value=value, low=value - reach, high=value + reach),
    )


def _first_records(records: Records) -> tuple[Singles, Singles]:
    """Returns each patient's first record, and its label."""
    _, first = np.unique(records.patients, return_index=True)
    chosen = records.take(first.astype(np.int64))
    return chosen.features[:], chosen.labels[:]


def _hybrids(
    own: Singles,
    others: Singles,
    place: int | None,
    count: int,
    cohort: Cohort,
    random: np.random.Generator,
) -> Singles:
    """Returns (1 + count, ...): a record, and it with its unknown half from others.

    ``place`` is where the record stands among the others; None where it does not.
    """
    free = np.arange(len(others)) if place is None else np.delete(np.arange(len(others)), place)
    chosen = random.permutation(free)[:count]
    flat = others[chosen].reshape(count, -1)
    found = np.repeat(own.reshape(1, -1), count + 1, axis=0)
    pieces = pieces_of(cohort, found.shape[1])
    for at in random.permutation(len(pieces))[: max(1, len(pieces) // 2)].tolist():
        found[1:, pieces[at]] = flat[:, pieces[at]]
    return found.reshape(count + 1, *own.shape)


def _mixtures(
    cohort: Cohort, features: Singles, count: int, random: np.random.Generator
) -> Singles:
    flat = features.reshape(len(features), -1)
    found = np.empty((count, flat.shape[1]), dtype=np.float32)
    for piece in pieces_of(cohort, flat.shape[1]):
        found[:, piece] = flat[random.integers(len(flat), size=count), piece]
    return found.reshape(count, *features.shape[1:])


def _bits(losses: LossOf, tried: Singles, label: Singles) -> float:
    """Returns the exposure of the first record among the others of one label, ties halved."""
    labels = np.broadcast_to(label, (len(tried), *np.shape(label))).astype(np.float32)
    found = np.nan_to_num(losses(tried, labels), nan=np.inf)
    rank = 1 + (found[1:] < found[0]).sum() + (found[1:] == found[0]).sum() / 2
    return float(np.log2(len(tried)) - np.log2(rank))
