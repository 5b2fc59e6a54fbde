"""Each hospital's signed statements about its ledger: kept here, shown to that hospital again.

A hospital's summaries stand in the runs' rows. Its newest ``masked`` message,
which carries the ledger's head after SENT, is kept whether its round was
finished or failed: the release is paid for either way. A hospital whose ledger
is an older copy lacks the head that it signed there.
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.store import MaskedRow, RunRow, Transaction
from protocol.encoding import digest
from protocol.log.entry import MASKED
from protocol.transport.privacy_summary import own_statements, read_summaries

#: Of how many runs, the newest, a hospital is shown its summaries.
_SHOWN_RUNS = 20


def keep_masked(
    transaction: Transaction, run_id: str, masked: Mapping[str, bytes]
) -> list[NewEntry]:
    """Keeps each site's newest signed ``masked`` message; returns what is to be logged."""
    query = select(MaskedRow).where(MaskedRow.site.in_(masked))
    known = {row.site: row for row in transaction.session.scalars(query)}
    rows = [known.get(site) or MaskedRow(site=site) for site in masked]
    for row in rows:
        row.run_id, row.message, row.kept_at = run_id, masked[row.site], timestamp()
    records = transaction.write_all(rows)
    # A site's one row serves all runs, so its entries stand under none.
    return [
        NewEntry(type=MASKED, run_id=None, payload=digest(row.message), record=record)
        for row, record in zip(rows, records, strict=True)
    ]


def newest_masked(session: Session) -> dict[str, bytes]:
    """Returns each site's newest signed ``masked`` message."""
    return {row.site: row.message for row in session.scalars(select(MaskedRow))}


def statements_of(session: Session, site: str) -> bytes:
    """Returns what a site itself signed in the newest runs, as ``read_own_statements`` reads it."""
    query = select(RunRow.id, RunRow.sites_json).order_by(RunRow.started_at.desc())
    signed = {
        run_id: read_summaries(text) for run_id, text in session.execute(query.limit(_SHOWN_RUNS))
    }
    summaries = {run_id: by_site[site] for run_id, by_site in signed.items() if site in by_site}
    newest = session.get(MaskedRow, site)
    return own_statements(summaries, [newest.message] if newest is not None else [])
