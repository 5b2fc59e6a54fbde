"""The data behind the service's endpoints: members, rosters, own statements.

The consortium's members are looked up at every request; the answers are kept for a
second, so that a busy database does not slow the line, and a revocation is
effective a second later.
"""

import time
from collections.abc import Callable, Mapping

from coordinator.database.own_statements import statements_of
from coordinator.database.store import RunRow, Store
from coordinator.membership.members import Members
from coordinator.rounds.ending.end_statement import signed_end
from protocol.errors import MessageRefused
from protocol.identity.machine_evidence import MachineEvidence, RunEvidence
from protocol.identity.roster import SigningKey

#: Seconds for which an answer about a member is kept.
_KEPT_SECONDS = 1.0
_SIGNATURE_BYTES = 64


class MembersBackend:
    """``api.SiteBackend`` over the consortium's database."""

    def __init__(
        self,
        store: Store,
        members: Members,
        key: SigningKey,
        clock: Callable[[], float] = time.monotonic,
        *,
        wall_clock: Callable[[], float] = time.time,
        evidence: Callable[[str], Mapping[str, MachineEvidence] | None] = lambda run_id: None,
    ) -> None:
        self._store, self._members, self._key = store, members, key
        self._rosters = members.rosters
        self._clock, self._wall_clock, self._evidence = clock, wall_clock, evidence
        self._allowed: dict[tuple[str, str], tuple[float, bool]] = {}
        self._keys: dict[str, tuple[float, bytes | None]] = {}
        #: When each site was last heard from, by the wall clock: seconds since 1970.
        self.last_seen: dict[str, float] = {}

    def certificate_allowed(self, serial: str, site: str) -> bool:
        """Whether a certificate is this site's and not revoked."""
        found = self._allowed.get((serial, site))
        if found is None or found[0] < self._clock():
            allowed = self._members.certificate_allowed(serial, site)
            found = self._allowed[serial, site] = (self._clock() + _KEPT_SECONDS, allowed)
        return found[1]

    def identity_key(self, site: str) -> bytes | None:
        """Returns the public key that a site enrolled with, unless it was revoked."""
        found = self._keys.get(site)
        if found is None or found[0] < self._clock():
            key = self._members.identity_key(site)
            found = self._keys[site] = (self._clock() + _KEPT_SECONDS, key)
        return found[1]

    def seen(self, site: str) -> None:
        """Takes note that a site has made a request."""
        self.last_seen[site] = self._wall_clock()

    def document(self, site: str, name: str) -> bytes | None:
        """Returns what the service publishes for a site.

        ``rosters/VERSION``, its own ``statements``, of ``runs/NAME`` (in hexadecimal)
        ``open`` or the signed statement that it has ended and how, and as ``evidence/NAME``
        what the members of a run at work have shown of their machines.
        """
        kind, _, rest = name.partition("/")
        if kind == "rosters" and 0 < len(rest) <= 8:
            return self._rosters.news(int(rest, 16))
        if kind == "statements":
            return self._own_statements(site)
        if kind == "runs":
            return self._state(_run_of(rest))
        if kind == "evidence":
            shown = self._evidence(_run_of(rest))
            return None if shown is None else RunEvidence(shown=shown).canonical_bytes
        return None

    def _state(self, run_id: str) -> bytes | None:
        with self._store.read() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                return None
            return b"open" if row.state == "running" else signed_end(session, run_id, self._key)

    def hand_in(self, site: str, name: str, body: bytes) -> bytes:
        """Takes a renewal, a roster's signature or a key's change.

        Raises:
            MessageRefused: it is not accepted.
        """
        if name == "renew":
            return self._members.renew(site, body)
        if name == "roster-signature":
            if len(body) != _SIGNATURE_BYTES:
                raise MessageRefused("a roster's signature has 64 bytes")
            return b"signed" if self._rosters.sign(site, body) else b"kept"
        if name == "key-change":
            self._members.announce_key(site, body)
            return b"kept"
        raise MessageRefused("nothing of that name is taken")

    def _own_statements(self, site: str) -> bytes:
        """Returns what a site itself signed about its ledger."""
        with self._store.read() as session:
            return statements_of(session, site)


def _run_of(name: str) -> str:
    """Returns the run that a document's name holds in hexadecimal."""
    try:
        return bytes.fromhex(name).decode()
    except ValueError as error:
        raise MessageRefused("no run has such a name") from error
