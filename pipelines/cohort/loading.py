"""The cohort: a hospital's records, read and encoded by the study's contract.

Rules:

1. Whatever does not fit the contract is refused with site, column and line (or
   array and entry), what is wrong and what to do; never with a patient's value.
   Of a table every fault of every column is told at once.
2. A cohort too small to protect, or without anything to learn from, is refused
   before any work.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.cohort.encoding.table_encoding import encode_table
from pipelines.cohort.quality import groups_of
from pipelines.records import Records
from pipelines.sources.source import BundledRecords, RecordFile, Source
from protocol.counted import counted
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Cohort, ImageCohort
from protocol.study.study import BUNDLED, ColumnSplit, PartitionByColumn, Partitioning, Split

__all__ = ["Records", "check_cohort", "columns_to_keep", "load_cohort"]


def load_cohort(
    cohort: Cohort, source: Source | str | Path, *, site: str, keep: Sequence[str] = ()
) -> Records:
    """Returns the records of one source, encoded by the contract.

    Args:
        cohort: the contract: a table or images.
        source: what a hospital's site file names; the path of a file that is written as the
            contract says; or ``study.BUNDLED``.
        site: whose records these are, for messages.
        keep: columns that split or partition will look at, see ``columns_to_keep``.

    Guarantee: the encoding of a record depends on the contract and on that
    record only.

    Raises:
        CohortRefused: the source cannot be read, or does not fit the contract.
    """
    if isinstance(source, str | Path):
        source = BundledRecords() if source == BUNDLED else RecordFile(path=Path(source))
    if isinstance(cohort, ImageCohort):
        return source.images(cohort, site=site, keep=keep)
    return encode_table(source.table(cohort, site=site, keep=keep), cohort, keep=keep)


def columns_to_keep(split: Split, partition: Partitioning | None = None) -> tuple[str, ...]:
    """Returns the columns that a study's split and partition look at, for ``load_cohort``."""
    names = [split.column] if isinstance(split, ColumnSplit) else []
    if partition is not None and isinstance(partition.how, PartitionByColumn):
        names.append(partition.how.column)
    return tuple(dict.fromkeys(names))


def check_cohort(
    train: Records,
    test: Records,
    cohort: Cohort,
    *,
    site: str,
    declared: int,
    trains: bool = True,
) -> None:
    """Refuses a cohort that cannot be protected or trained on.

    A small hospital's split may leave it without test patients; it then trains
    with the others and adds nothing to the evaluation.

    Args:
        train: the training part of one hospital's records.
        test: its test part; no patient is in both.
        cohort: the contract, with the minimum number of patients.
        site: whose records these are, for messages.
        declared: how many training patients the study declares for this site.
        trains: whether the study trains; else all patients are counted, in the test part.

    Raises:
        CohortRefused: no records to train on, fewer patients than the minimum, or than the
            minimum of a class, one class only in training, or more training or test patients than
            declared.
    """
    if not len(train) + len(test):
        raise CohortRefused(
            f"site {site}: no records; check the source and what the contract drops"
        )
    patients = train.num_patients + test.num_patients
    if patients < cohort.min_patients:
        raise CohortRefused(
            f"site {site}: {counted(patients, 'patient')}, the study's minimum is "
            f"{cohort.min_patients}; leave this site out, or amend cohort.min_patients"
        )
    if trains and not len(train):
        raise CohortRefused(f"site {site}: the training part is empty; amend the study's split")
    several = trains and cohort.label.num_classes > 0 and train.labels.ndim == 1
    if several and not cohort.allow_one_class and len(np.unique(train.labels[:])) < 2:
        raise CohortRefused(
            f"site {site}: the training part holds one class only; leave this site out, or set "
            "cohort.allow_one_class"
        )
    few = list(_few_of_a_class(test, "test" if trains else "counted", cohort))
    if trains:
        few = [*_few_of_a_class(train, "training", cohort), *few]
    if few:
        raise CohortRefused("\n".join(f"site {site}: {said}" for said in few))
    for part, records in (("training", train), ("test", test)):
        if records.num_patients > declared:
            raise CohortRefused(
                f"site {site}: {records.num_patients} {part if trains else 'counted'} patients, "
                "the study declares "
                f"{declared} for it; declare a round number above (sites: - {{name: {site}, "
                "patients: ...}): sums are divided by it and the work of a step is laid out for it"
            )


def _few_of_a_class(records: Records, part: str, cohort: Cohort) -> Iterator[str]:
    """Yields the groups of a label of which a part has fewer patients than the study's minimum."""
    for name, patients in groups_of(records, cohort.label).items():
        if cohort.min_per_class is not None and patients < cohort.min_per_class:
            yield (
                f"{counted(patients, 'patient')} with {name} in the {part} part, the study's "
                f"minimum is {cohort.min_per_class}; leave this site out, or amend "
                "cohort.min_per_class"
            )
