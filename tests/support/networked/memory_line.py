"""The line to the coordinator for tests: its register of members, without a network."""

from collections.abc import Mapping, Sequence

from protocol.errors import LinkLost, PolicyRefused
from protocol.transport.privacy_summary import SignedSummary, own_statements
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from tests.support.hospital.consortium_home import ConsortiumHome


class MemoryLine:
    """A hospital's line; admitted with the key that the coordinator goes by (``network.client``).

    ``fails`` names what is handed in and lost; ``signed_summaries`` and ``masked`` are what the
    coordinator kept of its own.
    """

    def __init__(self, consortium: ConsortiumHome, hospital: SiteDatabase) -> None:
        self._members = consortium.members
        self._rosters = consortium.members.rosters
        self._hospital = hospital
        self.signed_summaries: Mapping[str, SignedSummary] = {}
        self.masked: Sequence[bytes] = ()
        self.fails = ""

    def _admit(self) -> None:
        keys = IdentityKeys(self._hospital)
        shown = [keys.own] if keys.next is None else [keys.own, keys.next]
        known = self._members.identity_key(self._hospital.site)
        if known is not None and known not in [key.public for key in shown]:
            raise PolicyRefused("the coordinator does not admit this hospital")

    def document(self, name: str) -> bytes | None:
        self._admit()
        if name == "statements":
            return own_statements(self.signed_summaries, self.masked)
        kind, _, after = name.partition("/")
        return self._rosters.news(int(after, 16)) if kind == "rosters" else None

    def hand_in(self, name: str, body: bytes) -> bytes:
        self._admit()
        if name == self.fails:
            raise LinkLost("the line was cut")
        if name == "key-change":
            self._members.announce_key(self._hospital.site, body)
            return b"kept"
        if name != "roster-signature":
            raise ValueError(name)
        return b"signed" if self._rosters.sign(self._hospital.site, body) else b"kept"
