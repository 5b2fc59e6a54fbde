"""Signed snapshots: one of each run's final model, kept with its signatures, and found by name."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.store import Transaction
from coordinator.governance.models.tables import SignedSnapshotRow
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.transport.snapshot import SignedSnapshot, parse_snapshot

#: The type of the log's entry of a snapshot; its payload is the snapshot's digest.
SNAPSHOT_SIGNED = "snapshot-signed"
#: So many characters of a digest or a run's id name a snapshot at least.
_LEAST_CHARACTERS = 4


def keep_signed(transaction: Transaction, signed: SignedSnapshot, key: SigningKey) -> None:
    """Keeps a snapshot with its signatures; nothing is written where nothing is new."""
    snapshot, data = signed.snapshot, signed.to_bytes()
    row = _row(transaction.session, snapshot.run)
    if row is None:
        row = SignedSnapshotRow(
            run_id=snapshot.run,
            model_digest=snapshot.model,
            digest=snapshot.digest,
            document=data,
            created_at=timestamp(),
        )
    elif row.document == data:
        return
    row.document = data
    entry = NewEntry(
        type=SNAPSHOT_SIGNED,
        run_id=None,
        payload=snapshot.digest,
        record=transaction.write(row),
    )
    transaction.log([entry], key)


def signed_snapshot_of(session: Session, run_id: str) -> SignedSnapshot | None:
    """Returns a run's snapshot with its signatures, not verified; None where it has none.

    Raises:
        StoreBroken: what is kept is none.
    """
    row = _row(session, run_id)
    return None if row is None else signed_of(row)


def signed_snapshot(session: Session, beginning: str) -> SignedSnapshot:
    """Returns the one signed snapshot whose digest, run or model's digest begins so.

    A whole run id is taken whatever its length, and before those of which it is the beginning.

    Raises:
        PolicyRefused: there is none, or there are several.
    """
    table = SignedSnapshotRow
    whole = session.scalars(select(table).filter_by(run_id=beginning)).one_or_none()
    if whole is not None:
        return signed_of(whole)
    if len(beginning) < _LEAST_CHARACTERS:
        raise PolicyRefused(
            f"a version is named by {_LEAST_CHARACTERS} characters at least, or by a whole run's id"
        )
    columns = (table.digest, table.run_id, table.model_digest)
    for column in columns:
        rows = session.scalars(
            select(table).where(column.startswith(beginning, autoescape=True)).limit(2)
        ).all()
        if len(rows) == 1:
            return signed_of(rows[0])
        if rows:
            raise PolicyRefused(f"several snapshots begin with {beginning!r}: give more of it")
    raise PolicyRefused(
        f"there is no signed snapshot {beginning!r}: collegium models list shows those there are"
    )


def signed_of(row: SignedSnapshotRow) -> SignedSnapshot:
    """Returns the signed snapshot that a row holds, not verified.

    Raises:
        StoreBroken: it holds none.
    """
    try:
        return parse_snapshot(row.document)
    except MessageRefused as error:
        raise StoreBroken(
            f"the signed snapshot of run {row.run_id} was changed: {error}"
        ) from error


def _row(session: Session, run_id: str) -> SignedSnapshotRow | None:
    return session.scalars(select(SignedSnapshotRow).filter_by(run_id=run_id)).one_or_none()
