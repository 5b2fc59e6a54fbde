"""A hospital's acceptance of an invitation: people compare its root before a certificate comes.

Before the fingerprint was compared nothing is written, sent or trusted.
"""

import time
from pathlib import Path

import httpx2

from protocol.errors import LinkLost, PolicyRefused
from protocol.identity.consortium_root import coordinator_of
from protocol.identity.fingerprints import require_compared
from protocol.transport.enrolment import (
    CertificateReply,
    EnrolmentInvitation,
    parse,
    request_enrolment,
    to_bytes,
)
from silos.config.coordinator_identity import require_coordinator
from silos.config.credentials import Credentials, trusting
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys

_SECONDS = 30.0
#: Seconds for the coordinator to open the port after it has made the invitation.
OPENING_SECONDS = 5.0


def enrol(
    home: Path, hospital: SiteDatabase, invitation: EnrolmentInvitation, *, root: str
) -> Credentials:
    """Sends this hospital's request; keeps its certificate, and the root.

    Args:
        home: the hospital's folder.
        hospital: its open database.
        invitation: from the coordinator.
        root: the root's whole fingerprint, as the coordinator's people read it out.

    Raises:
        MessageRefused: the invitation's root has another fingerprint.
        PolicyRefused: the invitation is for another hospital, or of another coordinator than
            the one that the trusted roster names, or the coordinator refused it.
        LinkLost: the coordinator cannot be reached, or shows another consortium's certificate.
    """
    if invitation.site != hospital.site:
        raise PolicyRefused(
            f"the invitation is for {invitation.site}, this is {hospital.site}: ask for your own"
        )
    coordinator = coordinator_of(invitation.root)
    require_compared(root, str(coordinator.root), "the consortium's root in the invitation")
    require_coordinator(coordinator, hospital)
    credentials = Credentials(home / "tls", hospital.site)
    keys = IdentityKeys(hospital)
    # A roster that names the next key may have been signed while this hospital was away.
    for key in [keys.own] if keys.next is None else [keys.own, keys.next]:
        request = request_enrolment(invitation, credentials.request(), key)
        reply = _post(invitation, to_bytes(request))
        if reply.status_code == 200:
            break
    else:
        raise PolicyRefused(
            "the coordinator refused the invitation: it was used before, has expired, or a newer "
            "one was made; ask for a new one"
        )
    credentials.accept(invitation.root, parse(CertificateReply, reply.content).chain)
    return credentials


def _post(invitation: EnrolmentInvitation, request: bytes) -> httpx2.Response:
    try:
        with httpx2.Client(verify=trusting(invitation.root), timeout=_SECONDS) as http:
            return _asked(http, f"{invitation.enrol_url}/v1/enrol", request)
    except httpx2.TransportError as error:
        raise LinkLost(
            f"{invitation.enrol_url} does not answer as this consortium's coordinator: {error}. "
            "Enrolments are taken only while an invitation is open: if this one was used or has "
            "expired, ask for a new one"
        ) from error


def _asked(http: httpx2.Client, url: str, request: bytes) -> httpx2.Response:
    """Asks, and again while nobody listens: the port opens only a moment after an invitation.

    It closes a moment after the last invitation was used, and then breaks lines that it has
    not answered. An invitation that was used after all is refused when it is shown again.
    """
    end = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            return http.post(url, content=request)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            if "CERTIFICATE" in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.1)
