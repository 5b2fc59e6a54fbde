"""Scores of a file or folder of records, written as a table, with a header file beside it.

Rules:

1. Every record of the source has its line in the table: its scores, or why it has none.
2. The log of queries has its line before the table is in place; a table that cannot be finished is
   not there at all.
3. The same records and model give the same bytes of both files.
"""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from collegium.models.inference.scoring_place import ScoringPlace
from compliance.storage.atomic_file import put_in_place, sync_file, write_whole
from protocol.errors import WorkspaceRefused
from protocol.study.task.task import output_of
from protocol.transport.serving_statement import BATCH as SERVED_BATCH
from silos.results.inference.extraction_alarm import DAILY_VOLUME, ExtractionWatch
from silos.results.inference.input_places import input_places
from silos.results.inference.record_batches import RecordBatch, batches_of, source_at
from silos.results.inference.scoring_model import ScoringModel

BATCH = "a batch"


@dataclass(frozen=True, kw_only=True)
class BatchScores:
    """Outcome of a batch.

    Attributes:
        table, header: the two files.
        records, refused: how many were scored, and how many were not.
        alarms: the rules that the records set off.
        model, snapshot: digests; no snapshot of a kept run.
        vouched: who vouches for the model.
        is_logged: whether the hospital's log has it.
    """

    table: str
    header: str
    records: int
    refused: int
    alarms: tuple[str, ...]
    model: str
    snapshot: str | None
    vouched: str
    is_logged: bool

    def to_json(self) -> dict[str, Any]:
        """Returns what ``--json`` shows."""
        return asdict(self)


def header_file(to: Path) -> Path:
    """Returns the header file's place beside a table of scores."""
    return to.with_name(f"{to.name}.header.json")


def score_records(
    place: ScoringPlace, records: Path, to: Path, table: Path | None = None, caller: str = BATCH
) -> BatchScores:
    """Scores records, writes the table and its header, and logs model and question.

    Args:
        place: the model and the hospital.
        records: a file of a table, or a folder of images.
        to: the table of scores (CSV).
        table: the table that names a folder's images; ``records.csv`` in it when None.
        caller: in whose name it is logged.

    Raises:
        CohortRefused: the records cannot be read, or a whole column does not fit; nothing is
            written.
        WorkspaceRefused: a file or the log cannot be written; nothing is left behind.
    """
    with place.serving(SERVED_BATCH):
        return _scored(place, records, to, table, caller)


def _scored(
    place: ScoringPlace, records: Path, to: Path, table: Path | None, caller: str
) -> BatchScores:
    model, cohort = place.model, place.model.study.cohort
    source = source_at(records, cohort, table, place.source)
    batches = batches_of(source, cohort, place.site)
    partial = to.with_name(f"{to.name}.{os.getpid()}.partial")
    try:
        counted = _Counted(place)
        # Opened for its owner alone: scores are about patients.
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            _write(file, model, batches, counted)
            sync_file(file.buffer)  # type: ignore[arg-type]
        alarms = counted.logged(caller)
        header = _header(place, counted, records, _digest_of(partial))
        write_whole(header_file(to), header)
        put_in_place(partial, to)
    except OSError as error:
        raise WorkspaceRefused(f"--to {to} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return BatchScores(
        table=str(to),
        header=str(header_file(to)),
        records=counted.records,
        refused=counted.refused,
        alarms=alarms,
        model=model.digest,
        snapshot=model.snapshot,
        vouched=model.vouched,
        is_logged=place.log is not None,
    )


class _Counted:
    """Counts, content and alarms of a batch as it is scored."""

    def __init__(self, place: ScoringPlace) -> None:
        self._place = place
        self._content = None if place.log is None else place.log.new_content
        self._watch: ExtractionWatch | None = None
        self._alarms: set[str] = set()
        self.records = self.refused = 0

    def take(self, batch: RecordBatch, margins: "np.ndarray[Any, Any]") -> None:
        self.records += len(batch.places)
        self.refused += len(batch.faults)
        if self._content is not None:
            self._content.update(np.ascontiguousarray(batch.features, dtype="<f4").tobytes())
        seen = input_places(batch.features, self._place.model.study.cohort)
        self._watch = self._watch or ExtractionWatch(seen.is_number)
        self._alarms |= self._watch.look(seen.places, margins)

    def logged(self, caller: str) -> tuple[str, ...]:
        """Writes the line of the log; returns the alarms, which a batch without a log has too."""
        log = self._place.log
        if log is None or self._content is None:
            return tuple(sorted(self._alarms))
        return log.append(
            caller=caller,
            records=self.records,
            refused=self.refused,
            content=self._content.hexdigest(),
            model=self._place.model.digest,
            alarms=frozenset(self._alarms),
            declared=self._place.records_a_day,
            over=DAILY_VOLUME,
        ).alarms


def _write(
    file: TextIO, model: ScoringModel, batches: Iterator[RecordBatch], counted: _Counted
) -> None:
    key = model.study.cohort.patient_key
    named = () if key == "row" else (key,)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["line", *named, *model.score_names, "remarks", "fault"])
    nothing = [""] * len(model.score_names)
    for batch in batches:
        rows: dict[int, list[Any]] = {
            place: [
                batch.lines[place],
                *([batch.refused_patients.get(place, "")] if named else []),
                *nothing,
                "",
                "; ".join(said),
            ]
            for place, said in batch.faults.items()
        }
        if len(batch.places):
            outputs = model.outputs(batch.features)
            counted.take(batch, model.margins(outputs))
            for place, patient, score in zip(
                batch.places.tolist(), batch.patients, model.scores(outputs), strict=True
            ):
                own = [patient] if named else []
                remarks = "; ".join(batch.remarks.get(place, ()))
                rows[place] = [batch.lines[place], *own, *score.values(), remarks, ""]
        else:
            counted.refused += len(batch.faults)
        writer.writerows(rows[place] for place in sorted(rows))


def _header(place: ScoringPlace, counted: _Counted, records: Path, written: str) -> bytes:
    model = place.model
    said = {
        "model": model.digest,
        "snapshot": model.snapshot,
        "run": model.run,
        "study": model.study.digest,
        "study_name": model.study.name,
        "vouched": model.vouched,
        "output": output_of(model.study.task),
        "scores": list(model.score_names),
        "records": counted.records,
        "refused": counted.refused,
        "source": records.name,
        "source_sha256": _digest_of(records) if records.is_file() else None,
        "table_sha256": written,
    }
    return json.dumps(said, indent=2, sort_keys=True).encode() + b"\n"


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
