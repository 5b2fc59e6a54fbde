"""A processor of the tests' own: reports and quotes as SEV-SNP and TDX make them, other roots.

Every part can be spoilt before it is signed, so that what lies behind a
signature is reached. Everything is the same in every process.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from protocol.identity.machine_evidence import MachineEvidence, report_data
from protocol.identity.roster import Member
from silos.config.attestation import sev_snp, tdx

#: When everything here is valid, and a moment before and after.
NOW = datetime(2026, 6, 1, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=30), NOW + timedelta(days=30)
MEMBER = Member(site="lyon", public_key="ab" * 32)
CHALLENGE = "cd" * 32
IMAGE = bytes(range(48))
TCB = sev_snp.Tcb(3, 0, 8, 115)
TDX_TCB = bytes([3, 0, 4, *[0] * 13])
CHIP = bytes(range(64))

_QE_SIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")


def pinned(*certificates: x509.Certificate) -> frozenset[str]:
    """The digests under which certificates are pinned."""
    return frozenset(each.fingerprint(hashes.SHA256()).hex() for each in certificates)


def der(*certificates: x509.Certificate) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in certificates)


def _certificate(
    subject: str, issuer: str, key: Any, signer: Any, *, authority: bool = False,
    extensions: Mapping[str, bytes] | None = None, valid: tuple[datetime, datetime] = (BEGIN, END),
) -> x509.Certificate:  # fmt: skip
    name = x509.NameAttribute
    built = x509.CertificateBuilder(
        issuer_name=x509.Name([name(NameOID.COMMON_NAME, issuer)]),
        subject_name=x509.Name([name(NameOID.COMMON_NAME, subject)]),
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=valid[0],
        not_valid_after=valid[1],
    )
    if authority:
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    for oid, value in (extensions or {}).items():
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        built = built.add_extension(unknown, critical=False)
    return built.sign(signer, hashes.SHA384(), ecdsa_deterministic=True)


@lru_cache
def curve_key(number: int, curve: str = "P-384") -> ec.EllipticCurvePrivateKey:
    """The same key in every process, so that an input can be repeated by its number."""
    curves = {"P-384": ec.SECP384R1(), "P-256": ec.SECP256R1()}
    return ec.derive_private_key(number + 1, curves[curve])


def _number(value: int) -> bytes:
    body = value.to_bytes(1 + (value > 127), "big")
    return bytes([2, len(body)]) + body


@dataclass(frozen=True, kw_only=True)
class Snp:
    """A SEV-SNP platform: chip, firmware, image; what its certificates say can be told apart."""

    measurement: bytes = IMAGE
    tcb: sev_snp.Tcb = TCB
    signed_for: sev_snp.Tcb | None = None
    chip: bytes = CHIP
    chip_named: bytes | None = None
    version: int = 2
    vmpl: int = 0
    policy: int = 0x30000
    flags: int = 0
    algorithm: int = 1
    family: int = 0x19
    valid: tuple[datetime, datetime] = (BEGIN, END)
    authority: bool = True
    curve: str = "P-384"
    extensions: Mapping[str, bytes] = field(default_factory=dict)

    def chain(self) -> tuple[x509.Certificate, ...]:
        """VCEK, ASK, ARK."""
        ark, ask = curve_key(8), curve_key(9)
        oid, versions = "1.3.6.1.4.1.3704.1.", self.signed_for or self.tcb
        said = {
            oid + "3.1": _number(versions.boot_loader), oid + "3.2": _number(versions.tee),
            oid + "3.3": _number(versions.snp), oid + "3.8": _number(versions.microcode),
            oid + "4": self.chip if self.chip_named is None else self.chip_named,
        }  # fmt: skip
        return (
            _certificate(
                "SEV-VCEK", "SEV-Test", curve_key(0, self.curve), ask,
                extensions=said | dict(self.extensions), valid=self.valid,
            ),
            _certificate("SEV-Test", "ARK-Test", ask, ark, authority=self.authority),
            ark_certificate(),
        )  # fmt: skip

    def body(self, data: bytes) -> bytes:
        """The 672 bytes that are signed."""
        report = bytearray(sev_snp.SIGNED_BYTES)

        def put(place: int, value: bytes) -> None:
            report[place : place + len(value)] = value

        put(0x00, self.version.to_bytes(4, "little"))
        put(0x08, self.policy.to_bytes(8, "little"))
        put(0x30, self.vmpl.to_bytes(4, "little"))
        put(0x34, self.algorithm.to_bytes(4, "little"))
        put(0x48, self.flags.to_bytes(4, "little"))
        put(0x50, data)
        put(0x90, self.measurement)
        tcb = bytes([self.tcb.boot_loader, self.tcb.tee, 0, 0, 0, 0, self.tcb.snp, self.tcb[3]])
        put(0x180, tcb)
        put(0x188, bytes([self.family]))
        put(0x1A0, self.chip)
        return bytes(report)

    def report(self, data: bytes) -> bytes:
        """The whole report over 64 bytes."""
        body = self.body(data)
        return body + signature_of(body, curve_key(0, self.curve))

    def evidence(self, member: Member = MEMBER, challenge: str = CHALLENGE) -> MachineEvidence:
        return self.over(report_data(member, challenge))

    def over(self, data: bytes) -> MachineEvidence:
        """Evidence over any 64 bytes."""
        return MachineEvidence(
            kind=sev_snp.KIND, report=self.report(data), certificates=der(*self.chain())
        )


@lru_cache
def ark_certificate() -> x509.Certificate:
    """The root of the tests' SEV-SNP chips, always the same."""
    return _certificate("ARK-Test", "ARK-Test", curve_key(8), curve_key(8), authority=True)


def signature_of(body: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A SEV-SNP signature: two little-endian numbers of 72 bytes, then zeros."""
    r, s = decode_dss_signature(
        key.sign(body, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    )
    return b"".join(number.to_bytes(72, "little") for number in (r, s)).ljust(512, b"\0")


@dataclass(frozen=True, kw_only=True)
class TdxMachine:
    """A TDX platform: module, trust domain, quoting enclave, PCK."""

    measurement: bytes = IMAGE
    registers: Sequence[bytes] = tuple(bytes([number]) * 48 for number in range(4))
    tcb: bytes = TDX_TCB
    module: bytes = bytes(56)
    attributes: int = 1 << 28
    header: bytes = bytes.fromhex("0400020081000000")
    vendor: bytes = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
    qe_signer: bytes = _QE_SIGNER
    qe_product: int = 2
    qe_version: int = 6
    qe_attributes: int = 0x15
    qe_misc: int = 0
    qe_vouches: bytes | None = None
    auth: bytes = bytes(range(32))
    authority: bool = True
    valid: tuple[datetime, datetime] = (BEGIN, END)
    padding: bytes = bytes(39)

    def chain(self) -> tuple[x509.Certificate, ...]:
        """PCK, platform CA, root."""
        keys = [curve_key(number, "P-256") for number in (1, 2, 3)]
        return (
            _certificate("PCK", "Platform CA", keys[0], keys[1], valid=self.valid),
            _certificate("Platform CA", "SGX Root", keys[1], keys[2], authority=self.authority),
            sgx_root(),
        )

    def body(self, data: bytes) -> bytes:
        """The 632 bytes that are signed: header and TD report."""
        head = (self.header + bytes(4) + self.vendor).ljust(48, b"\0")
        zeros = bytes(48)
        attributes = self.attributes.to_bytes(8, "little")
        report = (
            self.tcb + zeros + self.module + attributes + bytes(8) + self.measurement + 3 * zeros
        )
        return head + report + b"".join(self.registers) + data

    def quote(self, data: bytes) -> bytes:
        """The whole quote over 64 bytes."""
        own = curve_key(4, "P-256")
        point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        vouched = self.qe_vouches or hashlib.sha256(point + self.auth).digest()
        qe = bytearray(384)
        qe[16:20] = self.qe_misc.to_bytes(4, "little")
        qe[48:56] = self.qe_attributes.to_bytes(8, "little")
        qe[128:160] = self.qe_signer
        qe[256:258] = self.qe_product.to_bytes(2, "little")
        qe[258:260] = self.qe_version.to_bytes(2, "little")
        qe[320:352] = vouched
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in self.chain()) + b"\0"
        certified = (
            bytes(qe)
            + plain_signature(bytes(qe), curve_key(1, "P-256"))
            + len(self.auth).to_bytes(2, "little") + self.auth
            + (5).to_bytes(2, "little") + len(pem).to_bytes(4, "little") + pem
        )  # fmt: skip
        body = self.body(data)
        signed = plain_signature(body, own) + point + (6).to_bytes(2, "little")
        signed += len(certified).to_bytes(4, "little") + certified
        return body + len(signed).to_bytes(4, "little") + signed + self.padding

    def evidence(self, member: Member = MEMBER, challenge: str = CHALLENGE) -> MachineEvidence:
        return MachineEvidence(kind=tdx.KIND, report=self.quote(report_data(member, challenge)))


@lru_cache
def sgx_root() -> x509.Certificate:
    """The root of the tests' TDX machines, always the same."""
    key = curve_key(3, "P-256")
    return _certificate("SGX Root", "SGX Root", key, key, authority=True)


def plain_signature(body: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Two big-endian numbers of 32 bytes."""
    r, s = decode_dss_signature(
        key.sign(body, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    )
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
