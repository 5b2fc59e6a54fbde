"""Holds one run's records against each other, the log, and what the hospitals signed.

That the rows are the ones that were logged, ``logged_rows`` has checked. Here
is what holds even against a holder of the log's own key: every context names
a head that the log had then, every model follows the one before, every summary
is the hospital's own and names a head of this log, and every figure follows from
what the hospitals signed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.facts.dossier import CONTRADICTED, parse_manifest
from compliance.governance.promise_check import require_promised
from coordinator.audit.accusations import require_accusations
from coordinator.audit.cosignature_check import require_cosigned
from coordinator.audit.course_check import require_course
from coordinator.audit.faults import Faults
from coordinator.database.store import (
    ManifestRow,
    MaskedRow,
    ReleaseRow,
    RoundRow,
    RunRow,
    SnapshotRow,
    stored_study,
)
from coordinator.membership.tables import RosterRow
from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.rounds.ending.snapshot import require_follows
from coordinator.rounds.run_course import kinds_of
from coordinator.rounds.run_records import require_manifest
from coordinator.rounds.site_tables import require_signed_tables
from protocol.encoding import digest, digest_json, parse_canonical
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import Roster, parse_roster
from protocol.log.cosignature import VerifierKey
from protocol.log.entry import RESULT, LogEntry
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import result_before
from protocol.secagg.messages import Masked, Origin, open_message
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary, open_summary, read_summaries
from protocol.vectors.tensors import model_digest

#: The log's last word on a run's state, by the type of the entry that says it.
_ENDS = {"run-finished": "finished", "run-failed": "failed", "run-stopped": "stopped"}
#: The kind of the figures that a red team found about a run, and of their entry in the log.
FINDINGS = "redteam"


@dataclass(frozen=True, kw_only=True)
class RunLog:
    """The log's entries of one run, and the heads they stand under.

    ``heads`` are the roots (hexadecimal) of all signed heads, by size, ``cosigners`` the hospitals'
    keys that have cosigned each.
    """

    entries: Sequence[LogEntry]
    heads: Mapping[int, str]
    cosigners: Mapping[int, frozenset[VerifierKey]]

    def all(self, kind: str) -> list[LogEntry]:
        """Returns the entries of a type, in order."""
        return [entry for entry in self.entries if entry.type == kind]

    def payloads(self, kind: str) -> list[str]:
        """Returns what the entries of a type name, in order."""
        return [entry.payload for entry in self.all(kind)]


@dataclass(frozen=True, kw_only=True)
class LoggedAttempt:
    """One attempt of a round, as its hospitals' own databases must know it.

    ``survivors`` are in its sum, none where it failed; ``blobs`` is what the log
    says of their masked vectors (a digest over all of them), ``name`` what
    people call the round.
    """

    name: str
    context: RoundContext
    survivors: tuple[str, ...]
    blobs: str | None


@dataclass(frozen=True, kw_only=True)
class RunFound:
    """The contents of a run's records: the hospitals' summaries, and the sites of each attempt."""

    summaries: tuple[Summary, ...]
    attempts: tuple[LoggedAttempt, ...]


def check_run(session: Session, row: RunRow, log: RunLog, faults: Faults) -> RunFound:
    """Checks everything about a run."""
    run, summaries, roster = row.id, [], None
    attempts: list[LoggedAttempt] = []
    with faults.checking("its state", run=run):
        _check_state(row, log)
    with faults.checking("its figures", run=run):
        _check_figures(session, row, log)
    with faults.checking("its roster", run=run):
        roster = _checked_roster(session, row, log)
    for round_ in session.scalars(select(RoundRow).filter_by(run_id=run).order_by(RoundRow.id)):
        with faults.checking("its record", **round_.place):
            _check_round(round_, log, stored_study(session, row.study_digest))
            attempts.append(_attempt(round_, log))
        if roster is not None:
            with faults.checking("the cosignatures under which it began", **round_.place):
                require_cosigned(
                    _context(round_), stored_study(session, row.study_digest), roster, log.cosigners
                )
    with faults.checking("the record of its rounds", run=run):
        _check_rounds(session, row, log)
    with faults.checking("its course", run=run):
        require_course(session, row, stored_study(session, row.study_digest), log.entries)
    with faults.checking("its model", run=run):
        _check_model(session, row, log)
    with faults.checking("its seed", run=run):
        if row.seed != stored_study(session, row.study_digest).seeds.model:
            raise StoreBroken("it says another seed than its study")
    if roster is not None:
        summaries = _check_summaries(session, row, roster, log, faults)
        with faults.checking("what its hospitals signed about themselves", run=run):
            require_signed_tables(session, row, summaries)
        with faults.checking("its snapshot", run=run):
            require_follows(session, row, stored_study(session, row.study_digest), roster)
        with faults.checking("the newest message that is kept of a hospital", run=run):
            _check_kept_messages(session, run, roster)
        with faults.checking("its manifest", run=run):
            _check_manifest(session, row, summaries, log)
        with faults.checking("its accusations", run=run):
            require_accusations(session, row, roster, log.all("accusation"))
    return RunFound(summaries=tuple(summaries), attempts=tuple(attempts))


def failure_of(reasons: Sequence[str]) -> str:
    """Returns why a run failed that a red team contradicted."""
    return f"{CONTRADICTED}: {'; '.join(reasons)}"


def _check_state(row: RunRow, log: RunLog) -> None:
    """Checks that a run ends once, and that only a red team's findings are added after that."""
    ends = [entry for entry in log.entries if entry.type in _ENDS]
    expected = _ENDS[ends[-1].type] if ends else "running"
    if row.state != expected:
        raise StoreBroken(f"it says {row.state}, the log says {expected}")
    found = {FINDINGS: log.payloads(FINDINGS), "run-failed": log.payloads(FINDINGS)}
    after = [entry for entry in log.entries if ends and entry.seq > ends[0].seq]
    for entry in after:
        if entry.payload not in found.get(entry.type, ()):
            raise StoreBroken(
                f"the log says {entry.type} of it (entry {entry.seq}) after it had ended: only "
                "what a red team found is added to a run that has ended"
            )
    if row.state == "finished" and row.failure is not None:
        raise StoreBroken("it finished, and says why it failed")
    if log.payloads("run-started") != [row.study_digest]:
        raise StoreBroken("it says another study than the log")


def _check_figures(session: Session, row: RunRow, log: RunLog) -> None:
    releases = session.scalars(select(ReleaseRow).filter_by(run_id=row.id)).all()
    kinds = [r.kind for r in releases if r.kind != FINDINGS]
    study = stored_study(session, row.study_digest)
    known = {kind for number in study.evaluations.numbers for kind in kinds_of(study, number)}
    if len(kinds) != len(set(kinds)) or not set(kinds) <= known:
        raise StoreBroken(f"it releases each kind of figures once, and has {sorted(kinds)}")
    stored = [digest(r.payload_json.encode()) for r in releases if r.kind != FINDINGS]
    if sorted(stored) != sorted(log.payloads("release")):
        raise StoreBroken("a released figure is not the one in the log")
    exact = [] if row.exact_json is None else [digest(row.exact_json.encode())]
    if exact != log.payloads("exact-figures"):
        raise StoreBroken("its exact figures are not the ones in the log")
    _check_findings(row, log, [r.payload_json for r in releases if r.kind == FINDINGS])


def _check_findings(row: RunRow, log: RunLog, found: Sequence[str]) -> None:
    """Requires a red team's findings to be those logged, and a run they contradict to say so."""
    by_digest = {digest(text.encode()): text for text in found}
    if sorted(by_digest) != sorted(set(log.payloads(FINDINGS))):
        raise StoreBroken("what the red team found is not what is in the log")
    read = {name: json.loads(text) for name, text in by_digest.items()}
    failing = [name for name in log.payloads("run-failed") if name in read]
    if set(failing) != {name for name, findings in read.items() if findings["reasons"]}:
        raise StoreBroken("whether the red team contradicts it is not what it found")
    if failing and row.failure != failure_of(read[failing[-1]]["reasons"]):
        raise StoreBroken("why it failed is not what the red team found")


def _checked_roster(session: Session, row: RunRow, log: RunLog) -> Roster:
    """Returns a run's roster; of hospitals that are no simulation, one that they have signed."""
    roster = parse_roster(row.roster_json.encode())
    if log.payloads("roster") != [roster.digest]:
        raise StoreBroken("its roster is not the one in the log")
    if not row.simulation:
        signed = session.get(RosterRow, roster.digest)
        if signed is None or signed.state != "signed" or signed.signed.roster != roster:
            raise StoreBroken("its roster is none that its members have signed")
    return roster


def _check_round(row: RoundRow, log: RunLog, study: Study) -> None:
    """Requires a row's attempt to be that of its context, under a head that the log had."""
    context = _context(row)
    said = (row.context, row.run_id, row.round_kind, row.number, row.attempt)
    if said != (context.digest, context.run_id, context.round_kind, context.round, context.attempt):
        raise StoreBroken("it is not the round that its context names")
    absent = sorted(set(context.participants) - set(json.loads(row.survivors_json)))
    if row.state == "finished" and json.loads(row.dropped_json) != absent:
        raise StoreBroken("who dropped out of it is not what happened")
    opened = [e.seq for e in log.all("round-opened") if e.payload == row.context]
    if len(opened) != 1:
        raise StoreBroken(f"the log says {len(opened)} times that it was opened")
    if log.heads.get(context.log_size) != context.log_root or context.log_size > opened[0]:
        raise StoreBroken(
            f"the hospitals took part under a log of {context.log_size} entries and root "
            f"{context.log_root[:16]}, which is not a head that this log had before it was opened"
        )
    before = result_before(study, context.round_kind, context.round)
    if before is None or before[0] != RESULT:  # see ``course_check``
        return
    gave = [e.payload for e in log.all(RESULT) if e.round == before[1]]
    if gave != [context.model_hash]:
        raise StoreBroken("it did not begin with the model that the round before it gave")


def _context(row: RoundRow) -> RoundContext:
    return RoundContext.from_json(parse_canonical(row.context_json.encode()))


def _attempt(row: RoundRow, log: RunLog) -> LoggedAttempt:
    sites = tuple(json.loads(row.survivors_json)) if row.state == "finished" else ()
    where = (row.number, row.attempt)
    blobs = [e.payload for e in log.all("masked-blobs") if (e.round, e.attempt) == where]
    return LoggedAttempt(
        name=row.place["round"],
        context=_context(row),
        survivors=sites,
        blobs=blobs[-1] if blobs else None,
    )


def _check_rounds(session: Session, row: RunRow, log: RunLog) -> None:
    rounds = session.scalars(select(RoundRow).filter_by(run_id=row.id)).all()
    opened = {(e.round, e.attempt, e.payload) for e in log.all("round-opened")}
    if {(r.number, r.attempt, r.context) for r in rounds} != opened:
        raise StoreBroken("its rounds are not the ones in the log")
    finished = [r for r in rounds if r.state == "finished"]
    survivors = {(e.round, e.payload) for e in log.all("survivors")}
    if {(r.number, digest_json(json.loads(r.survivors_json))) for r in finished} != survivors:
        raise StoreBroken("who took part in a round is not what the log says")
    conduct = {(e.round, e.attempt, e.payload) for e in log.all("conduct")}
    shown = [r for r in rounds if conduct_from(r.conduct_json).is_logged]
    if {(r.number, r.attempt, digest(r.conduct_json.encode())) for r in shown} != conduct:
        raise StoreBroken("what a round shows of its sites is not what was logged")
    results = sorted((e.round or 0, e.payload) for e in log.all(RESULT))
    if sorted((r.number, r.model_digest) for r in rounds if r.model_digest) != results:
        raise StoreBroken("the model of a round is not the one in the log")


def _check_model(session: Session, row: RunRow, log: RunLog) -> None:
    """Checks that the kept model is the last result, once, and that a finished run names it."""
    kept = session.scalars(select(SnapshotRow).filter_by(run_id=row.id)).all()
    named = sorted(snapshot.model_digest for snapshot in kept)
    if named != sorted(log.payloads("snapshot")):
        raise StoreBroken("the model that is kept is not the one in the log")
    for snapshot in kept:
        last = [e.payload for e in log.all(RESULT) if e.round == snapshot.round_number - 1]
        if not snapshot.round_number:  # of a study that trains nothing
            last = _given_model(session, row)
        if last != [snapshot.model_digest]:
            raise StoreBroken("the model that is kept is not what the last round gave")
    if row.model_digest is not None and named != [row.model_digest]:
        raise StoreBroken("the model that it names is not the one that is kept")


def _check_manifest(
    session: Session, row: RunRow, summaries: Sequence[Summary], log: RunLog
) -> None:
    """Checks that a run's manifest is the one in the log, and of this run; most have one."""
    kept = session.get(ManifestRow, row.id)
    if kept is None:
        if log.payloads("manifest"):
            raise StoreBroken("the manifest that the log names is missing")
        return
    manifest = parse_manifest(kept.document)
    if log.payloads("manifest")[-1:] != [manifest.digest]:
        raise StoreBroken("it is not the one in the log")
    where = {"run_id": row.id, "round_kind": "training", "number": 0}
    first = session.scalars(select(RoundRow).filter_by(**where).limit(1)).first()
    began_from = None if first is None else _context(first).model_hash
    signed = {summary.site: summary for summary in summaries}
    require_manifest(manifest, stored_study(session, row.study_digest), signed, began_from)


def _given_model(session: Session, row: RunRow) -> list[str]:
    """Returns the model of a run that trains nothing: the one in its evaluation's contexts."""
    if not stored_study(session, row.study_digest).has_model:
        return [model_digest({})]
    query = select(RoundRow.context_json).filter_by(run_id=row.id, state="finished")
    contexts = [
        RoundContext.from_json(parse_canonical(text.encode())) for text in session.scalars(query)
    ]
    return sorted({one.model_hash for one in contexts})


def _check_kept_messages(session: Session, run: str, roster: Roster) -> None:
    """Checks that a hospital's newest ``masked`` message is its own, and of a round of the run."""
    contexts = session.scalars(select(RoundRow.context).filter_by(run_id=run)).all()
    for row in session.scalars(select(MaskedRow).filter_by(run_id=run)):
        public = roster.key_of(row.site)
        if not any(_is_genuine(row, public, context) for context in contexts):
            raise StoreBroken(f"the newest message that is kept of {row.site} is not its own")


def _is_genuine(row: MaskedRow, public: bytes, context: str) -> bool:
    try:
        open_message(row.message, Masked, Origin(sender=row.site, public=public, context=context))
    except MessageRefused:
        return False
    return True


def _check_summaries(
    session: Session, row: RunRow, roster: Roster, log: RunLog, faults: Faults
) -> list[Summary]:
    """Returns what the hospitals signed, each checked by itself."""
    found: list[Summary] = []
    logged = [e for e in log.entries if e.type in ("approvals", "settlements")]
    if not logged and row.sites_json == "{}":
        return found
    with faults.checking("what the hospitals signed", run=row.id):
        if not logged or digest(row.sites_json.encode()) != logged[-1].payload:
            raise StoreBroken("what the hospitals signed is not what was logged")
        study = stored_study(session, row.study_digest)
        for site, signed in read_summaries(row.sites_json).items():
            with faults.checking("its signed summary", run=row.id, hospital=site):
                summary = open_summary(signed, roster.key_of(site))
                about = (summary.site, summary.run_id, summary.study_digest)
                if about != (site, row.id, row.study_digest):
                    raise StoreBroken("its signed summary is about another hospital, run or study")
                found.append(summary)
                _require_same_privacy(study, summary, row)
                _check_known_head(summary, logged[-1].seq, log)
    return found


def _require_same_privacy(study: Study, summary: Summary, row: RunRow) -> None:
    """Requires the privacy that a hospital signed to be what the study fixes for such a run."""
    try:
        require_promised(study, summary, test_noise=row.test_noise, priced=False)
    except MessageRefused as error:
        raise StoreBroken(f"its signed summary does not fit the run: {error}") from error


def _check_known_head(summary: Summary, seq: int, log: RunLog) -> None:
    """Requires a hospital's head to be one that this log had when the hospital signed it."""
    if not summary.log_size:
        return
    if log.heads.get(summary.log_size) != summary.log_root or summary.log_size > seq:
        raise StoreBroken(
            f"it signed that it knows a log of {summary.log_size} entries and root "
            f"{summary.log_root[:16]}: this log never had that head"
        )
