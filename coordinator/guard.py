"""Who is speaking: certificate, proof, time and nonce of each request, checked together.

Rules:

1. The certificate's site and the proof's site are the same, the certificate is
   not revoked, and the proof is signed with the key that the site enrolled with.
2. A proof is for one method, target and body, within five minutes, and once.
   A stranger hears the same one word whatever was wrong.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from coordinator.gate import site_of
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused
from protocol.wire import MOST_SKEW_SECONDS, read_proof, verify_proof

#: Nonces that are remembered for each site within the time in which a proof is valid.
_MOST_NONCES = 200_000


class Directory(Protocol):
    """Whom the consortium knows."""

    def certificate_allowed(self, serial: str, site: str) -> bool:
        """Whether a certificate is this site's and not revoked."""

    def identity_key(self, site: str) -> bytes | None:
        """Returns the public key that a site enrolled with, unless it was revoked."""


class WrongClock(MessageRefused):
    """A proof is too old or from the future: the hospital's clock, or a replay."""


class Guard:
    """Checks requests; remembers what was seen. Used from the event loop only."""

    def __init__(self, directory: Directory, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._clock = directory, clock
        self._seen: dict[str, OrderedDict[bytes, float]] = {}

    def site(
        self,
        certificate: dict[str, Any] | None,
        header: str | None,
        *,
        method: str,
        target: str,
        body: bytes,
    ) -> str:
        """Returns the site that makes this request.

        Raises:
            WrongClock: the proof's time is more than five minutes from ours.
            MessageRefused: it is not shown who speaks, or the request came before.
        """
        shown = site_of(certificate)
        if shown is None or header is None:
            raise MessageRefused("no certificate or no proof")
        site, serial = shown
        proof = read_proof(header)
        claimed = (proof.site, proof.method, proof.target, proof.body)
        if claimed != (site, method, target, blob_digest(body)):
            raise MessageRefused("the proof is for another request")
        public = self._directory.identity_key(site)
        if public is None or not self._directory.certificate_allowed(serial, site):
            raise MessageRefused("the certificate or the member is revoked")
        verify_proof(header, public)
        now = self._clock()
        if abs(proof.time / 1000 - now) > MOST_SKEW_SECONDS:
            raise WrongClock("the proof's time is too far from ours")
        self._require_new(site, proof.nonce, now)
        return site

    def _require_new(self, site: str, nonce: bytes, now: float) -> None:
        seen = self._seen.setdefault(site, OrderedDict())
        while seen and next(iter(seen.values())) < now - 2 * MOST_SKEW_SECONDS:
            seen.popitem(last=False)
        if nonce in seen:
            raise MessageRefused("the request came before")
        if len(seen) >= _MOST_NONCES:
            raise MessageRefused("too many requests")
        seen[nonce] = now
