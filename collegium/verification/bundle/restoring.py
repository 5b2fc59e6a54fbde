"""Makes a folder of an evidence bundle again, which is then verified as every folder is."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from collegium.verification.bundle.packing import BundleManifest, unpack
from coordinator.audit.logged_rows import held_tables
from coordinator.database.store import (
    CheckpointRow,
    CoordinatorTable,
    LogEntryRow,
    Store,
)
from coordinator.database.workspace import Workspace
from protocol.encoding import parse_canonical
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.log.entry import parse_log_entry
from protocol.log.merkle import Frontier, leaf_hash

_ROWS_AT_ONCE = 5000
#: The longest line: a row with a roster, or the signed words of many hospitals.
_MAX_LINE = 1 << 28


@contextmanager
def restored(bundle: Path) -> Iterator[tuple[Workspace, BundleManifest]]:
    """Yields a folder with what a bundle holds, removed after the block, and the manifest.

    Guarantee: every line of log and records is in the database as it stands in the bundle; what
    they say is not checked yet.

    Raises:
        WorkspaceRefused: it cannot be read, or there is no room to unpack it.
        StoreBroken: it is no bundle, any byte of it was changed, or its records cannot be rows of
            one database.
        MessageRefused: it is of another version.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="collegium-bundle-") as folder:
            place = Path(folder)
            manifest = unpack(bundle, place)
            root = place / "files"
            root.mkdir(exist_ok=True)
            (root / "coordinator.pub").write_text(f"{manifest.key}\n")
            with closing(Store(root / "collegium.db")) as store:
                _fill(store, place, manifest)
            yield Workspace.open(root), manifest
    except OSError as error:
        raise WorkspaceRefused(f"{bundle} cannot be unpacked: {error.strerror or error}") from error


def _fill(store: Store, place: Path, manifest: BundleManifest) -> None:
    """Writes log and records to an empty database.

    Raises:
        MessageRefused: a line is no row of this software's tables.
        StoreBroken: two rows have one key, or a row names another that is not there.
    """
    known = {table.__tablename__: table.__table__ for table in held_tables()}
    files = {f.name for f in manifest.files if f.name.startswith("records/")}
    if unknown := files ^ {f"records/{name}.jsonl" for name in known}:
        raise MessageRefused(
            f"{min(unknown)}: the bundle's tables are not those of this version: verify it with "
            "the version that wrote it"
        )
    try:
        with store.transaction() as transaction:
            session = transaction.session
            _fill_log(session, place)
            for table in CoordinatorTable.metadata.sorted_tables:
                if table.name in known:
                    file = place / "records" / f"{table.name}.jsonl"
                    _insert(session, table, _rows(table, file))
    except (SQLAlchemyError, OverflowError) as error:
        raise StoreBroken("the bundle's records cannot be rows of one database") from error
    except MessageRefused as error:
        raise StoreBroken(f"the bundle's log or records were changed: {error}") from error


def _fill_log(session: Session, place: Path) -> None:
    """Writes entries and heads; root and frontier of a head are computed from the entries."""
    kept = [_head(line) for line in _lines(place / "log" / "heads.jsonl")]
    notes = dict(kept)
    if [size for size, _ in kept] != sorted(notes):
        raise MessageRefused("log/heads.jsonl: the heads are out of order")
    frontiers: dict[int, Frontier] = {}

    def entries() -> Iterator[dict[str, Any]]:
        frontier = Frontier.empty()
        for number, data in enumerate(_lines(place / "log" / "entries.jsonl")):
            leaf, run = leaf_hash(data), parse_log_entry(data).run
            frontier = frontier.append(leaf)
            if frontier.size in notes:
                frontiers[frontier.size] = frontier
            yield {"idx": number, "run_id": run, "leaf_hash": leaf, "entry": data}

    def heads() -> Iterator[dict[str, Any]]:
        for size, note in notes.items():
            computed = frontiers.get(size, Frontier.empty())  # log_faults tells of a missing entry
            stack = b"".join(computed.hashes)
            yield {"size": size, "root": computed.root, "note": note, "frontier": stack}

    _insert(session, LogEntryRow, entries())
    _insert(session, CheckpointRow, heads())


def _head(line: bytes) -> tuple[int, bytes]:
    value = parse_canonical(line)
    if not isinstance(value, dict) or set(value) != {"note", "size"}:
        raise MessageRefused("log/heads.jsonl: a line is no signed head")
    note, size = value["note"], value["size"]
    if not isinstance(note, str) or type(size) is not int:
        raise MessageRefused("log/heads.jsonl: a line is no signed head")
    return size, note.encode()


def _rows(table: Table, file: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows of a table; they stand in the order of its key, so there is one order."""
    (key,) = table.primary_key
    before: Any = None
    for line in _lines(file):
        row = _row(table, line)
        found = row[key.name]
        if before is not None and (type(found) is not type(before) or not before < found):
            raise MessageRefused(f"records/{table.name}.jsonl: the rows are out of order")
        before = found
        yield row


def _row(table: Table, line: bytes) -> dict[str, Any]:
    """Returns the cells of one line of a table's records."""
    value = parse_canonical(line)
    if not isinstance(value, dict) or value.get("table") != table.name:
        raise MessageRefused(f"records/{table.name}.jsonl: a line is no row of this table")
    if set(value) != {"table", *table.columns.keys()}:
        raise MessageRefused(f"records/{table.name}.jsonl: a row has other columns than the table")
    return {column.name: _cell(table.name, value[column.name]) for column in table.columns}


def _cell(table: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    try:
        return bytes.fromhex(value["hex"])
    except (KeyError, TypeError, ValueError) as error:
        raise MessageRefused(
            f"records/{table}.jsonl: a cell holds neither text nor bytes"
        ) from error


def _insert(session: Session, table: Any, rows: Iterator[Mapping[str, Any]]) -> None:
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        session.execute(insert(table), some)


def _lines(file: Path) -> Iterator[bytes]:
    """Yields the lines of a file, each without its line feed.

    Raises:
        MessageRefused: a line is too long, or the last one has no end.
    """
    with file.open("rb") as source:
        while line := source.readline(_MAX_LINE):
            if not line.endswith(b"\n"):
                raise MessageRefused(f"{file.name} of the bundle has a line without an end")
            yield line[:-1]
