"""This hospital's earlier signed statements about its ledger, as others have kept them.

An old ledger that is restored from a backup lacks the newest releases, and
would let patients pay twice with one budget. The hospital's own earlier
statements, which others hold, show those releases.

Statements that no key of the hospital's has signed are passed over: a
coordinator that invents them cannot stop a hospital. Its former keys count,
or a new key would make its older statements void.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.secagg.messages import Masked, Origin, open_message
from protocol.transport.privacy_summary import SignedSummary, open_summary, read_own_statements
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys


@dataclass(frozen=True, kw_only=True)
class SignedLedgerHeads:
    """Signed statements of one hospital: its summaries, and its MASKED messages."""

    summaries: tuple[SignedSummary, ...] = ()
    masked: tuple[bytes, ...] = ()

    def ledger_heads(self, site: str, keys: Collection[str]) -> tuple[str, ...]:
        """Returns the heads of the ledger in those statements that are this hospital's own.

        Args:
            site: the hospital's name.
            keys: every public key (hexadecimal) that is or was its own.
        """
        return tuple(head for key in sorted(keys) for head in self._heads(site, bytes.fromhex(key)))

    def _heads(self, site: str, public: bytes) -> Iterator[str]:
        for signed in self.summaries:
            try:
                yield open_summary(signed, public).ledger_head
            except MessageRefused:
                continue
        origin = Origin(sender=site, public=public, context=None)
        for message in self.masked:
            try:
                yield open_message(message, Masked, origin).ledger_head
            except MessageRefused:
                continue


def require_own_head(message: bytes, site: str, key: SigningKey, hospital: SiteDatabase) -> None:
    """Refuses a round whose opening shows a head of this hospital's that its ledger lacks.

    A message that no key of the hospital's has signed says nothing.

    Args:
        message: the ``masked`` message that the coordinator shows.
        site: the hospital's name.
        key: the key with which the hospital takes part in the run.
        hospital: its open database.

    Raises:
        LedgerBroken: the ledger is an older copy.
    """
    signed_heads = SignedLedgerHeads(masked=(message,))
    heads = signed_heads.ledger_heads(site, [key.public.hex()])
    if not heads:  # of another run, begun with another key
        heads = signed_heads.ledger_heads(site, IdentityKeys(hospital).public())
    for head in heads:
        hospital.ledger.require_held(head)


def read_signed_heads(document: bytes | None) -> SignedLedgerHeads:
    """Returns the statements in the coordinator's document ``statements``.

    Raises:
        PolicyRefused: the coordinator shows none, so nobody can tell whether
            the ledger is an old one.
    """
    if document is None:
        raise PolicyRefused(
            "the coordinator does not show what it has kept of this hospital's signed statements, "
            "so it cannot be told whether the ledger is an old one: ask the consortium's lead"
        )
    summaries, masked = read_own_statements(document)
    return SignedLedgerHeads(summaries=summaries, masked=masked)
