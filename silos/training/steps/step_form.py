"""The form of a hospital's work: the same places in every step, for any draw of patients.

Rules:

1. How many micro-batches of how many places a step has follows from the study alone:
   the site's declared patients, its sampling rate, ``micro_batch`` and the most records
   of a patient. Nothing is grouped by how many records somebody has.
2. Drawn patients fill the first places. A patient with fewer records than a place holds
   leaves the rest at weight 0; one with more gives records that follow each other, from
   a random one on. Places that nobody fills have weight 0, read any record, and are computed like
   the others.
3. Where a study augments images, each record stands in its place several times, with a random
   seed for each time, drawn for the place and not for who fills it.
4. A Poisson draw exceeds the places with a probability of at most ``OVERFLOW`` a step.
   Patients beyond them are computed in further micro-batches: the sum is whole, always,
   and in that one step alone the time would tell that many were drawn.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Study
from protocol.vectors.ring_bounds import Batch, max_in_batch

#: The chance that more patients are drawn for a step than its places hold.
OVERFLOW = 2.0**-40

Index = NDArray[np.int64]
Seeds = NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class StepForm:
    """``batches`` micro-batches of ``places`` patients with ``records`` records each.

    Of those, ``copies`` that follow each other are one record, each time varied at random.
    """

    batches: int
    places: int
    records: int
    copies: int = 1

    @classmethod
    def of(cls, study: Study, site: str) -> "StepForm":
        """Returns the form of a training step at one site: public, like all it follows from."""
        privacy = study.privacy_of(site)
        batch = Batch(patients=study.site(site).patients, rate=privacy.sampling_rate)
        drawn = max(1, max_in_batch(batch, OVERFLOW))
        batches = -(-drawn // study.training.micro_batch)
        augmentation = study.task.augmentation
        copies = augmentation.copies if augmentation else 1
        return cls(
            batches=batches,
            places=-(-drawn // batches),
            records=study.records_per_patient * copies,
            copies=copies,
        )


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The records of a step: (micro-batches, places, records) record numbers and their weights.

    A patient's weights add up to 1. A record number of weight 0 means nothing. ``seeds``, of the
    same form, are those by which images are varied; None where they are not.
    """

    records: Index
    weights: NDArray[np.float32]
    seeds: Seeds | None = None

    def __len__(self) -> int:
        return len(self.records)

    def part(self, first: int, every: int) -> "Drawn":
        """Returns every so-manieth micro-batch from one on."""
        own = slice(first, None, every)
        seeds = None if self.seeds is None else self.seeds[own]
        return Drawn(records=self.records[own], weights=self.weights[own], seeds=seeds)

    def micro_batches(self) -> Iterator[tuple[Index, NDArray[np.float32], Seeds | None]]:
        """Yields (places, records) numbers, weights and seeds."""
        seeds = itertools.repeat(None) if self.seeds is None else self.seeds
        yield from zip(self.records, self.weights, seeds, strict=self.seeds is not None)


class PatientRecords:
    """The places of every patient's records.

    Args:
        patients: (records,) the patient of each record, from 0.
        most: how many records of a patient are used at once.
    """

    def __init__(self, patients: Index, most: int) -> None:
        self._most = most
        self._patients = patients
        self._order = np.argsort(patients, kind="stable")
        self._spare = np.arange(len(patients))
        self._counts = np.bincount(patients)
        self._firsts = np.cumsum(self._counts) - self._counts

    def leave_out(self, patients: Index) -> None:
        """Lets places that nobody fills read records of these patients no more.

        Where nobody else is left they read the first record, at weight 0.
        """
        left = ~np.isin(self._patients[self._order], patients)
        self._spare = self._spare[left[self._spare]]

    def drawn(
        self,
        chosen: Index,
        form: StepForm,
        starts: NDArray[np.uint64],
        seeds: Seeds | None = None,
    ) -> Drawn:
        """Lays the chosen patients out in the form.

        Args:
            chosen: (patients,) their numbers.
            form: what a step has; more micro-batches follow only where it is too small.
            starts: (batches x places or more,) random words: where the records begin that
                are taken of a patient with more than ``most``.
            seeds: (batches x places x records or more,) random numbers by which images are varied.
        """
        batches = max(form.batches, -(-len(chosen) // form.places))
        shape = (batches, form.places, form.records)
        records, weights = self._laid_out(chosen, shape[0] * shape[1], starts)
        weights /= np.float32(form.copies)
        return Drawn(
            records=records.repeat(form.copies, axis=1).reshape(shape),
            weights=weights.repeat(form.copies, axis=1).reshape(shape),
            seeds=None if seeds is None else seeds[: math.prod(shape)].reshape(shape),
        )

    def all(self, places: int) -> tuple[Index, NDArray[np.float32]]:
        """Returns (places, most) record numbers and weights of everybody, the first records."""
        everybody = np.arange(len(self._counts))
        return self._laid_out(everybody, places, np.zeros(places, dtype=np.uint64))

    def _laid_out(
        self, chosen: Index, places: int, starts: NDArray[np.uint64]
    ) -> tuple[Index, NDArray[np.float32]]:
        counts, firsts = np.ones(places, dtype=np.int64), np.zeros(places, dtype=np.int64)
        counts[: len(chosen)], firsts[: len(chosen)] = self._counts[chosen], self._firsts[chosen]
        filled = np.arange(places) < len(chosen)
        used = np.minimum(counts, self._most)
        start = np.where(counts > self._most, starts[:places] % counts.astype(np.uint64), 0)
        column = np.arange(self._most)
        inside = (start.astype(np.int64)[:, None] + column) % counts[:, None]
        order = self._order if len(self._order) else np.zeros(1, dtype=np.int64)
        # Any record, like a drawn one: what is read often would be read faster.
        spare = self._spare if len(self._spare) else np.zeros(1, dtype=np.int64)
        anywhere = spare[(starts[:places] % np.uint64(len(spare))).astype(np.int64)]
        firsts = np.where(filled, firsts, anywhere)
        present = filled[:, None] & (column < used[:, None])
        return order[firsts[:, None] + inside], np.where(present, 1 / used[:, None], 0).astype(
            np.float32
        )
