"""The checks of a hospital's folder, one after the other, and their result."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import select

from compliance.governance.study_store import StudyStore
from compliance.storage.unnamed_files import named_text, unnamed_files
from protocol.counted import counted
from protocol.errors import FederationError, MessageRefused, StoreBroken
from protocol.secagg.log_proof import open_head
from silos.config.credentials import Credentials
from silos.config.directory import reading
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRuns
from silos.database.tables import RunDecisionRow
from silos.database.trusted_rosters import TrustedRosters
from silos.operations.own_check.files import (
    check_results,
    check_serving,
    check_weights,
    named_files,
)
from silos.operations.own_check.runs import Tell, check_runs, entries_of
from silos.patients.entries import PatientEntries
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.marks import as_marks
from silos.rounds.openings.log_heads import LogHeads

#: What a hospital cannot check in its own folder, in words.
NOT_CHECKED = (
    "the coordinator's records: give its auditor the note that collegium silo log --to writes",
    "the records of patients, and what training did with them",
    "the other hospitals, and whether the coordinator signed other figures of the same model to "
    "them: its auditor compares, with --hospital",
    "how many people the policy asked for when a run was joined",
    "the times at which rosters and heads of the log were kept, when the database was made, and "
    "rosters that this hospital signed and does not trust",
    "what no decision, booking or statement names: on which side each patient is remembered, "
    "whether a key was added to those that this hospital had before, and the policy and the rest "
    "of the site file",
    "heads of the log, and what was signed, since the newest decision about a run",
    "who holds the hospital's keys: their holder can sign all of this anew",
)


#: What else is not, as long as no run was decided about: such a decision names it, signed.
NOT_DECIDED = (
    "whether the hospital was made for simulations: the database says it, and nothing is signed "
    "about it before the first run"
)


@dataclass(frozen=True, kw_only=True)
class OwnCheck:
    """The result of a hospital's own check, with the keys (hexadecimal) that it was made with.

    ``holds`` has a sentence for each thing that is as it should be, ``unnamed`` are the
    files in the folder that nothing here looks at, ``has_decided`` says whether there is
    any signed decision about a run.
    """

    site: str
    identity: str
    coordinator: str | None
    checked_at: str
    holds: dict[str, str]
    faults: tuple[str, ...]
    unnamed: tuple[str, ...] = ()
    has_decided: bool = True

    @property
    def not_checked(self) -> tuple[str, ...]:
        """The limits of the check, a sentence for each thing that was not checked."""
        files = f"files that no record names: {named_text(self.unnamed)}"
        own = (files,) if self.unnamed else ()
        return (*own, *NOT_CHECKED) if self.has_decided else (*own, NOT_DECIDED, *NOT_CHECKED)

    def require_sound(self) -> None:
        """Refuses a folder that has a fault.

        Raises:
            StoreBroken: names every one.
        """
        if self.faults:
            raise StoreBroken("\n".join(self.faults))


def check_own(home: Path) -> OwnCheck:
    """Checks a hospital's folder; goes on after a fault.

    Raises:
        SiteFileRefused, WorkspaceRefused: no hospital lives there.
        LedgerBroken: its database cannot be opened.
    """
    with reading(home) as (_, hospital):
        credentials = Credentials(home / "tls", hospital.site)
        key = credentials.coordinator.key if credentials.enrolled else None
        checks: dict[str, Callable[[Tell], str]] = {
            "database": lambda tell: _check_database(hospital, tell),
            "ledger": lambda tell: _check_ledger(hospital),
            "approvals": lambda tell: _check_approvals(hospital),
            "rosters": lambda tell: _check_rosters(hospital),
            "runs": lambda tell: check_runs(home, hospital, tell),
            "studies": lambda tell: _check_studies(home, hospital, tell),
            "patients": lambda tell: _check_patients(hospital, tell),
            "results": lambda tell: check_results(home, hospital, tell),
            "weights": lambda tell: check_weights(home, hospital, tell),
            "serving": lambda tell: check_serving(home),
            "log": lambda tell: _check_log(hospital, key, tell),
        }
        holds: dict[str, str] = {}
        faults: list[str] = []
        for name, check in checks.items():
            before = len(faults)
            try:
                sentence = check(partial(_tell, faults, name))
            except FederationError as error:
                _tell(faults, name, str(error))
            if len(faults) == before:
                holds[name] = sentence
        return OwnCheck(
            site=hospital.site,
            identity=IdentityKeys(hospital).own.public.hex(),
            coordinator=key.hex() if key else None,
            checked_at=hospital.now(),
            holds=holds,
            faults=tuple(faults),
            unnamed=unnamed_files(home, named_files(home, hospital).__contains__),
            has_decided=_has_decided(hospital),
        )


def _has_decided(hospital: SiteDatabase) -> bool:
    with hospital.session() as session:
        return session.scalars(select(RunDecisionRow.number).limit(1)).first() is not None


def _tell(faults: list[str], name: str, fault: str) -> None:
    faults.append(f"{name}: {fault}")


def _check_database(hospital: SiteDatabase, tell: Tell) -> str:
    for fault in hospital.schema_faults():
        tell(fault)
    return "its tables, indexes and triggers are those that this software makes"


def _check_ledger(hospital: SiteDatabase) -> str:
    head = hospital.ledger.verify()
    hospital.ledger.require_newest()
    entries = counted(len(entries_of(hospital)), "entry")
    return f"{entries}, the chain is whole and no older copy; head {head}"


def _check_approvals(hospital: SiteDatabase) -> str:
    number = counted(len(approvals_of(hospital).all()), "decision")
    return f"{number}, each signed by this hospital, none changed or removed"


def _check_rosters(hospital: SiteDatabase) -> str:
    number = counted(len(TrustedRosters(hospital).all()), "trusted roster")
    return f"{number}, each signed by those before it"


def _check_studies(home: Path, hospital: SiteDatabase, tell: Tell) -> str:
    archive = StudyStore(home / "studies")
    digests = dict.fromkeys(decision.study for decision in approvals_of(hospital).all())
    for digest in digests:
        try:
            archive.read(digest)
        except FederationError as error:
            tell(str(error))
    return f"{len(digests)} that were decided on are kept as their digests say"


def _check_patients(hospital: SiteDatabase, tell: Tell) -> str:
    cohorts, kept = FrozenCohorts(hospital), 0
    entries = PatientEntries(hospital).all()
    frozen = {cohort.number: cohort for cohort in cohorts.all()}
    for cohort in frozen.values():
        try:
            listed = cohorts.kept(cohort)
        except FederationError as error:
            tell(str(error))
            continue
        if listed is None:
            continue
        kept += 1
        signed = cohorts.digest_without_left(cohort)
        if signed not in (None, listed.without(as_marks(cohorts.left(cohort))).digest):
            tell(f"cohort {cohort.number}: its list without those who left is not what was signed")
    studies = {run.run_id: run.study for run in JoinedRuns(hospital).all()}
    for run_id, number in cohorts.runs().items():
        if number not in frozen or studies.get(run_id, "") not in ("", frozen[number].study):
            tell(f"run {run_id} drew from no cohort that was frozen for its study")
    return (
        f"{counted(len(entries), 'entry')}, each signed by this hospital, none changed or removed; "
        f"of {counted(len(frozen), 'frozen cohort')} {kept} with their lists, as they were signed"
    )


def _check_log(hospital: SiteDatabase, key: bytes | None, tell: Tell) -> str:
    if key is None:
        return "no coordinator is known here yet"
    heads = LogHeads(hospital, key)
    kept = heads.all()
    for head in kept:
        try:
            signed = open_head(head.note, key)
        except MessageRefused as error:
            tell(f"head of {head.size} entries: {error}")
            continue
        if (signed.size, signed.root) != (head.size, head.root):
            tell(f"head of {head.size} entries: its note is about another")
    for fork in heads.forks():
        tell(
            f"run {fork.run}, {fork.seen_at}: the coordinator showed a log that was not shown to "
            "agree with what this hospital holds: collegium silo log has both notes"
        )
    if not kept:
        return "no head is held yet: this hospital has taken part in no round"
    count = counted(len(kept), "head")
    return f"{count} of the coordinator's, signed by it; the newest of {kept[-1].size}"
