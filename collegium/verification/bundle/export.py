"""Writes a folder's records as an evidence bundle."""

import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Integer, inspect, select
from sqlalchemy.orm import Session

from collegium.verification.bundle.packing import README, README_TEXT, BundleManifest, pack
from compliance.storage.atomic_file import put_in_place
from coordinator.audit.faults import Faults
from coordinator.audit.folder_checks import named_files
from coordinator.audit.logged_rows import held_tables
from coordinator.database.store import (
    CheckpointRow,
    LogEntryRow,
    LoggedRow,
    Store,
    newest_head,
)
from coordinator.database.workspace import Workspace
from protocol.encoding import canonical
from protocol.errors import StoreBroken, WorkspaceRefused

_ROWS_AT_ONCE = 5000


def export_bundle(out: Path, to: Path, *, records_only: bool = False) -> BundleManifest:
    """Writes the evidence of a coordinator's or simulation's folder to one file.

    Nothing is verified here. In a simulation the hospitals' databases are left out: they hold
    what a hospital keeps to itself.

    Args:
        out: the folder.
        to: the bundle; what was there is replaced, as a whole.
        records_only: whether models, kept rounds and the page are left out.

    Raises:
        WorkspaceRefused: there is no run in the folder, or the bundle cannot be written.
        StoreBroken: the database cannot be read, or nothing was ever logged.
    """
    workspace = Workspace.open(out)
    partial = to.with_name(f"{to.name}.{secrets.token_hex(4)}.partial")
    try:
        with (
            tempfile.TemporaryDirectory() as stage,
            closing(Store.for_reading(workspace.database)) as store,
            store.read() as session,
        ):
            parts = _records(session, Path(stage))
            if not records_only:
                parts |= _files(session, workspace)
            about = _about(session, workspace, "records" if records_only else "all")
            with partial.open("x+b") as handle:
                manifest = pack(parts, about, handle)
        put_in_place(partial, to)
    except OSError as error:
        raise WorkspaceRefused(
            f"--to {to} cannot be written, or a file of {out} not be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise StoreBroken(f"{out} holds what no bundle has a form for: {error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return manifest


def _about(session: Session, workspace: Workspace, scope: str) -> dict[str, Any]:
    head = newest_head(session)
    if head is None:
        raise StoreBroken("the log has no signed head: there is nothing that a bundle could show")
    public = workspace.public_key().hex()
    return {"key": public, "size": head.size, "root": head.root.hex(), "scope": scope}


def _records(session: Session, stage: Path) -> dict[str, Path]:
    """Returns the files of log and rows, written to a folder, by their names in the bundle."""
    readme = stage / README
    readme.write_text(README_TEXT, encoding="utf-8")
    written = {
        "log/entries.jsonl": _entries(session),
        "log/heads.jsonl": _heads(session),
        **{f"records/{table.__tablename__}.jsonl": _rows(session, table) for table in
           held_tables()},
    }  # fmt: skip
    parts = {README: readme}
    for name, lines in written.items():
        parts[name] = stage / name.replace("/", "-")
        with parts[name].open("wb") as file:
            file.writelines(line + b"\n" for line in lines)
    return parts


def _entries(session: Session) -> Iterator[bytes]:
    query = select(LogEntryRow.entry).order_by(LogEntryRow.idx)
    for number, data in enumerate(
        session.scalars(query.execution_options(yield_per=_ROWS_AT_ONCE))
    ):
        if not isinstance(data, bytes) or b"\n" in data:
            raise StoreBroken(f"audit entry {number} was changed: it holds no line of bytes")
        yield data


def _heads(session: Session) -> Iterator[bytes]:
    query = select(CheckpointRow).order_by(CheckpointRow.size)
    for row in session.scalars(query.execution_options(yield_per=_ROWS_AT_ONCE)):
        if not isinstance(row.note, bytes):
            raise StoreBroken(f"the log's head of size {row.size} was changed: it holds no bytes")
        yield canonical({"note": row.note.decode("utf-8", "replace"), "size": row.size})


def _rows(session: Session, table: type[LoggedRow]) -> Iterator[bytes]:
    """Yields the rows in the order of their key, which is the same in every database."""
    query, (key,) = select(table), inspect(table).primary_key
    if isinstance(key.type, Integer):
        rows: Iterable[LoggedRow] = session.scalars(
            query.order_by(key).execution_options(yield_per=_ROWS_AT_ONCE)
        )
    else:  # few rows, and each database has another order of texts
        rows = sorted(session.scalars(query), key=lambda row: str(getattr(row, key.name)))
    for row in rows:
        yield canonical(row.content)


def _files(session: Session, workspace: Workspace) -> dict[str, Path]:
    """Returns the files that the records name and that are there; links are never followed."""
    found = {}
    for name in {*named_files(session, workspace, Faults()), workspace.page.name}:
        path = workspace.root / name
        if path.is_file() and not path.is_symlink():
            found[f"files/{name}"] = path
    return found
