"""Authentication of each request: certificate, proof, time and nonce, checked together.

Rules:

1. The certificate's site and the proof's site are the same, the certificate is
   not revoked, and the proof is signed with the key that the site enrolled with.
2. A proof is for one method, target and body, within five minutes, and once.
   Nonces are lost when the process ends, so that a proof which is older than
   the process is too old.
3. All but the body is checked before the body is read.

A sender that is not proven gets the same answer whatever was wrong.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from coordinator.http.protocol_limits import site_of
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused
from protocol.transport.requests import MAX_SKEW_SECONDS, Proof, read_proof, verify_proof

#: Nonces that are remembered for each site within the time in which a proof is valid.
MAX_NONCES = 200_000


class Directory(Protocol):
    """The sites that the consortium knows, with their keys and certificates."""

    def certificate_allowed(self, serial: str, site: str) -> bool:
        """Whether a certificate is this site's and not revoked."""

    def identity_key(self, site: str) -> bytes | None:
        """Returns the public key that a site enrolled with, unless it was revoked."""


class WrongClock(MessageRefused):
    """A proof is too old or from the future: the hospital's clock, or a replay."""


class RequestAuthenticator:
    """Checks requests; keeps the nonces that were seen. Used from the event loop only."""

    def __init__(
        self,
        directory: Directory,
        clock: Callable[[], float] = time.time,
        *,
        max_nonces: int = MAX_NONCES,
    ) -> None:
        self._max_nonces = max_nonces
        self._directory, self._clock = directory, clock
        self._began = clock()
        self._seen: dict[str, OrderedDict[bytes, float]] = {}

    def admit(
        self, certificate: dict[str, Any] | None, header: str | None, *, method: str, target: str
    ) -> Proof:
        """Returns the proof of this request; its body is still to be checked (``require_body``).

        Raises:
            WrongClock: the proof's time is five minutes from ours, or before this process.
            MessageRefused: the sender is not proven, or the request came before.
        """
        shown = site_of(certificate)
        if shown is None or header is None:
            raise MessageRefused("no certificate or no proof")
        site, serial = shown
        proof = read_proof(header)
        if (proof.site, proof.method, proof.target) != (site, method, target):
            raise MessageRefused("the proof is for another request")
        public = self._directory.identity_key(site)
        if public is None or not self._directory.certificate_allowed(serial, site):
            raise MessageRefused("the certificate or the member is revoked")
        verify_proof(header, public)
        now = self._clock()
        said = proof.time / 1000
        if abs(said - now) > MAX_SKEW_SECONDS or said < self._began:
            raise WrongClock(f"{site}: the proof's time is {said - now:+.0f} s from ours")
        self._require_new(site, proof.nonce, now)
        return proof

    def _require_new(self, site: str, nonce: bytes, now: float) -> None:
        seen = self._seen.setdefault(site, OrderedDict())
        while seen and next(iter(seen.values())) < now - 2 * MAX_SKEW_SECONDS:
            seen.popitem(last=False)
        if nonce in seen:
            raise MessageRefused("the request came before")
        if len(seen) >= self._max_nonces:
            raise MessageRefused("too many requests")
        seen[nonce] = now


def require_body(proof: Proof, body: bytes) -> None:
    """Checks that a body is the one that the proof is for.

    Raises:
        MessageRefused: it is another.
    """
    if blob_digest(body) != proof.body:
        raise MessageRefused("the proof is for another body")
