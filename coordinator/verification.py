"""Holds what the database says against what the signed log says, row by row.

The log keeps digests only. So everything a report prints about a run must hash
to something that was logged, and everything logged must still be there: a
changed, added or deleted row is found either way.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit_log import LoggedEntry, verify_log
from compliance.dossier import CONTRADICTED
from coordinator.accusations import require_accusations
from coordinator.member_rows import require_logged
from coordinator.references import reference_digest
from coordinator.site_tables import require_signed_tables
from coordinator.store import (
    ReferenceRow,
    ReleaseRow,
    RoundRow,
    RunRow,
    SnapshotRow,
    StudyRow,
    logged_entries,
    signed_heads,
)
from protocol.context import RoundContext
from protocol.encoding import digest, digest_json, parse_canonical
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity import Roster, parse_roster
from protocol.log_entry import LogEntry
from protocol.summary import Summary, open_summary, read_words

#: The log's last word on a run's state, by the type of the entry that says it.
_ENDS = {"run-finished": "finished", "run-failed": "failed", "run-stopped": "stopped"}
#: The kind of the figures that a red team found about a run, and of their entry in the log.
FINDINGS = "redteam"


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was checked and found genuine.

    ``summaries`` are the words of simulated hospitals, whose ledgers lie in the same folder.
    """

    root: bytes
    size: int
    studies: int
    runs: int
    references: int
    models: tuple[str, ...]
    summaries: tuple[Summary, ...]


def verify_records(session: Session, public: bytes) -> Verified:
    """Checks log, members, studies, runs, rounds, releases, models, references, signed words.

    Raises:
        StoreBroken: names the first thing that is not what was logged.
    """
    try:
        return _verified(session, public)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # SQLite keeps whatever type was written: a changed cell may hold anything.
        raise StoreBroken(
            "a record is damaged: a cell of the database holds what nobody writes there"
        ) from error


def _verified(session: Session, public: bytes) -> Verified:
    entries = logged_entries(session)
    root = verify_log(entries, signed_heads(session), public)
    require_logged(session, entries)
    logged = _by_run(entries)
    studies = _check_studies(session, entries)
    runs = session.scalars(select(RunRow)).all()
    references = _check_references(session, logged)
    missing = sorted(set(logged) - references - {row.id for row in runs})
    if missing:
        raise StoreBroken(f"run {missing[0]} is in the log, but was removed from the database")
    summaries: list[Summary] = []
    for row in runs:
        kinds = logged.get(row.id)
        if kinds is None:
            raise StoreBroken(f"run {row.id} was never logged")
        _check_state(row, kinds)
        _check_figures(session, row, kinds)
        _check_rounds(session, row, kinds)
        words = _check_words(row, kinds)
        require_signed_tables(session, row, words)
        roster = _checked_roster(row, kinds)
        require_accusations(session, row, roster, kinds.get("accusation", ()))
        summaries += words if row.simulation else []
    return Verified(
        root=root,
        size=len(entries),
        studies=studies,
        runs=len(runs),
        references=len(references),
        models=_check_models(session, runs, logged),
        summaries=tuple(summaries),
    )


Kinds = Mapping[str, Sequence[LogEntry]]


def _by_run(entries: Sequence[LoggedEntry]) -> dict[str, Kinds]:
    runs: dict[str, dict[str, list[LogEntry]]] = defaultdict(lambda: defaultdict(list))
    for content in (entry.content for entry in entries):
        if content.run is None:
            continue  # of the whole consortium, not of a run
        runs[content.run][content.type].append(content)
    return dict(runs)


def _payloads(kinds: Kinds, kind: str) -> list[str]:
    return [content.payload for content in kinds.get(kind, ())]


def _check_studies(session: Session, entries: Sequence[LoggedEntry]) -> int:
    registered = {e.content.payload for e in entries if e.content.type == "study-registered"}
    found = {row.digest: row.document for row in session.scalars(select(StudyRow))}
    for name, document in found.items():
        if digest(document) != name or name not in registered:
            raise StoreBroken(f"study {name[:16]} is not the document that was registered")
    if len(found) != len(registered):
        raise StoreBroken("a registered study was removed from the database")
    return len(found)


def _check_references(session: Session, logged: Mapping[str, Kinds]) -> set[str]:
    """Returns the names of the pooled references, which stand in the log beside the runs."""
    found = {row.id: reference_digest(row) for row in session.scalars(select(ReferenceRow))}
    known = {
        name: payload for name, kinds in logged.items() for payload in _payloads(kinds, "reference")
    }
    for name in sorted(map(str, found.keys() | known.keys())):
        if found.get(name) != known.get(name):
            raise StoreBroken(f"reference {name} is not the one in the log")
    return set(known)


def _check_state(row: RunRow, kinds: Kinds) -> None:
    ends = [(c.seq, state) for kind, state in _ENDS.items() for c in kinds.get(kind, ())]
    expected = max(ends)[1] if ends else "running"
    if row.state != expected or row.study_digest not in _payloads(kinds, "run-started"):
        raise StoreBroken(f"run {row.id} says {row.state}, the log says {expected}")


def _check_figures(session: Session, row: RunRow, kinds: Kinds) -> None:
    releases = session.scalars(select(ReleaseRow).filter_by(run_id=row.id)).all()
    found = [release for release in releases if release.kind == FINDINGS]
    stored = [digest(r.payload_json.encode()) for r in releases if r.kind != FINDINGS]
    if sorted(stored) != sorted(_payloads(kinds, "release")):
        raise StoreBroken(f"run {row.id}: a released figure is not the one in the log")
    exact = [] if row.exact_json is None else [digest(row.exact_json.encode())]
    if exact != _payloads(kinds, "exact-figures"):
        raise StoreBroken(f"run {row.id}: its exact figures are not the ones in the log")
    _check_findings(row, kinds, [release.payload_json for release in found])


def _check_findings(row: RunRow, kinds: Kinds, found: Sequence[str]) -> None:
    """What a red team found is what was logged, and a run that it contradicted says so."""
    by_digest = {digest(text.encode()): text for text in found}
    if sorted(by_digest) != sorted(set(_payloads(kinds, FINDINGS))):
        raise StoreBroken(f"run {row.id}: what the red team found is not what is in the log")
    read = {name: json.loads(text) for name, text in by_digest.items()}
    failing = [name for name in _payloads(kinds, "run-failed") if name in read]
    if set(failing) != {name for name, findings in read.items() if findings["reasons"]}:
        raise StoreBroken(f"run {row.id}: whether the red team contradicts it is not what it found")
    if failing and row.failure != failure_of(read[failing[-1]]["reasons"]):
        raise StoreBroken(f"run {row.id}: why it failed is not what the red team found")


def failure_of(reasons: Sequence[str]) -> str:
    """Returns why a run failed that a red team contradicted."""
    return f"{CONTRADICTED}: {'; '.join(reasons)}"


def _check_rounds(session: Session, row: RunRow, kinds: Kinds) -> None:
    rounds = session.scalars(select(RoundRow).filter_by(run_id=row.id)).all()
    opened = {(c.round, c.attempt, c.payload) for c in kinds.get("round-opened", ())}
    if {(r.number, r.attempt, r.context) for r in rounds} != opened:
        raise StoreBroken(f"run {row.id}: its rounds are not the ones in the log")
    try:
        for round_ in rounds:
            _check_context(round_)
        _check_results(row, rounds, kinds)
    except (ValueError, TypeError, MessageRefused) as error:
        raise StoreBroken(f"run {row.id}: the record of a round is damaged") from error


def _check_context(row: RoundRow) -> None:
    """What a row says of its round is what its context says; rows of before have no context."""
    if not row.context_json:
        return
    context = RoundContext.from_json(parse_canonical(row.context_json.encode()))
    said = (row.context, row.run_id, row.purpose, row.number, row.attempt)
    if said != (context.digest, context.run_id, context.purpose, context.round, context.attempt):
        raise StoreBroken(f"run {row.run_id}: a round is not the one that its context names")
    absent = sorted(set(context.cohort) - set(json.loads(row.survivors_json)))
    if row.state == "finished" and json.loads(row.dropped_json) != absent:
        raise StoreBroken(f"run {row.run_id}: who dropped out of a round is not what happened")


def _check_results(row: RunRow, rounds: Sequence[RoundRow], kinds: Kinds) -> None:
    finished = [r for r in rounds if r.state == "finished"]
    survivors = {(c.round, c.payload) for c in kinds.get("survivors", ())}
    if {(r.number, digest_json(json.loads(r.survivors_json))) for r in finished} != survivors:
        raise StoreBroken(f"run {row.id}: who took part in a round is not what the log says")
    conduct = {(c.round, c.attempt, c.payload) for c in kinds.get("conduct", ())}
    shown = [r for r in rounds if r.conduct_json != "{}"]
    if {(r.number, r.attempt, digest(r.conduct_json.encode())) for r in shown} != conduct:
        raise StoreBroken(f"run {row.id}: what a round shows of its sites is not what was logged")
    results = {(c.round, c.payload) for c in kinds.get("result", ())}
    trained = {(r.number, r.model_digest) for r in rounds if r.model_digest is not None}
    if trained != results:
        raise StoreBroken(f"run {row.id}: the model of a round is not the one in the log")


def _check_words(row: RunRow, kinds: Kinds) -> list[Summary]:
    roster = _checked_roster(row, kinds)
    logged = [*_payloads(kinds, "approvals"), *_payloads(kinds, "settlements")]
    if not logged and row.sites_json == "{}":
        return []
    if not logged or digest(row.sites_json.encode()) != logged[-1]:
        raise StoreBroken(f"run {row.id}: what the hospitals signed is not what was logged")
    try:
        words = read_words(row.sites_json)
        return [open_summary(word, roster.key_of(site)) for site, word in words.items()]
    except MessageRefused as error:
        raise StoreBroken(f"run {row.id}: a hospital's word is not genuine: {error}") from error


def _checked_roster(row: RunRow, kinds: Kinds) -> Roster:
    try:
        roster = parse_roster(row.roster_json.encode())
    except MessageRefused as error:
        raise StoreBroken(f"run {row.id}: its roster is damaged: {error}") from error
    if roster.digest not in _payloads(kinds, "roster"):
        raise StoreBroken(f"run {row.id}: its roster is not the one in the log")
    return roster


def _check_models(
    session: Session, runs: Sequence[RunRow], logged: Mapping[str, Kinds]
) -> tuple[str, ...]:
    kept = {(row.run_id, row.model_digest) for row in session.scalars(select(SnapshotRow))}
    claimed = {(row.id, row.model_digest) for row in runs if row.model_digest is not None}
    known = {(run, name) for run, kinds in logged.items() for name in _payloads(kinds, "snapshot")}
    for run, name in sorted(kept ^ known) + sorted(claimed ^ known):
        raise StoreBroken(f"run {run}: its model {str(name)[:16]} is not the one in the log")
    return tuple(sorted({name for _, name in known}))
