"""Marks: keyed hashes that stand for a hospital's patients, and for what their records hold.

The key follows from the hospital's split key, which nobody else has. Without it a mark can
neither be made from a patient's key nor compared with another hospital's.
"""

import hashlib
import hmac
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records, Rows, patient_token
from protocol.study.cohort.vocabulary import kept_token

MARK_BYTES = 32
_PATIENTS = b"collegium/mark of a patient/v1\0"
_CONTENTS = b"collegium/digest of a patient's records/v1\0"
#: So many numbers of records are in memory at once.
_NUMBERS = 1 << 21

Marks = NDArray[np.bytes_]


class PatientMarks:
    """The marks of one hospital.

    Args:
        secret: the hospital's split key.
    """

    def __init__(self, secret: bytes) -> None:
        self._patients = _keyed(hmac.digest(secret, _PATIENTS, "sha256"))
        self._contents = _keyed(hmac.digest(secret, _CONTENTS, "sha256"))

    def of(self, tokens: Iterable[str]) -> list[bytes]:
        """Returns the 32-byte mark of each patient, by the one spelling of its key."""
        return [self._patients(token.encode()) for token in tokens]

    def of_key(self, key: str) -> frozenset[bytes]:
        """Returns the marks under which a patient can stand whose key a person wrote.

        Two, where a key has another spelling in a column that is not the study's own key.
        """
        exact = patient_token(key)
        return frozenset(self.of({exact, kept_token(exact)}))

    def contents(self, parts: Iterable[tuple[Records, NDArray[np.int64]]], count: int) -> Marks:
        """Returns the 32-byte digest of each person's records, in whatever order they stand.

        Args:
            parts: records, of which features and labels are hashed, with the person of each.
            count: how many persons there are; one without a record has the digest of none.
        """
        pairs = [(as_marks(self._digests(records)), persons) for records, persons in parts]
        digests, persons = (np.concatenate(each) for each in zip(*pairs, strict=True))
        data = digests[np.lexsort((digests, persons))].tobytes()
        ends = np.cumsum(np.bincount(persons, minlength=count)) * MARK_BYTES
        bounds = itertools.pairwise([0, *ends.tolist()])
        return as_marks(self._contents(data[begin:end]) for begin, end in bounds)

    def _digests(self, records: Records) -> Iterator[bytes]:
        size = math.prod(records.features.shape[1:]) + math.prod(records.labels.shape[1:])
        at_once = max(1, _NUMBERS // size)
        for begin in range(0, len(records), at_once):
            part = slice(begin, begin + at_once)
            pair = records.features, records.labels
            for features, labels in zip(*(_bytes_of(one, part) for one in pair), strict=True):
                yield self._contents(features + labels)


def _keyed(key: bytes) -> Callable[[bytes], bytes]:
    """Returns keyed BLAKE2b (RFC 7693, section 2.9), of 32 bytes."""
    begun = hashlib.blake2b(key=key, digest_size=MARK_BYTES)

    def hashed(data: bytes) -> bytes:
        state = begun.copy()
        state.update(data)
        return state.digest()

    return hashed


def as_marks(marks: Iterable[bytes]) -> Marks:
    """Returns marks as an array."""
    return np.frombuffer(b"".join(marks), dtype=f"S{MARK_BYTES}")


def as_bytes(marks: Marks) -> Iterator[bytes]:
    """Yields the 32 bytes of each mark of an array."""
    data = np.ascontiguousarray(marks).tobytes()
    return (data[begin : begin + MARK_BYTES] for begin in range(0, len(data), MARK_BYTES))


def _bytes_of(rows: Rows, part: slice) -> Sequence[bytes]:
    """Returns each row's numbers as little-endian bytes."""
    numbers = np.ascontiguousarray(rows[part], dtype="<f4")
    return [row.tobytes() for row in numbers]
