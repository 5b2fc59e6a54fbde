"""Holds what the database says against what the signed log says, row by row.

The log keeps digests only. So everything that a page or report prints about a
run must hash to something that was logged, and everything logged must still be
there. A check that fails does not end the others: all faults are told.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import LoggedEntry, log_faults
from coordinator.audit.acts import check_acts
from coordinator.audit.cosignature_check import Cosigned, check_cosignatures
from coordinator.audit.faults import Faults
from coordinator.audit.logged_rows import check_entry_runs, check_rows, check_tables
from coordinator.audit.run_checks import LoggedAttempt, RunLog, check_run
from coordinator.database.store import (
    ReferenceRow,
    RunRow,
    SnapshotRow,
    StudyRow,
    logged_entries,
    signed_heads,
)
from coordinator.governance.models.serving import check_statements
from coordinator.membership.tables import require_chain
from coordinator.rounds.ending.end_statement import result_of
from protocol.encoding import digest
from protocol.errors import StoreBroken
from protocol.log.cosignature import VerifierKey
from protocol.log.entry import LogEntry
from protocol.log.merkle import leaf_hash
from protocol.log.merkle import root as root_of
from protocol.transport.privacy_summary import Summary
from protocol.transport.run_announcement import RunResult

#: Is told which part of a verification is under way, and how much of it is done of how much.
CheckWatch = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The verified contents of a coordinator's folder.

    ``newest`` is when the last entry was logged, ``entries`` are those that can be read, ``leaves``
    the hashes of all, ``heads`` the roots of the signed heads by size, ``simulated``
    the hospitals of simulations: they lie in the same folder. ``results`` is what each
    run came to, None where it did not reach its end; ``cosigned`` are the heads' cosignatures;
    ``acts`` counts those of people that were taken; refused ones are claims.
    """

    root: bytes
    size: int
    newest: str
    heads: Mapping[int, str]
    entries: tuple[LogEntry, ...]
    leaves: tuple[bytes, ...]
    studies: int
    runs: tuple[str, ...]
    results: Mapping[str, RunResult | None]
    references: int
    models: tuple[str, ...]
    summaries: tuple[Summary, ...]
    attempts: tuple[LoggedAttempt, ...]
    simulated: frozenset[str]
    cosigned: Cosigned
    acts: int = 0

    def root_at(self, size: int) -> str | None:
        """Returns the root of the first ``size`` entries, None where there are fewer."""
        if not 0 < size <= len(self.leaves):
            return None
        return self.heads.get(size) or root_of(self.leaves[:size]).hex()


def verify_records(session: Session, public: bytes) -> Verified:
    """Checks log, members, studies, runs, rounds, releases, models, references, summaries.

    Raises:
        StoreBroken: names what is not what was logged.
    """
    faults = Faults()
    found = check_records(session, public, faults)
    faults.require_none()
    return found


def verify_rows(session: Session, public: bytes) -> None:
    """Checks the log, and that every row of the database is one that was logged as it is.

    What the rows say is not held to each other: ``verify_records`` does that.

    Raises:
        StoreBroken: names what is not what was logged.
    """
    faults = Faults()
    entries, _, _ = _check_log(session, public, faults)
    with faults.checking("the schema of the database"):
        check_tables(session, faults)
    check_rows(session, entries, faults)
    faults.require_none()


def check_records(
    session: Session,
    public: bytes,
    faults: Faults,
    witnesses: Sequence[VerifierKey] = (),
    watch: CheckWatch = lambda part, done, total: None,
) -> Verified:
    """Checks the same, and adds what is wrong to ``faults``.

    ``witnesses`` are the keys of cosigners outside the consortium, as whoever verifies knows them.
    ``watch`` is told what is checked now, and how much of it is done.
    """
    watch("log", 0, 1)
    entries, heads, leaves = _check_log(session, public, faults)
    with faults.checking("the schema of the database"):
        check_tables(session, faults)
    with faults.checking("the chain of rosters"):
        require_chain(session)
    with faults.checking("the statements of serving"):
        check_statements(session, public)
    watch("rows", 0, 1)
    check_rows(session, entries, faults)
    acts = check_acts(session, entries, tuple(heads), public, faults)
    by_run: dict[str, list[LogEntry]] = defaultdict(list)
    for entry in entries:
        if entry.run is not None:
            by_run[entry.run].append(entry)
    studies = _check_studies(session, entries, faults)
    check_registered_first(entries, faults)
    references = {name for name, own in by_run.items() if _is_reference(own)}
    _check_references(session, references, faults)
    watch("cosignatures", 0, 1)
    cosigned = check_cosignatures(session, witnesses, faults)
    rows = session.scalars(select(RunRow).order_by(RunRow.id)).all()
    for missing in sorted(set(by_run) - references - {row.id for row in rows}):
        faults.add("it is in the log, but was removed from the database", run=missing)
    summaries: list[Summary] = []
    attempts: list[LoggedAttempt] = []
    simulated: set[str] = set()
    results: dict[str, RunResult | None] = {}
    for number, row in enumerate(rows):
        watch("runs", number, len(rows))
        if row.id not in by_run:
            faults.add("it was never logged", run=str(row.id))
            continue
        own = RunLog(entries=by_run[row.id], heads=heads, cosigners=cosigned.cosigners)
        found = check_run(session, row, own, faults)
        summaries += found.summaries
        attempts += found.attempts
        simulated |= {summary.site for summary in found.summaries if row.simulation}
        with faults.checking("what it came to", run=str(row.id)):
            results[row.id] = result_of(session, row.id)
    last = max(heads, default=0)
    return Verified(
        root=bytes.fromhex(heads[last]) if heads else b"",
        size=last,
        newest=entries[-1].time if entries else "",
        heads=heads,
        entries=tuple(entries),
        leaves=leaves,
        studies=studies,
        runs=tuple(str(row.id) for row in rows),
        results=results,
        references=len(references),
        models=tuple(sorted(set(session.scalars(select(SnapshotRow.model_digest))))),
        summaries=tuple(summaries),
        attempts=tuple(attempts),
        simulated=frozenset(simulated),
        cosigned=cosigned,
        acts=acts,
    )


def _check_log(
    session: Session, public: bytes, faults: Faults
) -> tuple[list[LogEntry], dict[int, str], tuple[bytes, ...]]:
    """Returns the entries that can be read, the signed heads' roots by size, and all leaves."""
    logged: Sequence[LoggedEntry] = ()
    heads: dict[int, str] = {}
    with faults.checking("the audit log"):
        logged = logged_entries(session)
        signed = signed_heads(session)
        heads = {head.size: head.root.hex() for head in signed}
        for fault in log_faults(logged, signed, public):
            faults.add(fault)
    entries = []
    for entry in logged:
        with faults.checking(f"audit entry {entry.index}"):
            entries.append(entry.content)
    check_entry_runs(session, entries, faults)
    return entries, heads, tuple(leaf_hash(entry.data) for entry in logged)


def _is_reference(entries: Sequence[LogEntry]) -> bool:
    return any(entry.type == "reference" for entry in entries)


def _check_studies(session: Session, entries: Sequence[LogEntry], faults: Faults) -> int:
    registered = {entry.payload for entry in entries if entry.type == "study-registered"}
    found = {row.digest: row for row in session.scalars(select(StudyRow))}
    for name, row in found.items():
        with faults.checking(f"study {name[:16]}"):
            if digest(row.document) != name or name not in registered:
                raise StoreBroken(f"study {name[:16]} is not the document that was registered")
            if row.revision != 1:
                raise StoreBroken(f"study {name[:16]}: its record was written again later")
    for name in sorted(registered - found.keys()):
        faults.add(f"study {name[:16]} was registered, and is no longer in the database")
    return len(found)


def check_registered_first(entries: Sequence[LogEntry], faults: Faults) -> None:
    """Checks that every run's study was registered before the run began, and before its rounds."""
    registered: dict[str, int] = {}
    studies: dict[str, str] = {}
    opened: set[str] = set()
    for entry in entries:
        if entry.type == "study-registered":
            registered.setdefault(entry.payload, entry.seq)
        elif entry.run is None:
            continue
        elif entry.type == "run-started":
            studies.setdefault(entry.run, entry.payload)
            if entry.payload not in registered:
                faults.add("it began before the log registered its study", run=entry.run)
        elif entry.type == "round-opened" and entry.run not in opened:
            opened.add(entry.run)
            if entry.run not in studies:
                faults.add("its first round was opened before the run began", run=entry.run)


def _check_references(session: Session, known: set[str], faults: Faults) -> None:
    """Checks the pooled references, which stand in the log beside the runs."""
    found = {row.id: row.revision for row in session.scalars(select(ReferenceRow))}
    for name in sorted(map(str, found.keys() ^ known)):
        faults.add("the pooled reference is not the one in the log", run=name)
    for name in sorted(name for name, revision in found.items() if revision != 1):
        faults.add("the pooled reference was written again later", run=name)
