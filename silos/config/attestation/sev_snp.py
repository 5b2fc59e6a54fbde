"""Verifier of AMD SEV-SNP attestation reports.

What is checked: the chain ARK, ASK, VCEK up to a pinned root, and that it is
valid now; the report's signature by the chip's key; that the key is for the
chip and the firmware that the report names; that the guest can neither be
debugged nor migrated; its privilege level; the firmware against the policy's
least; the launch measurement; the 64 bytes that bind member, key and run.

What is not checked: revocation lists; the platform's settings (SMT, ECC memory,
ciphertext hiding); the guest's own version numbers and its identity block;
keys of cloud providers (VLEK) and processors from Turin on, whose firmware
versions have another layout: both are refused.

Source: AMD SEV-SNP ABI specification 1.57 (56860), tables 3, 10, 23; VCEK certificate and KDS
interface specification 1.00 (57230), tables 9 and 10.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence, report_data
from protocol.identity.roster import Member
from silos.config.attestation.certificates import (
    CHAIN_LENGTH,
    read_certificate,
    reading,
    require_chain,
    require_ecdsa,
)

KIND = "sev-snp"
#: SHA-256 of AMD's root certificate ARK-Milan, as it stands in ``tests/vectors/attestation``.
ARK_MILAN = "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"

REPORT_BYTES = 0x4A0
SIGNED_BYTES = 0x2A0
_VERSIONS = (2, 3, 5)
_ECDSA_P384_SHA384 = 1
_NUMBER_BYTES = 72  # of each half of the signature, little-endian; a P-384 number has 48
_CURVE_BYTES = 48
_MIGRATE, _DEBUG = 18, 19  # bits of the guest's policy
_KEY_MASKED, _KEY_KIND = 1, 2  # bits of the flags at 0x48
_FAMILY_MILAN_GENOA = 0x19
_TCB_PLACES = (0, 1, 6, 7)
_OID = "1.3.6.1.4.1.3704.1."
_TCB_OIDS = ("3.1", "3.2", "3.3", "3.8")
_CHIP_OID = "4"
_CHIP_BYTES = 64


class Tcb(NamedTuple):
    """Versions of the firmware that a guest's secrecy rests on."""

    boot_loader: int
    tee: int
    snp: int
    microcode: int

    def __str__(self) -> str:
        named = self._asdict().items()
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in named)


@dataclass(frozen=True, kw_only=True)
class SnpReport:
    """The fields of an attestation report that are looked at; ``tcb`` is REPORTED_TCB."""

    signed: bytes
    signature: bytes
    version: int
    guest_policy: int
    vmpl: int
    algorithm: int
    flags: int
    data: bytes
    measurement: bytes
    tcb: Tcb
    family: int
    chip: bytes


def read_report(report: bytes) -> SnpReport:
    """Returns the fields of a report; nothing is checked but its length.

    Raises:
        MessageRefused: it has another length.
    """
    if len(report) != REPORT_BYTES:
        raise MessageRefused(f"SEV-SNP report: expected {REPORT_BYTES} bytes, {len(report)} came")

    def number(place: int, size: int) -> int:
        return int.from_bytes(report[place : place + size], "little")

    return SnpReport(
        signed=report[:SIGNED_BYTES],
        signature=report[SIGNED_BYTES:],
        version=number(0x00, 4),
        guest_policy=number(0x08, 8),
        vmpl=number(0x30, 4),
        algorithm=number(0x34, 4),
        flags=number(0x48, 4),
        data=report[0x50:0x90],
        measurement=report[0x90:0xC0],
        tcb=Tcb(*(report[0x180 + place] for place in _TCB_PLACES)),
        family=report[0x188],
        chip=report[0x1A0:0x1E0],
    )


@dataclass(frozen=True, kw_only=True)
class SevSnp:
    """Checks SEV-SNP evidence (see the head of the module).

    Args:
        measurements: launch digests (48 bytes, hexadecimal) of the images that are allowed.
        least_tcb: the oldest firmware that is allowed, each number for itself.
        roots: SHA-256 of the root certificates that are trusted.
        max_vmpl: the least privileged level from which a report may come.
    """

    measurements: frozenset[str]
    least_tcb: Tcb
    roots: frozenset[str] = frozenset({ARK_MILAN})
    max_vmpl: int = 0

    def __call__(
        self, member: Member, evidence: MachineEvidence, challenge: str, now: datetime
    ) -> None:
        """Returns when the evidence shows what the policy asks for.

        Raises:
            MessageRefused: it is malformed, or not what AMD's chip signed.
            PolicyRefused: it is genuine, and about a machine that is not allowed, or about
                another member, key or run.
        """
        report = read_report(evidence.report)
        if len(evidence.certificates) != CHAIN_LENGTH:
            raise MessageRefused("SEV-SNP: the certificates of chip, ASK and ARK are needed")
        chain = [read_certificate(der) for der in evidence.certificates]
        _require_signed_by(report, chain[0])
        require_chain(chain, self.roots, now)
        self._require_allowed(report)
        if report.data != report_data(member, challenge):
            raise PolicyRefused(f"the report is not about {member.site} and its key in this run")

    def _require_allowed(self, report: SnpReport) -> None:
        if report.guest_policy >> _DEBUG & 1:
            raise PolicyRefused("the guest may be debugged: its owner can read its memory")
        if report.guest_policy >> _MIGRATE & 1:
            raise PolicyRefused("the guest may be migrated by an agent that is not measured here")
        if report.vmpl > self.max_vmpl:
            raise PolicyRefused(
                f"the report comes from privilege level {report.vmpl}, at most "
                f"{self.max_vmpl} is allowed"
            )
        if any(had < least for had, least in zip(report.tcb, self.least_tcb, strict=True)):
            raise PolicyRefused(
                f"the firmware is older than allowed: {report.tcb}; least: {self.least_tcb}"
            )
        if report.measurement.hex() not in self.measurements:
            raise PolicyRefused(
                f"another image was started: its measurement is {report.measurement.hex()}"
            )


def _require_signed_by(report: SnpReport, vcek: x509.Certificate) -> None:
    """Checks that the chip whose certificate this is has signed the report."""
    if report.version not in _VERSIONS:
        raise MessageRefused(f"SEV-SNP report: version {report.version} is not known")
    if report.version > 2 and report.family != _FAMILY_MILAN_GENOA:
        raise MessageRefused("SEV-SNP report: this verifier knows Milan and Genoa only")
    if report.algorithm != _ECDSA_P384_SHA384:
        raise MessageRefused("SEV-SNP report: not signed by ECDSA P-384 with SHA-384")
    if report.flags >> _KEY_KIND & 0b111 or report.flags >> _KEY_MASKED & 1:
        raise MessageRefused("SEV-SNP report: not signed by a chip's own key (VCEK) that it names")
    with reading("SEV-SNP chip key"):
        key = vcek.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
            raise MessageRefused("SEV-SNP chip key: not on the curve P-384")
        signed_for = Tcb(*(_small_number(_extension(vcek, oid)) for oid in _TCB_OIDS))
        chip = _extension(vcek, _CHIP_OID)
    require_ecdsa(
        key, _big_endian(report.signature), report.signed, hashes.SHA384(), "SEV-SNP report"
    )
    if report.tcb != signed_for:
        raise MessageRefused(
            f"SEV-SNP chip key: it is for firmware {signed_for}; the report names {report.tcb}"
        )
    if report.chip != chip.removeprefix(bytes([4, _CHIP_BYTES])):
        raise MessageRefused("SEV-SNP chip key: another chip's")


def _big_endian(signature: bytes) -> bytes:
    """Returns the signature's two numbers, big-endian; what lies beyond them must be zero."""
    halves = (signature[:_NUMBER_BYTES], signature[_NUMBER_BYTES : 2 * _NUMBER_BYTES])
    beyond = signature[2 * _NUMBER_BYTES :], *(half[_CURVE_BYTES:] for half in halves)
    if any(map(any, beyond)):
        raise MessageRefused("SEV-SNP report: bytes that must be zero are not")
    return b"".join(half[:_CURVE_BYTES][::-1] for half in halves)


def _extension(certificate: x509.Certificate, oid: str) -> bytes:
    found = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(_OID + oid)).value
    if not isinstance(found, x509.UnrecognizedExtension):
        raise MessageRefused("SEV-SNP chip key: an extension has another form")
    return found.value


def _small_number(der: bytes) -> int:
    """Returns a DER integer from 0 to 255."""
    body = der[2:]
    if der[:1] != b"\x02" or der[1:2] != bytes([len(body)]) or not 1 <= len(body) <= 2:
        raise MessageRefused("SEV-SNP chip key: a firmware version is no small number")
    value = int.from_bytes(body, "big", signed=True)
    if not 0 <= value <= 255:
        raise MessageRefused("SEV-SNP chip key: a firmware version is no small number")
    return value


def facts(report: bytes) -> Sequence[tuple[str, str]]:
    """Returns what a report says, for people who write a policy; nothing is verified.

    Raises:
        MessageRefused: it has another length.
    """
    read = read_report(report)
    return (
        ("measurement", read.measurement.hex()),
        ("tcb", str(read.tcb)),
        ("vmpl", str(read.vmpl)),
        ("debug", "allowed" if read.guest_policy >> _DEBUG & 1 else "not allowed"),
    )
