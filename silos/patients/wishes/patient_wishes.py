"""Wishes of a hospital's patients, opt-outs and consents: who is left out of a study by them."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compliance.storage.clock import utc_now
from pipelines.records import SourceNote
from pipelines.sources.clinical.fhir.consent import PatientConsent
from pipelines.sources.clinical.tally import Tally
from protocol.errors import PolicyRefused
from protocol.study.cohort.vocabulary import kept_token
from silos.config.site_file import PatientRules
from silos.database.database import SiteDatabase
from silos.patients.entries import PatientEntries
from silos.patients.marks import Marks, as_marks
from silos.patients.opt_outs import opted_out
from silos.patients.wishes.consent import consent_state, consents_to, read_consents

Mask = NDArray[np.bool_]


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
