"""Frozen cohorts: the patients and records on which a study runs here, by version.

Rules:

1. A cohort is frozen for a study's digest, by the hospital's people (``collegium silo freeze``)
   or by the first run that reads records for it. The entry is signed; versions count from 1.
2. A run draws from one cohort until it ends, a restart included. A new run draws from the newest
   version; in a simulation, where nobody freezes, from a new one whenever the records are others.
3. What is read must be what was frozen, patient by patient. Patients who opted out since, or lost
   their consent, are the one exception: each time an entry says who left, by their marks, and
   what the list's digest is without them. Nobody comes in: that needs a new version.
4. What crosses the border of a cohort is ``public_id``: a random number drawn when it was frozen,
   which depends on no record and says only that two runs drew from the same frozen cohort.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from pipelines.sources.description import SourceDescription
from protocol.encoding import digest_json
from protocol.errors import CohortRefused, StoreBroken
from protocol.study.study import Study
from silos.database.database import SiteDatabase
from silos.database.tables import CohortListRow
from silos.patients.cohort_list import CohortList, Part
from silos.patients.entries import EntryKind, PatientEntries, PatientEntry
from silos.patients.marks import Marks, as_bytes, as_marks


@dataclass(frozen=True, kw_only=True)
class FrozenCohort:
    """One version of a study's cohort here; ``number`` is its entry's.

    ``patients`` are those of whom a record was taken in: ``training`` and ``evaluation`` of them
    in each part. ``left_out`` were in the source and had opted out, or not consented.
    ``digest`` is of the list of marks, ``contract`` of the study's cohort contract.
    """

    number: int
    study: str
    version: int
    digest: str
    contract: str
    source: SourceDescription
    patients: int
    training: int
    evaluation: int
    left_out: int
    records: int
    by: str
    public_id: str
    frozen_at: str

    @classmethod
    def of(cls, entry: PatientEntry) -> "FrozenCohort":
        """Returns the cohort that an entry froze.

        Raises:
            StoreBroken: the entry says something else.
        """
        try:
            said: dict[str, Any] = dict(entry.said)
            source = SourceDescription(**said.pop("source"))
            return cls(number=entry.number, frozen_at=entry.at, source=source, **said)
        except (TypeError, KeyError) as error:
            raise StoreBroken(
                f"entry {entry.number} about patients froze no cohort: restore the hospital's "
                "database"
            ) from error

    @property
    def words(self) -> str:
        """The version, and when it was frozen."""
        return f"version {self.version} of {self.frozen_at[:16].replace('T', ' ')} UTC"

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read."""
        return asdict(self)


class FrozenCohorts:
    """The frozen cohorts in a hospital's database."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital
        self._entries = PatientEntries(hospital)
        self._known: tuple[PatientEntry, ...] = ()

    def all(self) -> tuple[FrozenCohort, ...]:
        """Returns every version of every study's cohort, oldest first.

        Raises:
            StoreBroken: an entry was changed or removed.
        """
        return tuple(FrozenCohort.of(entry) for entry in self._of(EntryKind.FROZEN))

    def newest(self, study: str) -> FrozenCohort | None:
        """Returns the newest version of a study's cohort; None before the first."""
        return next((one for one in reversed(self.all()) if one.study == study), None)

    def runs(self) -> Mapping[str, int]:
        """Returns the number of the cohort that each run draws from."""
        return {entry.said["run"]: entry.said["cohort"] for entry in self._of(EntryKind.RUN)}

    def of_run(self, run: str) -> FrozenCohort | None:
        """Returns the cohort that a run draws from; None where it never read records here."""
        number = self.runs().get(run)
        return next((one for one in self.all() if one.number == number), None)

    def left(self, cohort: FrozenCohort) -> frozenset[bytes]:
        """Returns the marks of those who left a cohort since it was frozen."""
        said = [e.said for e in self._of(EntryKind.LEFT) if e.said["cohort"] == cohort.number]
        return frozenset(bytes.fromhex(mark) for each in said for mark in each["marks"])

    def digest_without_left(self, cohort: FrozenCohort) -> str | None:
        """Returns the newest signed digest of a cohort without those who left; None of nobody."""
        said = [e.said for e in self._of(EntryKind.LEFT) if e.said["cohort"] == cohort.number]
        return said[-1]["digest"] if said else None

    def kept(self, cohort: FrozenCohort) -> CohortList | None:
        """Returns a cohort's list; None where retention has removed it.

        Raises:
            StoreBroken: it is not the list that was signed.
        """
        query = select(CohortListRow.marks).where(CohortListRow.cohort == cohort.number)
        with self._hospital.reading() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            return None
        kept = CohortList.read(found)
        if kept.digest != cohort.digest:
            raise StoreBroken(
                f"the list of the cohort that entry {cohort.number} froze was changed: restore the "
                "hospital's database"
            )
        return kept

    def freeze(
        self, study: Study, found: CohortList, *, records: int, source: SourceDescription, by: str
    ) -> FrozenCohort:
        """Records what was read as the next version of a study's cohort.

        Args:
            study: its digest and contract are signed.
            found: what was read, those left out included.
            records: how many records were taken in.
            source: what they were read from.
            by: who froze it.

        Raises:
            StoreBroken: it cannot be written.
        """
        before, taken = self.newest(study.digest), found.taken_in()
        said = {
            "study": study.digest,
            "version": before.version + 1 if before else 1,
            "digest": found.digest,
            "contract": digest_json(study.cohort.model_dump(mode="json")),
            "source": asdict(source),
            "patients": len(taken),
            "training": taken.num_in(Part.TRAINING),
            "evaluation": taken.num_in(Part.EVALUATION),
            "left_out": len(found) - len(taken),
            "records": records,
            "by": by,
            "public_id": secrets.token_hex(16),
        }

        def keep(session: Session, number: int) -> None:
            session.execute(insert(CohortListRow).values(cohort=number, marks=found.to_bytes()))

        return FrozenCohort.of(self._entries.append(EntryKind.FROZEN, said, beside=keep))

    def begin_run(self, run: str, cohort: FrozenCohort) -> None:
        """Records that a run draws from a cohort; said again, nothing."""
        if run not in self.runs():
            self._entries.append(EntryKind.RUN, {"run": run, "cohort": cohort.number})

    def record_left(self, cohort: FrozenCohort, frozen: CohortList, out: Marks) -> bool:
        """Records which patients left a cohort, and its list's digest without them.

        Args:
            cohort: what they left.
            frozen: its list.
            out: the marks of everybody who is left out now.

        Returns:
            Whether anybody left who had not before; else nothing is recorded.
        """
        before, taken = self.left(cohort), frozen.taken_in().marks
        leaving = [mark for mark in as_bytes(taken[np.isin(taken, out)]) if mark not in before]
        if not leaving:
            return False
        said = {
            "cohort": cohort.number,
            "marks": [mark.hex() for mark in leaving],
            "digest": frozen.without(as_marks([*before, *leaving])).digest,
        }
        self._entries.append(EntryKind.LEFT, said)
        return True

    def _of(self, kind: EntryKind) -> list[PatientEntry]:
        new = self._entries.since(self._known[-1].number) if self._known else self._entries.all()
        self._known += new
        return [entry for entry in self._known if entry.kind is kind]


#: What to do where other records are read than were frozen.
MEND_OR_FREEZE = (
    "mend the export, so that it holds what was frozen; or, if the records are to be others, "
    "collegium silo freeze makes a new version for the next run"
)


def difference_since(
    cohort: FrozenCohort, frozen: CohortList, now: CohortList, out: Marks
) -> str | None:
    """Returns how many patients differ from a frozen cohort, in words; None where nobody does.

    Whoever was left out then, or is in ``out`` now, is not compared: patients may leave, and
    wait for a new version to come in.
    """
    apart = np.concatenate([out, frozen.left_out_marks, now.left_out_marks])
    found = frozen.without(apart).difference(now.without(apart))
    return f"{found.words} from the frozen cohort, {cohort.words}" if found else None


def require_frozen(
    cohort: FrozenCohort, frozen: CohortList, now: CohortList, out: Marks, *, site: str
) -> None:
    """Refuses records that are not those of a frozen cohort, see ``difference_since``.

    Raises:
        CohortRefused: other records are read of some patients; says of how many.
    """
    found = difference_since(cohort, frozen, now, out)
    if found is not None:
        raise CohortRefused(f"site {site}: {found}: {MEND_OR_FREEZE}")
