"""A hospital's own records for a study: read, left out where patients wish so, and split.

Runs, ``silo check``, ``silo freeze`` and ``silo results`` read records here, so that none takes in
a patient whom another leaves out.

Rules:

1. A person is known by the hospital's own number (``data.patient_number``), else by the study's
   patient key. Of a study that takes every row as a patient, with no such number, nobody can
   tell whose a row is: it is refused where anybody opted out or consent is asked for.
2. Who opted out, or did not consent to the study's purpose, is in neither part, and counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.loading import columns_to_keep, load_cohort
from pipelines.cohort.train_test import parts_of
from pipelines.records import Records, number_patients
from pipelines.sources.description import described
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused, PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.config.directory import opened
from silos.config.patient_statement import ROW, PatientStatement
from silos.config.site_file import SiteFile, source_of
from silos.database.database import SiteDatabase
from silos.patients.cohort_list import CohortList, Part
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts
from silos.patients.marks import Marks, PatientMarks, as_marks
from silos.patients.opt_outs import MAX_NAME
from silos.patients.wishes import LeftOut, PatientWishes, require_known


class OwnRecords(NamedTuple):
    """All records that are left in, the two parts, and whose all of them are."""

    whole: Records
    train: Records
    test: Records
    persons: "Persons"


@dataclass(frozen=True, kw_only=True)
class Persons:
    """The persons whose records a source holds.

    Attributes:
        keys: each person's key, in its one spelling.
        rows: numbers of rows of the source, sorted.
        of_rows: the person of each of these rows.
        marks: (persons,) the mark of each.
        is_known: whether keys are of persons, and not of rows.
        left_out: who is left out of the study.
    """

    keys: tuple[str, ...]
    rows: NDArray[np.int64]
    of_rows: NDArray[np.int64]
    marks: Marks
    is_known: bool
    left_out: LeftOut

    def of(self, records: Records) -> NDArray[np.int64]:
        """Returns the person of each record."""
        return self.of_rows[np.searchsorted(self.rows, records.rows)]

    def without(self, marks: Marks) -> "Persons":
        """Returns the same persons, of whom those with these marks are left out too."""
        out = self.left_out
        late = np.isin(self.marks, marks) & ~out.opted_out & ~out.without_consent
        return replace(self, left_out=out._replace(not_frozen=late))

    @cached_property
    def left_out_marks(self) -> Marks:
        """The marks of those who are left out."""
        return self.marks[self.left_out.all]


def columns_for(study: Study, stated: PatientStatement) -> tuple[str, ...]:
    """Returns the columns that are read beside the contract's: the split's, and whose a row is."""
    keep = columns_to_keep(study)
    number = stated.patient_number
    own = () if number in (None, study.cohort.patient_key) else (number,)
    return tuple(dict.fromkeys((*keep, *own)))


def divided(
    whole: Records,
    study: Study,
    *,
    hospital: SiteDatabase,
    wishes: PatientWishes,
    stated: PatientStatement,
    key: bytes,
    index: bytes | None,
    cohort: FrozenCohort | None,
) -> OwnRecords:
    """Returns a hospital's records without those who are left out, and split.

    Args:
        whole: what was read, with the columns of ``columns_for``.
        study: its split, purpose and patient key count here.
        hospital: whose records they are.
        wishes: of its patients.
        stated: what the site file says about patients.
        key: the key of a split by hash.
        index: the split's index file, where it names one.
        cohort: whoever was left out when it was frozen, or left it since, stays out; None where
            one is to be frozen.

    Raises:
        PolicyRefused: patients are to be left out, and nobody can tell whose a row is.
        CohortRefused, StudyRefused: see ``parts_of``; the statements of consent cannot be read.
    """
    persons = _persons(whole, study, hospital, wishes, stated)
    if cohort is not None:
        persons = persons.without(_not_in(FrozenCohorts(hospital), cohort))
    out = persons.left_out.all[persons.of(whole)] if len(whole) else np.zeros(0, dtype=bool)
    train, test = parts_of(
        whole,
        study,
        key=key,
        site=hospital.site,
        index_file=index,
        left_out=whole.rows[out],
    )
    return OwnRecords(whole.take(~out) if out.any() else whole, train, test, persons)


def read_own_records(
    home: Path,
    site: SiteFile,
    study: Study,
    index: bytes | None,
    hospital: SiteDatabase,
    cohort: FrozenCohort | None,
    wishes: PatientWishes | None = None,
    inspect: Callable[[SourceTable], None] = lambda table: None,
) -> OwnRecords:
    """Returns a hospital's records from its site file; see ``divided``.

    ``inspect`` is given a table as it was read, before any of its cells is refused.

    Raises:
        CohortRefused, StudyRefused, SiteFileRefused, PolicyRefused: they cannot be read, or do not
            fit; see ``divided``.
    """
    keep = columns_for(study, site.stated)
    source = source_of(site, home)
    groupings = study.groupings_of(site.name) if site.name in study.site_names else ()
    whole = load_cohort(
        study.cohort, source, site=site.name, keep=keep, groupings=groupings, inspect=inspect
    )
    return divided(
        whole,
        study,
        hospital=hospital,
        wishes=wishes or PatientWishes(hospital, site.patients, home),
        stated=site.stated,
        key=hospital.split_key,
        index=index,
        cohort=cohort,
    )


def freeze_cohort(
    home: Path, study: Study, folder: Path, *, by: str
) -> tuple[FrozenCohort, FrozenCohort | None]:
    """Reads a hospital's records as a run would, and freezes them for a study.

    Records that are those of the newest version, whoever may be drawn of them, make no new one.

    Args:
        home: the hospital's folder.
        study: for which they are frozen.
        folder: where the study's index file lies, if it names one.
        by: who freezes them.

    Returns:
        The newest version now, and the one before this.

    Raises:
        CohortRefused, StudyRefused, SiteFileRefused, PolicyRefused: the records cannot be read, or
            do not fit; nobody is named.
    """
    name = by.strip()
    if not 0 < len(name) <= MAX_NAME:
        raise PolicyRefused(f"name who freezes the cohort, in at most {MAX_NAME} letters")
    with opened(home) as (site, hospital):
        index, source = index_beside(study, folder), source_of(site, home)
        before_reading = described(source)
        own = read_own_records(home, site, study, index, hospital, None)
        found, cohorts = list_of(own, PatientMarks(hospital.split_key)), FrozenCohorts(hospital)
        before = cohorts.newest(study.digest)
        if before is not None and before.digest == found.digest and cohorts.kept(before):
            return before, before
        records = len(own.train) + len(own.test)
        description = described(source)
        if description != before_reading:
            raise CohortRefused(
                f"site {site.name}: {description.name or 'the source'} was changed while it was "
                "read; nothing was frozen: freeze again once nobody writes it"
            )
        done = cohorts.freeze(study, found, records=records, source=description, by=name)
        return done, before


def list_of(own: OwnRecords, marks: PatientMarks) -> CohortList:
    """Returns the list of everybody in either part, and of those who are left out."""
    parts = np.zeros(len(own.persons.keys), dtype=np.uint8)
    persons = [own.persons.of(part) for part in (own.train, own.test)]
    for part, of_records in zip((Part.TRAINING, Part.EVALUATION), persons, strict=True):
        parts[of_records] |= np.uint8(part)
    contents = marks.contents(zip((own.train, own.test), persons, strict=True), len(parts))
    parts[own.persons.left_out.all] = np.uint8(Part.LEFT_OUT)
    listed = np.flatnonzero(parts)
    own_marks = own.persons.marks
    return CohortList.of(own_marks[listed], contents[listed], parts[listed])


def _not_in(cohorts: FrozenCohorts, cohort: FrozenCohort) -> Marks:
    """Returns the marks of those who were left out of a cohort, or left it since."""
    frozen = cohorts.kept(cohort)
    before = as_marks(()) if frozen is None else frozen.left_out_marks
    return np.concatenate([before, as_marks(cohorts.left(cohort))])


def _persons(
    whole: Records,
    study: Study,
    hospital: SiteDatabase,
    wishes: PatientWishes,
    stated: PatientStatement,
) -> Persons:
    number = stated.patient_number
    is_known = number is not None or study.cohort.patient_key != ROW
    if number is None or number == study.cohort.patient_key:
        spelled = whole.patient_keys
        keys = spelled if is_known else tuple(f"row {key}" for key in spelled)
        of_record = whole.patients
    else:
        of_record, found = number_patients(whole.columns[number])
        keys = tuple(found.tolist())
    require_known(wishes, is_known=is_known, site=hospital.site)
    marks = as_marks(PatientMarks(hospital.split_key).of(keys))
    order = np.argsort(whole.rows, kind="stable")
    return Persons(
        keys=keys,
        rows=whole.rows[order],
        of_rows=of_record[order],
        marks=marks,
        is_known=is_known,
        left_out=wishes.left_out(keys, marks, study.purpose, site=hospital.site),
    )
