"""The part of ``silo check`` about records: every fault by its name, and their quality in counts.

It goes on after the first fault where it can: what a file's bytes show, its columns and its number
of patients are told also where cells do not fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.cohort.inspection.columns import column_remarks
from pipelines.cohort.inspection.prepared_images import image_remarks
from pipelines.cohort.loading import cohort_faults
from pipelines.cohort.plausibility import (
    far_fewer_than_declared,
    implausible,
    nobody_returns,
    nobody_returns_in,
    remarks,
)
from pipelines.cohort.quality import DataQuality, quality_of
from pipelines.sources.faults import MAX_TOLD, RecordFault
from pipelines.sources.faults.small_counts import HIDDEN, ShownCount
from pipelines.sources.source import RecordFile
from pipelines.sources.tables.delimited.csv_trial import byte_faults
from pipelines.sources.tables.table import SourceTable
from protocol.counted import counted
from protocol.errors import FederationError
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.config.patient_statement import sides_of, stays_on_one_side
from silos.config.site_file import SiteFile, source_of
from silos.database.database import SiteDatabase
from silos.database.patient_sides import require_same_sides
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.own_records import OwnRecords, read_own_records
from silos.patients.wishes import PatientWishes
from silos.preflight.findings import Finding, of_fault, of_note, ok
from silos.preflight.patients import patient_findings

#: What to do about records that fit the contract and are implausible.
NOT_APPROVED = (
    "mend the records, and do not approve the study before that (collegium silo withdraw, if it "
    "is approved): the hospital joins whatever its records are like, for not joining would tell "
    "the coordinator"
)


#: What is said of the same where there is less of it.
_MILDER = {"wrong-unit": "many-clipped", "doubled-rows": "repeated-rows"}


@dataclass(frozen=True, kw_only=True)
class RecordsCheck:
    """The findings about a hospital's records, and their quality where they fit the study.

    ``read`` are the records themselves, for the hospital's own page.
    """

    findings: tuple[Finding, ...] = ()
    quality: DataQuality | None = None
    read: OwnRecords | None = None


def check_records(
    home: Path, site: SiteFile, study: Study, folder: Path, hospital: SiteDatabase
) -> RecordsCheck:
    """Returns what is found of a hospital's records, read, split and checked as a run would.

    Args:
        home: the hospital's folder.
        site: its site file.
        study: what would run.
        folder: where the study's index file lies, if it names one.
        hospital: its open database.
    """
    seen: list[SourceTable] = []
    found: list[Finding] = []
    read, quality = None, None
    try:
        wishes = PatientWishes(hospital, site.patients, home)
        index = index_beside(study, folder)
        cohort = FrozenCohorts(hospital).newest(study.digest)
        read = read_own_records(home, site, study, index, hospital, cohort, wishes, seen.append)
        if stays_on_one_side(study, site.stated):
            require_same_sides(hospital, sides_of(read.train, read.test))
        quality = quality_of(read.whole, read.train, read.test, study.cohort)
        found += _fitting(site, study, read, quality)
        found += patient_findings(site, study, hospital, read, wishes)
    except FederationError as error:
        found += _unfit(site, study, error, seen)
        read = None
    if isinstance(study.cohort, TableCohort):
        for table in seen:
            found += map(of_fault, column_remarks(table, study.cohort))
            found += map(of_fault, _of_bytes(home, site, study.cohort))
    return RecordsCheck(findings=tuple(found), quality=quality, read=read)


def _unfit(
    site: SiteFile, study: Study, error: FederationError, seen: list[SourceTable]
) -> Iterator[Finding]:
    """Yields every fault of the records as a line of its own; the hospital knows its own name."""
    faults = [fault for fault in getattr(error, "faults", ()) if isinstance(fault, RecordFault)]
    if not faults:
        for line in str(error).splitlines():
            told = line.removeprefix(f"site {site.name}: ")
            faults.append(
                RecordFault(what=told, remedy="mend the records or data in the site file")
            )
    if isinstance(study.cohort, TableCohort):
        for table in seen:
            named = {fault.name for fault in faults}
            of_all = [*cohort_faults(table, study.cohort), nobody_returns_in(table, study.cohort)]
            faults += [f for f in of_all if f is not None and f.name not in named]
    yield from map(of_fault, faults[:MAX_TOLD])
    if len(faults) > MAX_TOLD:
        more = RecordFault(
            what=f"and {counted(len(faults) - MAX_TOLD, 'more fault')}",
            remedy="mend these first",
        )
        yield of_fault(more)


def _fitting(
    site: SiteFile, study: Study, read: OwnRecords, quality: DataQuality
) -> Iterator[Finding]:
    counts = quality.to_json()
    faults = implausible(read.train, read.test, cohort=study.cohort)
    for fault in faults:
        yield of_fault(replace(fault, remedy=f"{fault.remedy}; {NOT_APPROVED}"))
    if not faults:
        parts = (("whole", "records"), ("train", "patients"), ("test", "patients"))
        records, train, test = (_said(counts[part][of]) for part, of in parts)
        used = (
            f"{train} patients train, {test} test"
            if study.trains
            else f"{test} test patients are counted, and no others"
            if study.has_model
            else f"{test} patients are counted"
        )
        yield ok("records", f"{records} fit the contract: {used}")
    yield from map(of_note, read.whole.noted.source)
    worse = {(fault.column, _MILDER[fault.name]) for fault in faults}
    for remark in (
        *remarks(read.whole, study.cohort),
        nobody_returns(read.whole, study.cohort),
        far_fewer_than_declared(read.train, study.site(site.name).patients)
        if study.has_model
        else None,
    ):
        if remark is not None and (remark.column, remark.name) not in worse:
            yield of_fault(remark)
    if quality.images is not None and quality.images.inspection is not None:
        yield from map(of_fault, image_remarks(quality.images.inspection))
    patients = read.train.num_patients + read.test.num_patients
    if patients < site.policy.patients:
        yield of_fault(
            RecordFault(
                name="below-the-policy",
                what=f"fewer patients than the policy asks for, {site.policy.patients}",
                remedy="this hospital is too small for its own policy.patients: amend it, or stay "
                "out",
            )
        )


def _said(count: ShownCount) -> str:
    """Returns a count as it stands in a sentence."""
    return "some" if count == HIDDEN else str(count)


def _of_bytes(home: Path, site: SiteFile, cohort: TableCohort) -> list[RecordFault]:
    """Returns what the bytes of a hospital's own text file show; nothing of another source."""
    try:
        source = source_of(site, home)
        if not isinstance(source, RecordFile):
            return []
        return byte_faults(source.path, source.dialect.encoding or cohort.encoding)
    except (OSError, FederationError):  # both were told when the records were read
        return []
