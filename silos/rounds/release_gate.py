"""The release gate: a masked vector leaves only after the ledger has booked it durably.

Every path that sends bytes calls this, so that code which skips the ledger
cannot send.
"""

from compliance.ledger.entries import SentToken
from compliance.ledger.ledger import Ledger
from protocol.encoding import blob_digest
from protocol.errors import UpdateRefused


def require_paid(ledger: Ledger, token: SentToken | None, blob: bytes) -> None:
    """Refuses bytes that the ledger has not booked as SENT.

    Args:
        ledger: the hospital's own, read again from its storage.
        token: what the ledger gave when it booked the release.
        blob: the masked bytes that are about to leave.

    Raises:
        UpdateRefused: there is no token, it is for other bytes, or not this ledger's.
    """
    if token is None:
        raise UpdateRefused("a vector without the ledger's token: it must not be sent")
    if blob_digest(blob) != token.blob:
        raise UpdateRefused("the ledger's token is for other bytes: these must not be sent")
    ledger.confirm(token)
