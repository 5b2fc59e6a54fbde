"""The cohort: a hospital's records, read and encoded by the study's contract.

Rules:

1. Whatever does not fit the contract is refused with site, column and line (or
   array and entry), what is wrong and what to do; never with a patient's value.
   Of a table every fault of every column is told at once.
2. A cohort too small to protect, or without anything to learn from, is refused
   before any work.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.cohort.encoding.table_encoding import encode_table
from pipelines.cohort.quality import groups_of
from pipelines.records import Records, patient_token
from pipelines.sources.cell_patterns import is_in_exponent_form
from pipelines.sources.cells import Cells
from pipelines.sources.faults import RecordFault, refusal, refused
from pipelines.sources.faults.small_counts import few
from pipelines.sources.source import BundledRecords, RecordFile, Source
from pipelines.sources.tables.table import SourceTable
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.cohort.labels import BinaryLabel, ClassLabel
from protocol.study.cohort.vocabulary import canonical_token
from protocol.study.study import BUNDLED, ColumnSplit, PartitionByColumn, Study
from protocol.study.task.evaluation import Grouping

__all__ = ["Records", "check_cohort", "columns_to_keep", "load_cohort"]


def load_cohort(
    cohort: Cohort,
    source: Source | str | Path,
    *,
    site: str,
    keep: Sequence[str] = (),
    groupings: Collection[Grouping] = (),
    inspect: Callable[[SourceTable], None] = lambda table: None,
) -> Records:
    """Returns the records of one source, encoded by the contract.

    Args:
        cohort: the contract: a table or images.
        source: what a hospital's site file names; the path of a file that is written as the
            contract says; or ``study.BUNDLED``.
        site: whose records these are, for messages.
        keep: columns that split or partition look at, see ``columns_to_keep``.
        groupings: of patients, whose columns are kept too; a cell of them may be missing.
        inspect: is given a table as it was read, before any of its cells is refused.

    Guarantee: the encoding of a record depends on the contract and on that
    record only.

    Raises:
        CohortRefused: the source cannot be read, or does not fit the contract.
    """
    if isinstance(source, str | Path):
        source = BundledRecords() if source == BUNDLED else RecordFile(path=Path(source))
    names = tuple(dict.fromkeys((*keep, *(grouping.column for grouping in groupings))))
    if isinstance(cohort, ImageCohort):
        return source.images(cohort, site=site, keep=names)
    table = source.table(cohort, site=site, keep=names)
    inspect(table)
    return encode_table(table, cohort, keep=keep, groupings=groupings)


def columns_to_keep(study: Study) -> tuple[str, ...]:
    """Returns the columns that split and partition look at, for ``load_cohort``."""
    split, partition = study.split, study.partition
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
    counts_all: bool = False,
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
        trains: whether the study trains; else the training part may be anything.
        counts_all: whether all patients are counted, in the test part.

    Raises:
        CohortRefused: no records to train on, fewer patients than the minimum, or than the
            minimum of a class, one class only in training, or more training or test patients than
            declared.
    """
    if not len(train) + len(test):
        raise refused(site, "no-rows", "no records", "check the source and what the contract drops")
    patients = train.num_patients + test.num_patients
    too_few = too_few_patients(patients, cohort)
    if too_few is not None:
        raise refusal(site, "", [too_few])
    if trains and not len(train):
        raise refused(
            site,
            "no-training-patients",
            "the training part is empty",
            "amend the study's split",
        )
    several = trains and cohort.label.num_classes > 0 and train.labels.ndim == 1
    if several and not cohort.allow_one_class and len(np.unique(train.labels[:])) < 2:
        raise refused(site, "one-class", "the training part holds one class only", ONE_CLASS)
    small = list(_few_of_a_class(test, "counted" if counts_all else "test", cohort))
    if trains:
        small = [*_few_of_a_class(train, "training", cohort), *small]
    if small:
        raise refusal(site, "", small)
    for part, records in (("training", train), ("test", test)):
        if records.num_patients > declared:
            raise refused(
                site,
                "more-patients-than-declared",
                f"{records.num_patients} {'counted' if counts_all else part} patients, the study "
                f"declares {declared} for it",
                f"declare a round number above (sites: - {{name: {site}, patients: ...}}): sums "
                "are divided by it and the work of a step is laid out for it",
            )


def _few_of_a_class(records: Records, part: str, cohort: Cohort) -> Iterator[RecordFault]:
    """Yields the groups of a label of which a part has fewer patients than the study's minimum."""
    for name, patients in groups_of(records, cohort.label).items():
        if cohort.min_per_class is not None and patients < cohort.min_per_class:
            yield RecordFault(
                name="too-few-of-a-class",
                what=f"{few(patients, 'patient')} with {name} in the {part} part, the study's "
                f"minimum is {cohort.min_per_class}",
                remedy="leave this site out, or amend cohort.min_per_class",
            )


ONE_CLASS = "leave this site out, or set cohort.allow_one_class"


def cohort_faults(table: SourceTable, cohort: TableCohort) -> Iterator[RecordFault]:
    """Yields what a table shows of the whole cohort although its cells do not fit the contract.

    Nothing that follows from lines that could not be read, nor from keys that say nothing: each of
    them may be a patient's.
    """
    if not len(table.rows):
        return
    patients = len(table.rows)
    if cohort.patient_key in table.cells:
        patients = _most_patients(table.cells[cohort.patient_key], cohort)
    if cohort.patient_key in (*table.cells, "row"):
        too_few = too_few_patients(patients + table.rows_left_out, cohort)
        if too_few is not None:
            yield too_few
    label = cohort.label
    if table.rows_left_out > len(table.rows):
        return
    if cohort.allow_one_class or not isinstance(label, BinaryLabel | ClassLabel):
        return
    if str(label.column) in table.cells:
        tokens = map(canonical_token, table.cells[str(label.column)].spellings)
        if len({label.meaning[one] for one in tokens if one in label.meaning}) == 1:
            yield RecordFault(
                name="one-class", what="all records hold one class only", remedy=ONE_CLASS
            )


def _most_patients(keys: Cells, cohort: TableCohort) -> int:
    """Returns how many patients there are, if each row without a key of its own is one more."""
    unknown = {
        key
        for key in keys.spellings
        if not key or key in cohort.missing or is_in_exponent_form(key)
    }
    known = {patient_token(key) for key in keys.spellings if key not in unknown}
    return len(known) + int(keys.among(unknown).sum())


def too_few_patients(patients: int, cohort: Cohort) -> RecordFault | None:
    """Returns the fault of fewer patients than the study's minimum, or None."""
    if patients >= cohort.min_patients:
        return None
    return RecordFault(
        name="too-few-patients",
        what=f"{few(patients, 'patient')}, the study's minimum is {cohort.min_patients}",
        remedy="leave this site out, or amend cohort.min_patients",
    )
