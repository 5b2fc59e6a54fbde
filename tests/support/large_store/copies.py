"""Copies of a template's run, written in bulk: names, contexts, signatures and entries anew."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from compliance.audit.log import LogHead, NewEntry, extend
from coordinator.database.log.cosignatures import COSIGNED, CosignaturesRow
from coordinator.database.store import (
    CheckpointRow,
    CoordinatorTable,
    LogEntryRow,
    LoggedRow,
    ReleaseRow,
    RoundRow,
    RunRow,
    SnapshotRow,
    StudyRow,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.log.cosignature import Ed25519Cosigner
from protocol.log.signed_note import split_note
from protocol.secagg.context import RoundContext
from protocol.secagg.messages import Masked, Origin, read_unverified, sign_message
from protocol.study.study import Study
from protocol.transport.privacy_summary import sign_summary, write_summaries
from tests.support.large_store.templates import Template

#: Entries about a round that follow from its row, in the log's order.
_OF_SUM = ("masked-blobs", "ledger-heads", "transcript", "sum")
_PAUSE, _ROUND = timedelta(seconds=2), timedelta(seconds=70)


@dataclass(frozen=True, kw_only=True)
class CopiedRun:
    """What a copy is to be: its name, seed, how it ends and when it began.

    ``state`` is as it is stored; a run that is not finished has half of its rounds.
    """

    name: str
    seed: int
    state: str
    began: datetime
    auroc: float
    sweep: str | None = None


@dataclass
class BulkLog:
    """The log that copies are appended to, and the rows that wait to be written with it."""

    key: SigningKey
    hospitals: Mapping[str, SigningKey]
    head: LogHead | None = None
    masked: int = 0
    messages: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    studies: set[str] = field(default_factory=set)
    numbers: dict[type[Any], int] = field(default_factory=dict)
    _rows: dict[type[CoordinatorTable], list[dict[str, Any]]] = field(default_factory=dict)

    def next_id(self, table: type[Any]) -> int:
        """Returns the number of a table's next row."""
        self.numbers[table] = self.numbers.get(table, 0) + 1
        return self.numbers[table]

    def keep(self, row: LoggedRow) -> str:
        """Keeps a row for the next writing; returns its record."""
        said = {column.name: getattr(row, column.name) for column in row.__table__.columns}
        self._rows.setdefault(type(row), []).append(said)
        return row.record

    def append(self, entries: Sequence[NewEntry], at: datetime) -> LogHead:
        """Appends entries under one head, as one transaction does."""
        logged, self.head = extend(self.head, entries, write_time(at), self.key)
        rows = self._rows.setdefault(LogEntryRow, [])
        for new, one in zip(entries, logged, strict=True):
            rows.append(
                {"idx": one.index, "run_id": new.run_id, "leaf_hash": one.leaf_hash,
                 "entry": one.data}
            )  # fmt: skip
        head = self.head
        self._rows.setdefault(CheckpointRow, []).append(
            {"size": head.size, "root": head.root, "note": head.note,
             "frontier": b"".join(head.frontier)}
        )  # fmt: skip
        return head

    def write(self, session: Session) -> None:
        """Writes all rows that wait, those first that others name."""
        order = (StudyRow, RunRow)
        for table in (*order, *(set(self._rows) - {*order})):
            if rows := self._rows.pop(table, []):
                session.execute(insert(table), rows)


class RunCopier:
    """One copy of a run: appends what the log says of it, round by round."""

    def __init__(self, log: BulkLog, template: Template, wanted: CopiedRun) -> None:
        self._log, self._of, self._wanted = log, template, wanted
        self._now = wanted.began
        document = template.study.model_dump(mode="json")
        document["seeds"]["model"] = wanted.seed
        self._study = Study.model_validate(document)
        self._writes = 0
        size, root = self._newest
        self._summaries = {
            site: sign_summary(
                replace(
                    summary, run_id=wanted.name, study_digest=self._study.digest,
                    log_size=size, log_root=root,
                ),
                log.hospitals[site],
            )
            for site, summary in template.joined.items()
        }  # fmt: skip
        self._cosigners = [
            Ed25519Cosigner.of_site(site, log.hospitals[site])
            for site in self._study.site_names[: self._study.threshold]
        ]

    @property
    def _newest(self) -> tuple[int, str]:
        head = self._log.head
        return (0, "0" * 64) if head is None else (head.size, head.root.hex())

    def copy(self) -> None:
        """Appends the whole run."""
        wanted, rounds = self._wanted, self._study.training.rounds
        self._begin()
        done = rounds if wanted.state == "finished" else max(1, rounds // 2)
        for number in range(done):
            self._round(self._of.rounds[1], number)
        if wanted.state == "finished":
            self._finish()
        elif wanted.state == "failed":
            self._fail(done)
        else:
            self._log.keep(self._row())

    def _begin(self) -> None:
        entries = []
        if self._study.digest not in self._log.studies:
            self._log.studies.add(self._study.digest)
            row = StudyRow(
                digest=self._study.digest, name=self._study.name, revision=1,
                document=self._study.canonical_bytes, registered_at=write_time(self._now),
            )  # fmt: skip
            entries.append(_entry("study-registered", self._study.digest, self._log.keep(row)))
        roster = next(e.content for e in self._of.entries if e.content.type == "roster")
        entries.append(self._entry("roster", roster.payload))
        entries.append(self._written("run-started", self._study.digest))
        self._append(entries)
        text = write_summaries(self._summaries)
        self._append([self._written("approvals", digest(text.encode()))])

    def _round(self, of: RoundRow, number: int, kind: str = "training") -> RoundContext:
        context = self._opened(of, number, kind)
        opened, closed = write_time(self._now), write_time(self._now + _ROUND)
        said = [self._entry("round-opened", context.digest, self._made_up("open"), number)]
        self._append(said)
        self._now += _ROUND
        result = None if kind == "evaluation" else self._model_after(number)
        row = RoundRow(
            id=self._log.next_id(RoundRow), run_id=self._wanted.name, round_kind=kind,
            number=number, attempt=0, state="finished", context=context.digest,
            survivors_json=of.survivors_json, dropped_json=of.dropped_json,
            conduct_json=of.conduct_json, context_json=canonical(context.to_json()).decode(),
            model_digest=result, opened_at=opened, closed_at=closed, revision=2,
        )  # fmt: skip
        survivors = digest(canonical(json.loads(of.survivors_json)))
        said = [self._entry("survivors", survivors, self._log.keep(row), number)]
        said += [self._entry(one, self._made_up(one), None, number) for one in _OF_SUM]
        said += [_entry("masked", self._made_up(site), self._made_up(site))
                 for site in self._study.site_names]  # fmt: skip
        self._log.masked += len(self._study.site_names)
        if result is not None:
            said.append(self._entry("result", result, None, number))
            self._append(said)
        else:
            self._append([*said, *self._released(context)])
        return context

    def _opened(self, of: RoundRow, number: int, kind: str) -> RoundContext:
        """Returns a round's context, under a head that a quorum cosigns."""
        size, root = self._newest
        context = replace(
            RoundContext.from_json(parse_canonical(of.context_json.encode())),
            study_digest=self._study.digest, run_id=self._wanted.name, round=number,
            log_size=size, log_root=root, round_kind=kind,
        )  # fmt: skip
        if number:
            context = replace(context, model_hash=self._model_after(number - 1))
        assert self._log.head is not None
        text, _ = split_note(self._log.head.note)
        time = int(self._now.timestamp())
        lines = "".join(one.cosign(text, time).text for one in self._cosigners)
        row = CosignaturesRow(size=size, lines=lines, revision=1)
        self._append([_entry(COSIGNED, digest(lines.encode()), self._log.keep(row))])
        return context

    def _released(self, context: RoundContext) -> Iterator[NewEntry]:
        """Yields the entries of the figures, the tables that they follow from, and the model."""
        number = context.round
        for release in self._of.releases:
            text = release.payload_json
            if release.kind != "evaluation":
                text = json.dumps(self._signed_tables(json.loads(text), context), sort_keys=True)
            row = ReleaseRow(
                id=self._log.next_id(ReleaseRow), run_id=self._wanted.name, kind=release.kind,
                payload_json=text, released_at=write_time(self._now), revision=1,
            )  # fmt: skip
            yield self._entry("release", digest(text.encode()), self._log.keep(row), number)
        snapshot = SnapshotRow(
            id=self._log.next_id(SnapshotRow), run_id=self._wanted.name, round_number=number,
            model_digest=self._of.snapshot.model_digest, created_at=write_time(self._now),
            manifest_json=self._of.snapshot.manifest_json, revision=1,
        )  # fmt: skip
        record = self._log.keep(snapshot)
        yield self._entry("snapshot", snapshot.model_digest, record, number)

    def _signed_tables(self, kept: Mapping[str, str], context: RoundContext) -> dict[str, str]:
        before, signed = self._of.rounds[-1].context, {}
        for site, text in kept.items():
            key = self._log.hospitals[site]
            origin = Origin(sender=site, public=key.public, context=before)
            masked = read_unverified(base64.b64decode(text), Masked, origin)
            wire = sign_message(masked, context=context.digest, sender=site, key=key)
            signed[site] = base64.b64encode(wire).decode()
            self._log.messages[site] = self._wanted.name, wire
        return signed

    def _finish(self) -> None:
        self._round(self._of.rounds[-1], self._study.training.rounds, "evaluation")
        text = write_summaries(self._summaries)
        self._append([self._written("settlements", digest(text.encode()))])
        assert self._of.run.exact_json is not None
        exact = json.loads(self._of.run.exact_json) | {"auroc": self._wanted.auroc}
        said = json.dumps(exact, sort_keys=True)
        model = self._of.snapshot.model_digest
        row = self._row(ended_at=write_time(self._now), exact_json=said, model_digest=model)
        ended = [self._entry("exact-figures", digest(said.encode())),
                 self._entry("run-finished", model, self._last(row))]  # fmt: skip
        self._append(ended)

    def _fail(self, number: int) -> None:
        """Ends the run in a round of which too few hospitals were left."""
        of = self._of.rounds[1]
        context = self._opened(of, number, "training")
        opened = write_time(self._now)
        self._append([self._entry("round-opened", context.digest, self._made_up("open"), number)])
        row = RoundRow(
            id=self._log.next_id(RoundRow), run_id=self._wanted.name, round_kind="training",
            number=number, attempt=0, state="failed", context=context.digest, survivors_json="[]",
            dropped_json="[]", conduct_json="{}", model_digest=None, opened_at=opened,
            context_json=canonical(context.to_json()).decode(), closed_at=write_time(self._now),
            revision=2,
        )  # fmt: skip
        kind = digest(b"QuorumLost")
        self._append([self._entry("round-failed", kind, self._log.keep(row), number)])
        failure = f"QuorumLost: round {number + 1}: too few hospitals answered; start it again"
        ended = self._row(ended_at=write_time(self._now), failure=failure)
        self._append([self._entry("run-failed", kind, self._last(ended))])

    def _row(self, **given: Any) -> RunRow:
        """Returns the run's row as it stands last."""
        before, wanted = self._of.run, self._wanted
        said = {
            "id": wanted.name, "study_digest": self._study.digest, "state": wanted.state,
            "failure": None, "simulation": True, "test_noise": False, "seed": wanted.seed,
            "sweep": wanted.sweep, "started_at": write_time(wanted.began), "ended_at": None,
            "roster_json": before.roster_json, "sites_json": write_summaries(self._summaries),
            "exact_json": None, "environment_json": before.environment_json, "model_digest": None,
        }  # fmt: skip
        return RunRow(**said | given, revision=self._writes)

    def _last(self, row: RunRow) -> str:
        row.revision += 1
        return self._log.keep(row)

    def _written(self, kind: str, payload: str) -> NewEntry:
        """Returns the entry of a write of the run's row; the last one so far names its record."""
        self._writes += 1
        is_last = kind == "approvals" and self._wanted.state == "running"
        return self._entry(kind, payload, self._row().record if is_last else self._made_up(kind))

    def _model_after(self, number: int) -> str:
        if number == self._study.training.rounds - 1:
            return self._of.snapshot.model_digest
        return digest(f"{self._wanted.name} model {number}".encode())

    def _made_up(self, what: str) -> str:
        """Returns the digest of what nobody kept: an earlier state of a row, a sum, a message."""
        return digest(f"{self._wanted.name} {self._newest[0]} {what}".encode())

    def _append(self, entries: Sequence[NewEntry]) -> None:
        self._log.append(entries, self._now)
        self._now += _PAUSE

    def _entry(
        self, kind: str, payload: str, record: str | None = None, number: int | None = None
    ) -> NewEntry:
        return NewEntry(
            type=kind, run_id=self._wanted.name, payload=payload, record=record, round=number,
            attempt=None if number is None else 0,
        )  # fmt: skip


def _entry(kind: str, payload: str, record: str) -> NewEntry:
    return NewEntry(type=kind, run_id=None, payload=payload, record=record)


def spread(count: int, until: datetime | None = None) -> list[datetime]:
    """Returns when so many runs begin, evenly over the year before a time; now when None."""
    end = until or datetime.now(tz=UTC) - timedelta(hours=5)
    step = timedelta(days=365) / max(1, count)
    return [end - step * (count - 1 - number) for number in range(count)]
