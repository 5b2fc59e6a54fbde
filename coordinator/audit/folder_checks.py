"""Holds the files of an output folder to the log: models, kept rounds, the page, the key.

A file that a row or an entry of the log names must be there, byte for byte. What
nobody names (a log file of a hospital, a lock) is evidence of nothing; the
verification lists it as not checked.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.storage.atomic_file import read_whole
from compliance.storage.unnamed_files import unnamed_files
from coordinator.audit.faults import Faults
from coordinator.database.pages import PAGE
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import (
    RoundRow,
    RunRow,
    SnapshotRow,
    Store,
    StudyRow,
)
from coordinator.database.workspace import Workspace, manifest_text
from coordinator.rounds.attempts.conduct import conduct_from
from protocol.encoding import digest, parse_canonical
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import parse_roster
from protocol.log.entry import LogEntry
from protocol.secagg.context import RoundContext
from protocol.secagg.transcript import vectors_of
from protocol.study.study import Study
from protocol.vectors.tensors import decode_tensors, model_digest

#: What of the folder is looked at here, beside what rows name.
_NAMED = {
    "collegium.db", "collegium.db-shm", "collegium.db-wal", "database.url", "coordinator.key",
    "coordinator.pub", "release.key", "release.pub", "index.html", ".at-work",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FilesFound:
    """The files found: models, kept rounds of finished ones, and files that no record names."""

    models: int
    kept_rounds: int
    finished_rounds: int
    unnamed: tuple[str, ...]


def check_files(
    session: Session,
    workspace: Workspace,
    public: bytes,
    entries: Sequence[LogEntry],
    faults: Faults,
    elsewhere: Collection[str] = (),
) -> FilesFound:
    """Checks every file that the records name.

    Args:
        session: reads the database.
        workspace: the folder.
        public: the log's key.
        entries: the log's.
        faults: takes what is found wrong.
        elsewhere: files in the folder that are checked elsewhere, from the folder on.
    """
    models, kept, finished = 0, 0, 0
    unnamed: tuple[str, ...] = ()
    _check_keys(workspace, public, faults)
    with faults.checking("the record of models"):
        models = _check_snapshots(session, workspace, faults)
    with faults.checking("the record of rounds"):
        kept, finished = _check_rounds(session, workspace, entries, faults)
    with faults.checking("index.html"):
        _check_page(workspace, entries)
    with faults.checking("the record of files"):
        named = _NAMED | {*elsewhere, *named_files(session, workspace, faults)}
        unnamed = unnamed_files(workspace.root, named.__contains__)
    return FilesFound(models=models, kept_rounds=kept, finished_rounds=finished, unnamed=unnamed)


def _check_keys(workspace: Workspace, public: bytes, faults: Faults) -> None:
    with faults.checking("coordinator.pub"):
        if workspace.public_key() != public:
            raise StoreBroken("coordinator.pub holds another key than the one given")
    if workspace.key_file.exists():
        with faults.checking("coordinator.key"):
            if workspace.signing_key().public != public:
                raise StoreBroken("coordinator.key is not the key that signs this log")


def _check_snapshots(session: Session, workspace: Workspace, faults: Faults) -> int:
    rows = session.scalars(select(SnapshotRow).order_by(SnapshotRow.id)).all()
    made: dict[str, list[dict[str, Any]]] = {}
    for row in rows:  # a run that evaluated a given model says nothing of how that was made
        said = made.setdefault(row.model_digest, [])
        said += [manifest] if (manifest := json.loads(row.manifest_json)) else []
    for row in rows:
        with faults.checking("its model file", run=str(row.run_id)):
            workspace.read_snapshot(row.model_digest)
            data = read_whole(workspace.snapshots / f"{row.model_digest}.safetensors")
            beside = workspace.snapshots / f"{row.model_digest}.json"
            if not beside.is_file():
                raise StoreBroken(f"the manifest of model {row.model_digest[:12]} is missing")
            own = json.loads(row.manifest_json)
            kept = [manifest_text(own, row.model_digest, data)]
            if not own:
                kept += [
                    manifest_text(one, row.model_digest, data) for one in made[row.model_digest]
                ]
            if beside.read_text(encoding="utf-8") not in kept:
                raise StoreBroken(
                    f"model {row.model_digest[:12]}: its file or its manifest was changed"
                )
    return len({row.model_digest for row in rows})


def _check_rounds(
    session: Session, workspace: Workspace, entries: Sequence[LogEntry], faults: Faults
) -> tuple[int, int]:
    """Checks that every round that the study keeps is there, and is the one that was logged."""
    archive, kept = RoundArchive(workspace.rounds), 0
    transcripts = {
        (entry.run, entry.round, entry.attempt): entry.payload
        for entry in entries
        if entry.type == "transcript"
    }
    rows = _finished(session)
    wanted = _to_be_kept(session, rows, faults)
    for row in rows:
        with faults.checking("what is kept of it", **row.place):
            if not archive.holds(row.context):
                if row.context in wanted and _is_wanted_now(workspace, row.context):
                    raise StoreBroken("what it can be recomputed from is missing")
                continue
            try:
                _check_kept(session, row, archive, transcripts[row.run_id, row.number, row.attempt])
            except StoreBroken:
                if archive.holds(row.context) or _is_wanted_now(workspace, row.context):
                    raise
                continue
            kept += 1
    return kept, len(rows)


def _is_wanted_now(workspace: Workspace, context: str) -> bool:
    """Reads the database again: a run under way drops its older rounds meanwhile."""
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        return context in _to_be_kept(session, _finished(session), Faults())


def _finished(session: Session) -> Sequence[RoundRow]:
    finished = select(RoundRow).filter_by(state="finished").order_by(RoundRow.id)
    return session.scalars(finished).all()


def _to_be_kept(session: Session, rows: Sequence[RoundRow], faults: Faults) -> set[str]:
    """Returns the contexts of the rounds that must be there: each run's last ones."""
    wanted: set[str] = set()
    for run in {row.run_id for row in rows}:
        with faults.checking("which rounds are kept of it", run=str(run)):
            study = session.get_one(StudyRow, session.get_one(RunRow, run).study_digest)
            keep = Study.model_validate_json(study.document).aggregation.keep_rounds
            rounds: dict[tuple[str, int], set[str]] = defaultdict(set)
            for row in rows:
                if row.run_id == run:
                    rounds[row.round_kind, row.number].add(row.context)
            wanted.update(*([*rounds.values()][-keep:] if keep else ()))
    return wanted


def _check_kept(session: Session, row: RoundRow, archive: RoundArchive, logged: str) -> None:
    transcript = archive.transcript(row.context)
    if transcript is None or transcript.digest != logged:
        raise StoreBroken("its transcript is not the one in the log")
    roster = parse_roster(session.get_one(RunRow, row.run_id).roster_json.encode())
    try:
        named = set(vectors_of(transcript, roster).values())
        for name in sorted(named):
            archive.vector(row.context, name)
        model = decode_tensors(archive.model(row.context))
    except MessageRefused as error:
        raise StoreBroken(str(error)) from error
    context = RoundContext.from_json(parse_canonical(row.context_json.encode()))
    if model_digest(model) != context.model_hash:
        raise StoreBroken("the model that is kept with it is not the one that it began with")
    clip = conduct_from(row.conduct_json).clip
    if clip is not None and clip != _study_of(session, row).clip_of(model):
        raise StoreBroken(f"its clip is said to have been {clip:g}, its model brings another")


def _study_of(session: Session, row: RoundRow) -> Study:
    study = session.get_one(StudyRow, session.get_one(RunRow, row.run_id).study_digest)
    return Study.model_validate_json(study.document)


def _check_page(workspace: Workspace, entries: Sequence[LogEntry]) -> None:
    pages = [entry.payload for entry in entries if entry.type == PAGE]
    if pages and not workspace.page.is_file():
        raise StoreBroken("index.html is missing: collegium wrote one")
    if workspace.page.is_file() and pages[-1:] != [digest(workspace.page.read_bytes())]:
        raise StoreBroken("index.html is not the page that was logged last")


def named_files(session: Session, workspace: Workspace, faults: Faults) -> Iterator[str]:
    """Yields the files that rows name, by their paths from the folder on, there or not.

    Of a kept round they are those that its transcript names.
    """
    models, rounds = workspace.snapshots.name, workspace.rounds.name
    for model in session.scalars(select(SnapshotRow.model_digest)):
        yield from (f"{models}/{model}.safetensors", f"{models}/{model}.json")
    archive = RoundArchive(workspace.rounds)
    for row in _finished(session):
        with faults.checking("what is kept of it", **row.place):
            transcript = archive.transcript(row.context)
            if transcript is None:
                continue
            roster = parse_roster(session.get_one(RunRow, row.run_id).roster_json.encode())
            vectors = {f"{name}.vector" for name in vectors_of(transcript, roster).values()}
            for file in (*vectors, "transcript.json", "model.safetensors"):
                yield f"{rounds}/{row.context}/{file}"
