"""The patients of one run: on which frozen cohort it draws, and who has left since.

A run asks before every step who has opted out or lost consent. Whoever has is drawn no more: the
cohort's entry stays, another says who left, and the numbers that the study declares, by which
sums are divided, stay as they are (ruled for every mode). What was sent before stays sent.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.description import SourceDescription
from protocol.errors import CohortRefused
from protocol.study.study import Study
from silos.config.site_file import PatientRules
from silos.database.database import SiteDatabase
from silos.patients.cohort_list import CohortList
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts, require_frozen
from silos.patients.marks import PatientMarks
from silos.patients.own_records import OwnRecords, list_of
from silos.patients.wishes import PatientWishes, require_known

log = logging.getLogger("collegium.silo")

Ints = NDArray[np.int64]

#: Who froze a cohort that nobody had frozen before its first run.
FIRST_RUN = "the first run"


class LeftInRun(NamedTuple):
    """The numbers of the training and of the test patients who are drawn no more."""

    train: Ints
    test: Ints


def frozen_for(cohorts: FrozenCohorts, study: Study, run_id: str | None) -> FrozenCohort | None:
    """Returns the cohort that a run draws from, or would; None where one is still to be frozen."""
    own = None if run_id is None else cohorts.of_run(run_id)
    return own or cohorts.newest(study.digest)


class PatientsInRun:
    """The patients of a run that has read its records.

    Args:
        hospital: whose they are.
        study: what runs.
        run_id: the run.
        own: the records that were read for it.
        wishes: of the hospital's patients.
        source: describes what was read; asked only where a cohort is frozen.
        freezes: whether other records than were frozen are frozen anew: in a simulation.

    Raises:
        CohortRefused: what was read is not what was frozen; says how many patients differ.
        StoreBroken: the record of patients was changed, or cannot be written.
    """

    def __init__(
        self,
        hospital: SiteDatabase,
        study: Study,
        run_id: str,
        own: OwnRecords,
        wishes: PatientWishes,
        *,
        source: Callable[[], SourceDescription],
        freezes: bool,
    ) -> None:
        self._run, self._study, self._site = run_id, study, hospital.site
        self._wishes, self._persons = wishes, own.persons
        self._cohorts = FrozenCohorts(hospital)
        now = list_of(own, PatientMarks(hospital.split_key))
        records = len(own.train) + len(own.test)
        found = self._compared(now, freezes=freezes)
        if found is None:
            cohort = self._cohorts.freeze(
                study, now, records=records, source=source(), by=FIRST_RUN
            )
            found = cohort, now
        self.cohort, self._frozen = found
        self._train = _PatientsOfPersons(own.persons.of(own.train), own.train.patients)
        self._test = _PatientsOfPersons(own.persons.of(own.test), own.test.patients)
        self._left = np.zeros(len(own.persons.keys), dtype=bool)
        self._cohorts.record_left(self.cohort, self._frozen, own.persons.left_out_marks)

    def begin(self) -> None:
        """Records durably that the run draws from its cohort; before anything is computed."""
        self._cohorts.begin_run(self._run, self.cohort)

    def follow(self, rules: PatientRules) -> None:
        """Takes the rules of the site file as they are now."""
        self._wishes.follow(rules)

    def left(self) -> LeftInRun | None:
        """Returns who is drawn no more from now on; None where that is as it was when last asked.

        Raises:
            CohortRefused: the statements of consent cannot be read.
            PolicyRefused: somebody has opted out, and nobody can tell whose the rows are.
            StoreBroken: the record of patients was changed, or cannot be written.
        """
        persons = self._persons
        require_known(self._wishes, is_known=persons.is_known, site=self._site)
        out = (
            self._wishes.left_out(
                persons.keys, persons.marks, self._study.purpose, site=self._site
            ).all
            & ~persons.left_out.all
        )
        left = self._left | out
        if np.array_equal(left, self._left):
            return None
        self._cohorts.record_left(self.cohort, self._frozen, persons.marks[left])
        self._left = left  # not before it is written: else nobody would be told at the next try
        log.info("run %s: an addition was made to the frozen cohort: patients left", self._run)
        return LeftInRun(self._train.of(left), self._test.of(left))

    def _compared(
        self, now: CohortList, *, freezes: bool
    ) -> tuple[FrozenCohort, CohortList] | None:
        """Returns the cohort that the run draws from; None where it must be frozen first."""
        cohort = frozen_for(self._cohorts, self._study, self._run)
        frozen = None if cohort is None else self._cohorts.kept(cohort)
        if cohort is None or frozen is None:
            return None
        try:
            require_frozen(cohort, frozen, now, self._wishes.opted_out(), site=self._site)
        except CohortRefused:
            if freezes and self._cohorts.of_run(self._run) is None:
                return None
            raise
        return cohort, frozen


class _PatientsOfPersons:
    """The numbers of a part's patients by person: one, unless the study's key is of something else.

    Args:
        persons: (records,) the person of each record.
        patients: (records,) the patient of each record, as the part counts them.
    """

    def __init__(self, persons: Ints, patients: Ints) -> None:
        self._persons, self._patients = persons, patients

    def of(self, chosen: NDArray[np.bool_]) -> Ints:
        """Returns the patients with a record of a chosen person."""
        return np.unique(self._patients[chosen[self._persons]])
