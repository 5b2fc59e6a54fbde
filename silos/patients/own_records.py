"""A hospital's own records for a study: read, left out where patients wish so, and split.

Runs, ``silo check``, ``silo freeze`` and ``silo results`` read records here, so that none takes in
a patient whom another leaves out.

Rules:

1. A person is known by the hospital's own number (``data.patient_number``), else by the study's
   patient key. Of a study that takes every row as a patient, with no such number, nobody can
   tell whose a row is: it is refused where anybody opted out or consent is asked for.
2. Who opted out, or did not consent to the study's purpose, is in neither part, and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compliance.storage.clock import utc_now
from pipelines.cohort.loading import columns_to_keep, load_cohort
from pipelines.cohort.train_test import parts_of
from pipelines.records import Records, SourceNote, number_patients
from pipelines.sources.clinical.fhir.consent import PatientConsent
from pipelines.sources.clinical.tally import Tally
from pipelines.sources.description import described
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused, PolicyRefused
from protocol.study.cohort.vocabulary import kept_token
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.config.directory import opened
from silos.config.patient_statement import ROW, PatientStatement
from silos.config.site_file import PatientRules, SiteFile, source_of
from silos.database.database import SiteDatabase
from silos.patients.cohort_list import CohortList, Part
from silos.patients.consent import consent_state, consents_to, read_consents
from silos.patients.entries import PatientEntries
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts
from silos.patients.marks import Marks, PatientMarks, as_marks
from silos.patients.opt_outs import MAX_NAME, opted_out

Mask = NDArray[np.bool_]


class OwnRecords(NamedTuple):
    """All records that are left in, the two parts, and whose all of them are."""

    whole: Records
    train: Records
    test: Records
    persons: "Persons"


class LeftOut(NamedTuple):
    """The persons who are left out of a study now, as masks of (persons,), by the reason.

    ``not_frozen`` may enter now, and could not when the cohort was frozen; or left it since.
    """

    opted_out: Mask
    without_consent: Mask
    not_frozen: Mask

    @property
    def all(self) -> Mask:
        """(persons,) whether each is left out."""
        return self.opted_out | self.without_consent | self.not_frozen


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


class PatientWishes:
    """The opt-outs and consents of a hospital's patients, as they stand when they are asked for.

    Args:
        hospital: whose record of patients is read.
        rules: of its site file.
        home: where the file of consents lies.
        today: the day that counts; the system's when None.
    """

    def __init__(
        self,
        hospital: SiteDatabase,
        rules: PatientRules,
        home: Path,
        *,
        today: date | None = None,
    ) -> None:
        self._entries = PatientEntries(hospital)
        self._rules, self._home, self._today = rules, home, today
        self._opted_out: frozenset[bytes] = frozenset()
        self._read = 0
        self._statements: tuple[PatientConsent, ...] = ()
        self._state: tuple[object, date] | None = None
        self._said_nothing: Sequence[SourceNote] = ()

    def opted_out(self) -> Marks:
        """Returns the marks of everybody who has opted out; only what is new is read again.

        Raises:
            StoreBroken: the record of patients was changed.
        """
        new = self._entries.since(self._read) if self._read else self._entries.all()
        if new:
            self._opted_out |= opted_out(new)
            self._read = new[-1].number
        return as_marks(self._opted_out)

    @property
    def asks_for_consent(self) -> bool:
        """Whether the site file names statements of consent."""
        return self._rules.consent is not None

    def statements(self) -> Sequence[PatientConsent]:
        """Returns the statements of consent; they are read again where a file is another.

        Raises:
            CohortRefused: they cannot be read.
        """
        if self._rules.consent is None:
            return ()
        path = self._home / self._rules.consent
        today = self._day()
        state = (consent_state(path), today)
        if not state[0] or state != self._state:
            tally = Tally()
            self._statements = tuple(read_consents(path, self._rules, tally, today=today))
            self._state, self._said_nothing = state, tally.notes
        return self._statements

    @property
    def said_nothing(self) -> Sequence[SourceNote]:
        """The statements that have no effect, counted by the reason; as they were last read."""
        return self._said_nothing

    def _day(self) -> date:
        return self._today or utc_now().astimezone().date()

    def follow(self, rules: PatientRules) -> None:
        """Takes other rules from now on."""
        self._rules = rules

    def left_out(self, keys: Sequence[str], marks: Marks, purpose: str, *, site: str) -> LeftOut:
        """Returns who is left out of a study with this purpose.

        Args:
            keys: of persons, each in its one spelling.
            marks: of the same persons.
            purpose: as the study states it.
            site: for messages.

        Raises:
            CohortRefused: the statements of consent cannot be read.
            StoreBroken: the record of patients was changed.
        """
        opted, nobody = np.isin(marks, self.opted_out()), np.zeros(len(keys), dtype=bool)
        if not self.asks_for_consent:
            return LeftOut(opted, nobody, nobody)
        today = self._day()
        given, refused = consents_to(purpose, self.statements(), today=today)
        given, refused = (each | set(map(kept_token, each)) for each in (given, refused))
        lacking = [key in refused or (self._rules.required and key not in given) for key in keys]
        return LeftOut(opted, np.array(lacking, dtype=bool) & ~opted, nobody)


def columns_for(study: Study, stated: PatientStatement) -> tuple[str, ...]:
    """Returns the columns that are read beside the contract's: the split's, and whose a row is."""
    keep = columns_to_keep(study.split, study.partition)
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
    whole = load_cohort(study.cohort, source, site=site.name, keep=keep, inspect=inspect)
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


def require_known(wishes: PatientWishes, *, is_known: bool, site: str) -> None:
    """Refuses records of which nobody can tell whose they are, where patients have wishes.

    Raises:
        PolicyRefused: says what to name in the site file.
    """
    if not is_known and (wishes.asks_for_consent or len(wishes.opted_out())):
        raise PolicyRefused(
            f"site {site}: the study takes every row as a patient, so nobody can tell which rows "
            "are of patients who opted out or did not consent: name the column of patient numbers "
            "in the site file, data.patient_number"
        )


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
