"""Evidence about the machine that holds a member's identity key, as it travels beside a join.

Rules:

1. The processor signs 64 bytes that the member chooses: the digest of the
   member's name, its identity key and the run's notice. So evidence is about
   one key and one run, by whatever way it comes.
2. Evidence carries no signature of the member: it is useless with another
   key, and withholding it is noticed (``silos.config.attestation``).
3. Every length is bounded before anything is read.

Source: RFC 9334 (the roles); AMD SEV-SNP ABI specification, table 23 (REPORT_DATA); Intel TDX DCAP
quoting library, appendix A.3 (REPORTDATA).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from protocol.codec import (
    MAX_SITES,
    base64_bytes,
    from_json,
    list_of,
    map_of,
    nested,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, parse_canonical
from protocol.identity.roster import Member, signed_bytes

#: The largest report or quote; genuine ones have 1,184 bytes (SEV-SNP) and about 5,000 (TDX).
MAX_REPORT = 16 << 10
#: The largest certificate beside a report, and how many there may be.
MAX_CERTIFICATE = 4096
MAX_CERTIFICATES = 4

#: How many bytes a machine's software may have signed, in both kinds of report.
REPORT_DATA_BYTES = 64

_DOMAIN = "machine-evidence"


@dataclass(frozen=True, kw_only=True)
class MachineEvidence:
    """A processor's signed report, and the certificates (DER, leaf first) of the key that signed.

    ``kind`` names the format: ``sev-snp`` or ``tdx``, or what another verifier reads.
    """

    kind: Annotated[str, text(r"[a-z][a-z0-9-]{0,31}")]
    report: Annotated[bytes, base64_bytes(MAX_REPORT)]
    certificates: Annotated[
        tuple[bytes, ...], list_of(base64_bytes(MAX_CERTIFICATE), MAX_CERTIFICATES)
    ] = ()

    def __post_init__(self) -> None:
        require_forms(self)


@dataclass(frozen=True, kw_only=True)
class RunEvidence:
    """The evidence that the members of one run have shown, by site."""

    shown: Annotated[Mapping[str, MachineEvidence], map_of(nested(MachineEvidence), MAX_SITES)]

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that travel; the inverse is ``parse_run_evidence``."""
        return canonical(to_json(self))


def parse_run_evidence(data: bytes) -> RunEvidence:
    """Returns the evidence in these bytes; nothing is checked but its form.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(RunEvidence, parse_canonical(data))


def report_data(member: Member, challenge: str) -> bytes:
    """Returns the 64 bytes that a member's machine must have put into its report.

    Args:
        member: whose machine it is, and the identity key that it holds.
        challenge: the digest of the run's notice (``RunAnnouncement.digest``).

    >>> report_data(Member(site="lyon", public_key="00" * 32), "11" * 32).hex()[:16]
    '9ca5a900ecaa5d79'
    """
    named = to_json(member) | {"challenge": challenge}
    return hashlib.sha512(signed_bytes(_DOMAIN, canonical(named))).digest()
