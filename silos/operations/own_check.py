"""Checks a hospital's own folder against itself, without the coordinator.

Rules:

0. The database is as the migrations make it.
1. The ledger's chain is whole, and no older copy by the list outside the database.
2. So are the decisions about studies, each signed with a key of this hospital.
3. The trusted rosters follow each other.
4. Every run here was asked for by a coordinator whose key a trusted roster names.
5. Every run that the ledger books was asked for, of the same study; its roster is
   kept, and what was signed with each release. Every decision about a run is signed,
   and what stands here of runs, of the hospital and of the newest head of the log is
   what they say. By the approvals that the decision to join names, that study's people
   had approved at least so many runs of it, and not withdrawn it. How many people a
   policy asked for is not checked.
6. Every study that was approved is kept as its digest says.
7. What came back of a run is signed by a coordinator of this hospital; a final model
   here is the one that it signed, and the one that this hospital evaluated; and how to
   use it is written as study and model give it.
8. The record of patients is whole, each entry signed with a key of this hospital; every
   frozen cohort's list is the one that was signed, without whom left it too, and every
   run draws from a cohort of its own study.
9. Every kept head of the coordinator's log is signed by the log's key, and none
   contradicts another.

What the coordinator did is not checked here: the signed note of ``silo log`` is
what its records can be held to.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import select

from compliance.governance.approvals import Approval, Decision
from compliance.governance.study_store import StudyStore
from compliance.ledger.entries import Entry, State
from compliance.ledger.privacy_plan import calendar_name
from compliance.storage.unnamed_files import named_text, unnamed_files
from protocol.counted import counted
from protocol.errors import FederationError, MessageRefused, StoreBroken
from protocol.secagg.log_proof import open_head
from protocol.transport.run_announcement import RunAnnouncement, open_announcement
from silos.config.coordinator_identity import coordinator_keys
from silos.config.credentials import Credentials
from silos.config.directory import reading
from silos.config.folder import SITE_FILE
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRun, JoinedRuns, RunState
from silos.database.run_decisions import RunDecision, RunDecisions, evaluated_models
from silos.database.tables import LogHeadRow, RunDecisionRow
from silos.database.trusted_rosters import TrustedRosters
from silos.patients.entries import PatientEntries
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.marks import as_marks
from silos.results.kept_models import HELD, evaluated_files, require_about
from silos.results.run_results import own_results
from silos.rounds.openings.log_heads import LogHeads

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


Tell = Callable[[str], None]


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
            "runs": lambda tell: _check_runs(home, hospital, tell),
            "studies": lambda tell: _check_studies(home, hospital, tell),
            "patients": lambda tell: _check_patients(hospital, tell),
            "results": lambda tell: _check_results(home, hospital, tell),
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
            unnamed=unnamed_files(home, _named(home, hospital).__contains__),
            has_decided=_has_decided(hospital),
        )


def _has_decided(hospital: SiteDatabase) -> bool:
    with hospital.session() as session:
        return session.scalars(select(RunDecisionRow.number).limit(1)).first() is not None


def _named(home: Path, hospital: SiteDatabase) -> set[str]:
    """Returns the files of a home that the checks above look at; what cannot be read names none."""
    named = {SITE_FILE, *(f"tls/{name}" for name in ("root.pem", "silo.key", "silo.pem"))}
    with suppress(FederationError):
        named |= hospital.named_files()
    with suppress(FederationError):
        named |= {f"studies/{each.study}/study.yaml" for each in approvals_of(hospital).all()}
    with suppress(FederationError):
        runs = {run.run_id for run in JoinedRuns(hospital).all()}
        named |= {f"results/{run}/{name}" for run in runs for name in HELD}
        earlier = (file for run in runs for file in evaluated_files(home, run))
        named |= {file.relative_to(home).as_posix() for file in earlier}
    return named


def _tell(faults: list[str], name: str, fault: str) -> None:
    faults.append(f"{name}: {fault}")


def _check_database(hospital: SiteDatabase, tell: Tell) -> str:
    for fault in hospital.schema_faults():
        tell(fault)
    return "its tables, indexes and triggers are those that this software makes"


def _check_ledger(hospital: SiteDatabase) -> str:
    head = hospital.ledger.verify()
    hospital.ledger.require_newest()
    entries = counted(len(_entries(hospital)), "entry")
    return f"{entries}, the chain is whole and no older copy; head {head}"


def _check_approvals(hospital: SiteDatabase) -> str:
    number = counted(len(approvals_of(hospital).all()), "decision")
    return f"{number}, each signed by this hospital, none changed or removed"


def _check_rosters(hospital: SiteDatabase) -> str:
    number = counted(len(TrustedRosters(hospital).all()), "trusted roster")
    return f"{number}, each signed by those before it"


def _check_runs(home: Path, hospital: SiteDatabase, tell: Tell) -> str:
    runs = {run.run_id: run for run in JoinedRuns(hospital).all()}
    keys = coordinator_keys(home, hospital)
    named: dict[str, str] = {}
    for run in runs.values():
        notice = _check_notice(run, keys, tell)
        if notice is not None:
            named[run.run_id] = notice.roster
    booked = [entry for entry in _entries(hospital) if entry.run]
    calendars = {calendar_name(run.study): run for run in runs.values()}
    for entry in booked:
        run_of = runs.get(entry.run) or calendars.get(entry.run)
        if run_of is None or run_of.study != entry.study:
            tell(f"ledger entry {entry.number} is of run {entry.run}, which nobody asked for")
    _check_kept(hospital, booked, named, tell)
    decisions = RunDecisions(hospital).all()  # from here on nothing holds without them
    for run_id in RunDecisions(hospital).contradicted():
        tell(f"run {run_id}: what stands here of it is not what this hospital decided and signed")
    _check_decided(hospital, decisions, tell)
    _check_allowed(booked, decisions, approvals_of(hospital).all(), tell)
    paid = len({entry.run for entry in booked} - calendars.keys())
    return (
        f"{counted(len(runs), 'run')} asked for by the coordinator, of which the ledger holds "
        f"{paid}; {counted(len(decisions), 'decision')} about them, each signed by this hospital"
    )


def _check_kept(
    hospital: SiteDatabase, booked: list[Entry], named: dict[str, str], tell: Tell
) -> None:
    """Holds what was sent to what was signed once, and every run that began to its roster."""
    chain, rosters = hospital.signing_record(), TrustedRosters(hospital)
    for entry in booked:
        if entry.state is State.SENT and (
            chain.of(entry.context).get("masked") != entry.blob
            or entry.context not in chain.of(entry.run).values()
        ):
            tell(f"ledger entry {entry.number} was sent, and what was signed with it is not kept")
    begun = {entry.run for entry in booked}
    for run_id, roster in named.items():
        if run_id in begun or chain.of(run_id):
            try:
                rosters.kept(roster)
            except FederationError as error:
                tell(f"run {run_id}: its roster {roster[:16]}: {error}")


def _check_decided(hospital: SiteDatabase, decisions: tuple[RunDecision, ...], tell: Tell) -> None:
    """Holds what each decision says of the hospital to what its database says now."""
    with hospital.session() as session:
        heads = {
            (row.origin, row.size, row.root.hex()) for row in session.scalars(select(LogHeadRow))
        }
        evaluated = {d.run_id: evaluated_models(session, d.run_id) for d in decisions}
    for decision in decisions:
        where = f"run {decision.run_id}, decision {decision.number}"
        if (decision.site, decision.simulated) != (hospital.site, hospital.simulated):
            was = "simulated" if decision.simulated else "real"
            tell(f"{where}: it was of the {was} hospital {decision.site}; the database says other")
        for origin, size, root in decision.log_heads:
            if (origin, size, root) not in heads:
                tell(f"{where}: the log's head of {size} entries that it names is not kept")
        if decision.evaluated not in (None, *evaluated[decision.run_id].values()):
            tell(f"{where}: another model was evaluated than the database says")


def _check_notice(run: JoinedRun, keys: set[bytes], tell: Tell) -> RunAnnouncement | None:
    for key in keys:
        try:
            notice = open_announcement(run.notice, key)
        except MessageRefused:
            continue
        if (notice.run_id, notice.study) != (run.run_id, run.study):
            tell(f"run {run.run_id}: what the coordinator signed is about another run or study")
        return notice
    tell(f"run {run.run_id}: no coordinator of this hospital has signed what asked for it")
    return None


def _check_allowed(
    booked: list[Entry],
    decisions: tuple[RunDecision, ...],
    approvals: tuple[Approval, ...],
    tell: Tell,
) -> None:
    """Holds each run that the ledger counts against the approvals by which it was joined.

    By their numbers, never by a time: a clock may be set back.
    """
    sent = {entry.parent for entry in booked if entry.state is State.SENT}
    plans = [e for e in booked if e.state is State.RESERVED and e.number in sent]
    begun: dict[str, list[str]] = {}
    for plan in plans:
        runs = begun.setdefault(plan.study, [])
        if plan.run in runs:
            continue
        runs.append(plan.run)
        joined = [
            decision
            for decision in decisions
            if decision.state == RunState.JOINED.value
            and plan.run in (decision.run_id, calendar_name(decision.study))
        ]
        allowed = max((_runs_allowed(approvals, decision) for decision in joined), default=0)
        if allowed < len(runs):
            tell(f"run {plan.run} of study {plan.study[:16]} began without an approval for it")


def _runs_allowed(approvals: tuple[Approval, ...], joined: RunDecision) -> int:
    """Returns how many runs of its study stood approved when a run was joined."""
    until = approvals[: joined.approval]
    if not until or (until[-1].number, until[-1].hash) != (joined.approval, joined.approval_hash):
        return 0
    allowed = 0
    for approval in until:
        if approval.study == joined.study:
            is_withdrawn = approval.decision is Decision.WITHDRAWN
            allowed = 0 if is_withdrawn else max(allowed, approval.runs)
    return allowed


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


def _check_results(home: Path, hospital: SiteDatabase, tell: Tell) -> str:
    kept = 0
    for run in JoinedRuns(hospital).all():
        try:
            found = own_results(home, hospital, run)
        except FederationError as error:
            tell(str(error))
            continue
        kept += found.is_announced_model is True
        if found.is_other_end or (found.evaluated and found.announced and found.model is None):
            tell(f"run {run.run_id}: its final model is {found.about_model}")
            continue
        if found.model is not None:
            _check_about(home, run, tell)
        if found.is_announced_model is False:
            tell(f"run {run.run_id}: the model here is {found.about_model}")
    return f"{counted(kept, 'final model')} here, each as the coordinator signed it"


def _check_about(home: Path, run: JoinedRun, tell: Tell) -> None:
    try:
        study, _ = StudyStore(home / "studies").read(run.study)
    except FederationError:
        return  # told with the studies
    try:
        require_about(home, run.run_id, study)
    except FederationError as error:
        tell(str(error))


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


def _entries(hospital: SiteDatabase) -> list[Entry]:
    with hospital.transaction() as chain:
        return list(chain.entries())
