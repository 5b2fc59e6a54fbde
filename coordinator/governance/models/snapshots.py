"""Keeps signed snapshots: one of each run's final model, with the signatures that came."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.store import Transaction
from coordinator.governance.models.tables import SignedSnapshotRow
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.transport.snapshot import SignedSnapshot, parse_snapshot

#: The type of the log's entry of a snapshot; its payload is the snapshot's digest.
SNAPSHOT_SIGNED = "snapshot-signed"


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
