"""The note that a person has taken of an alert: given once, kept, and logged; it closes nothing."""

from compliance.audit.log import NewEntry
from coordinator.database.alert_tables import AlertRow
from coordinator.database.store import Transaction
from protocol.encoding import digest
from protocol.errors import PolicyRefused

_MAX_NAME, _MAX_NOTE = 100, 1000


def acknowledge(transaction: Transaction, number: int, by: str, note: str, at: str) -> NewEntry:
    """Keeps who has taken note of an alert, and what they say; returns what is to be logged.

    Args:
        transaction: of the consortium's database.
        number: the alert's.
        by: the person.
        note: what they say of it; may be empty.
        at: when.

    Raises:
        PolicyRefused: nobody is named, the text is too long, there is no such alert, or somebody
            has acknowledged it already.
    """
    who, said = by.strip(), note.strip()
    if not who or not who.isprintable() or len(who) > _MAX_NAME:
        raise PolicyRefused(
            f"--by names the person who acknowledges it, in at most {_MAX_NAME} letters"
        )
    if len(said) > _MAX_NOTE or any(not (c.isprintable() or c == "\n") for c in said):
        raise PolicyRefused(f"--note is plain text of at most {_MAX_NOTE} letters")
    row = transaction.session.get(AlertRow, number)
    if row is None:
        raise PolicyRefused(f"there is no alert {number}: collegium alerts list --all")
    if row.acknowledged_by is not None:
        raise PolicyRefused(
            f"{row.acknowledged_by} acknowledged alert {number} at {row.acknowledged_at}"
        )
    row.acknowledged_by, row.note, row.acknowledged_at = who, said or None, at
    return alert_entry("alert-acknowledged", row, transaction)


def alert_entry(kind: str, row: AlertRow, transaction: Transaction) -> NewEntry:
    """Writes an alert as it now is; returns what is to be logged of it."""
    record = transaction.write(row)
    payload = digest(row.cause_json.encode())
    return NewEntry(type=kind, run_id=None, payload=payload, record=record)
