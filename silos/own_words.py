"""What this hospital once signed about its ledger, as others have kept it.

A hospital that restores an old ledger from a backup has forgotten releases,
and would let its patients pay twice with one budget. What it signed itself
before, and others hold, remembers (ruling 18).

Words with another signature than the hospital's own say nothing and are
passed over: a coordinator that invents them cannot stop a hospital.
"""

from dataclasses import dataclass

from protocol.errors import MessageRefused
from protocol.identity import Member
from protocol.messages import Masked, Origin, open_message
from protocol.summary import SignedSummary, open_summary


@dataclass(frozen=True, kw_only=True)
class OwnWords:
    """Signed words of one hospital: its summaries, and its MASKED messages."""

    summaries: tuple[SignedSummary, ...] = ()
    masked: tuple[bytes, ...] = ()

    def ledger_heads(self, member: Member) -> tuple[str, ...]:
        """Returns the heads of the ledger in those words that are this hospital's own."""
        public = bytes.fromhex(member.public_key)
        heads = []
        for word in self.summaries:
            try:
                heads.append(open_summary(word, public).ledger_head)
            except MessageRefused:
                continue
        origin = Origin(sender=member.site, public=public, context=None)
        for message in self.masked:
            try:
                heads.append(open_message(message, Masked, origin).ledger_head)
            except MessageRefused:
                continue
        return tuple(heads)
