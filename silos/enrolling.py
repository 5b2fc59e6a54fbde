"""How a hospital accepts an invitation: its keys stay, a certificate comes back.

::

    HOME/tls/coordinator.pub    the coordinator's Ed25519 key, as it came with the certificate
"""

from pathlib import Path

import httpx2

from compliance.identity_keys import IdentityKeys
from compliance.store import Hospital
from protocol.enrolment import (
    EnrolmentInvitation,
    EnrolmentReply,
    parse,
    request_enrolment,
    to_bytes,
)
from protocol.errors import LinkLost, PolicyRefused, StoreBroken
from silos.credentials import Credentials, trusting

_SECONDS = 30.0


def enrol(home: Path, hospital: Hospital, invitation: EnrolmentInvitation) -> Credentials:
    """Sends this hospital's request; keeps certificate, root and the coordinator's key.

    Raises:
        PolicyRefused: the invitation is for another hospital, or the coordinator refused it.
        LinkLost: the coordinator cannot be reached, or shows another consortium's certificate.
    """
    if invitation.site != hospital.site:
        raise PolicyRefused(
            f"the invitation is for {invitation.site}, this is {hospital.site}: ask for your own"
        )
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
    enrolled = parse(EnrolmentReply, reply.content)
    credentials.trust(invitation.root)
    credentials.keep(enrolled.chain)
    _public_file(home).write_text(enrolled.coordinator_key + "\n", encoding="ascii")
    return credentials


def _post(invitation: EnrolmentInvitation, request: bytes) -> httpx2.Response:
    try:
        with httpx2.Client(verify=trusting(invitation.root), timeout=_SECONDS) as http:
            return http.post(f"{invitation.url}/v1/enrol", content=request)
    except httpx2.TransportError as error:
        raise LinkLost(
            f"{invitation.url} does not answer as this consortium's coordinator: {error}"
        ) from error


def coordinator_key(home: Path) -> bytes:
    """Returns the coordinator's public key, which signs rounds and notices.

    Raises:
        StoreBroken: this hospital has not enrolled, or the file is damaged.
    """
    try:
        public = bytes.fromhex(_public_file(home).read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise StoreBroken("tls/coordinator.pub is missing or damaged: enrol again") from error
    if len(public) != 32:
        raise StoreBroken("tls/coordinator.pub is damaged: enrol again")
    return public


def _public_file(home: Path) -> Path:
    return home / "tls" / "coordinator.pub"
