"""Findings about a study's patients here: the frozen cohort, opt-outs, consent; counts only."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.faults.small_counts import in_words, told
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.config.directory import reading
from silos.config.site_file import SiteFile
from silos.database.database import SiteDatabase
from silos.patients.cohort_list import CohortList
from silos.patients.frozen_cohorts import (
    MEND_OR_FREEZE,
    FrozenCohort,
    FrozenCohorts,
    difference_since,
)
from silos.patients.marks import Marks, PatientMarks
from silos.patients.own_records import OwnRecords, list_of, read_own_records
from silos.patients.wishes import PatientWishes
from silos.preflight.findings import Finding, bad, ok, warn


def patient_findings(
    site: SiteFile, study: Study, hospital: SiteDatabase, own: OwnRecords, wishes: PatientWishes
) -> Iterator[Finding]:
    """Yields what the frozen cohort, opt-outs and consents come to for a study.

    Args:
        site: its site file.
        study: what would run.
        hospital: its open database.
        own: what was read for the study.
        wishes: those by which it was read.
    """
    now = list_of(own, PatientMarks(hospital.split_key))
    cohorts = FrozenCohorts(hospital)
    cohort = cohorts.newest(study.digest)
    frozen = None if cohort is None else cohorts.kept(cohort)
    if cohort is None or frozen is None:
        yield ok(
            "cohort",
            "not frozen yet: the first run freezes what it reads; collegium silo freeze does it "
            "before",
        )
    else:
        yield _compared(cohort, frozen, now, wishes.opted_out())
    yield from _opt_outs(own, wishes)
    yield _consent(site, own)
    for note in wishes.said_nothing:
        yield warn("consent", note.found, note.remedy)
    late = int(own.persons.left_out.not_frozen.sum())
    if late:
        yield warn(
            "not frozen",
            f"{in_words(told(late))} of the patients may enter now and could not, or left, when "
            "the cohort was frozen: they stay out",
            "collegium silo freeze makes a new version, which takes them in",
        )


def _compared(cohort: FrozenCohort, frozen: CohortList, now: CohortList, out: Marks) -> Finding:
    found = difference_since(cohort, frozen, now, out)
    if found is not None:
        return bad("cohort", found, MEND_OR_FREEZE)
    return ok("cohort", f"what is read is what was frozen, {cohort.words}, by {cohort.by}")


def _opt_outs(own: OwnRecords, wishes: PatientWishes) -> Iterator[Finding]:
    out, anywhere = int(own.persons.left_out.opted_out.sum()), len(wishes.opted_out())
    if not anywhere:
        yield ok("opt-outs", "nobody opted out here")
    else:
        yield ok("opt-outs", f"left out of these patients: {_few(out)}")


def _consent(site: SiteFile, own: OwnRecords) -> Finding:
    rules = site.patients
    if rules.consent is None:
        return ok("consent", "not asked for: patients.consent names no file")
    lacking = _few(int(own.persons.left_out.without_consent.sum()))
    why = "without consent to this purpose" if rules.required else "who refused this purpose"
    return ok("consent", f"left out of these patients, {why}: {lacking}")


def _few(count: int) -> str:
    return in_words(told(count)) if count else "none"


def count_consents(home: Path, study: Study, folder: Path) -> dict[str, str]:
    """Returns how many patients may enter a study, and how many are left out, by reason.

    Args:
        home: the hospital's folder.
        study: whose purpose counts.
        folder: where the study's index file lies, if it names one.

    Raises:
        FederationError: the hospital or its records cannot be read.
    """
    with reading(home) as (site, hospital):
        own = read_own_records(home, site, study, index_beside(study, folder), hospital, None)
        out = own.persons.left_out
        return {
            "consent": "required" if site.patients.required else "unless refused",
            "may_enter": _few(int((~out.all).sum())),
            "without_consent": _few(int(out.without_consent.sum())),
            "opted_out": _few(int(out.opted_out.sum())),
        }
