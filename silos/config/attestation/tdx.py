"""Verifier of Intel TDX quotes, version 4 with ECDSA P-256.

What is checked: the PCK chain up to a pinned root, and that it is valid now;
the quoting enclave's report, signed by the PCK key; that this enclave is
Intel's own, not debugged and not older than its security version 4; that it
vouches for the attestation key; the quote's signature by that key; that the
TDX module is Intel's; that the trust domain cannot be debugged; its measurement
and, where the policy names them, its run-time registers; the security versions
of module and processor (TEE_TCB_SVN) against the policy's least; the 64 bytes
that bind member, key and run.

What is not checked: revocation lists; Intel's TCB info, which grades the
platform that the PCK certificate names; Intel's signed identity of the quoting
enclave (its signer, product and least version stand here as constants); the
configuration and owner registers.

MRTD measures the virtual firmware alone. Kernel, command line and file system
are in the run-time registers: a policy that leaves them out allows any.

Source: Intel TDX DCAP quoting library API, appendix A.3; Intel TDX module architecture
specification, table "TDREPORT"; SGX report body: Intel SDM volume 3D, table 38-21.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence, report_data
from protocol.identity.roster import Member
from silos.config.attestation.certificates import (
    CHAIN_LENGTH,
    reading,
    require_chain,
    require_ecdsa,
)

KIND = "tdx"
#: SHA-256 of Intel's SGX root certificate, as it stands in ``tests/vectors/attestation``.
INTEL_SGX_ROOT = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"

_HEADER_BYTES, _BODY_BYTES = 48, 584
SIGNED_BYTES = _HEADER_BYTES + _BODY_BYTES
_VERSION, _ECDSA_P256, _TEE_TDX = 4, 2, 0x81
_INTEL_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_REPORT_DATA, _PCK_CHAIN = 6, 5  # kinds of certification data
_KEY_BYTES = _SIGNATURE_BYTES = 64
_QE_REPORT_BYTES = 384
_MAX_AUTH, _MAX_CHAIN = 1024, 12 << 10
_DEBUG = 0  # bit of the trust domain's attributes

#: Intel's TD quoting enclave: its signer, product, least security version and attributes.
_QE_SIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
_QE_PRODUCT, _QE_LEAST_VERSION = 2, 4
_QE_ATTRIBUTES, _QE_ATTRIBUTES_MASK = 0x11, 0xFFFFFFFFFFFFFFFB


@dataclass(frozen=True, kw_only=True)
class TdQuote:
    """The parts of a quote; ``signed`` is header and body."""

    signed: bytes
    signature: bytes
    key: bytes
    qe_report: bytes
    qe_signature: bytes
    qe_auth: bytes
    chain: bytes

    def _body(self, place: int, size: int) -> bytes:
        return self.signed[_HEADER_BYTES + place : _HEADER_BYTES + place + size]

    @property
    def tcb(self) -> bytes:
        """TEE_TCB_SVN: 16 security versions, each for itself."""
        return self._body(0, 16)

    @property
    def module(self) -> bytes:
        """The signer of the TDX module, and its attributes: zeros where it is Intel's own."""
        return self._body(64, 56)

    @property
    def attributes(self) -> int:
        """The trust domain's attributes."""
        return int.from_bytes(self._body(120, 8), "little")

    @property
    def measurement(self) -> bytes:
        """MRTD: the virtual firmware that was started."""
        return self._body(136, 48)

    def register(self, number: int) -> bytes:
        """Returns a run-time measurement register, 0 to 3."""
        return self._body(328 + 48 * number, 48)

    @property
    def data(self) -> bytes:
        """The 64 bytes that the machine's software chose."""
        return self._body(520, 64)


class _Bytes:
    """Takes bytes off the front, and refuses to take more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, size: int) -> bytes:
        part = self._data[self._place : self._place + size]
        if len(part) != size:
            raise MessageRefused("TDX quote: it ends too early")
        self._place += size
        return part

    def number(self, size: int, most: int = 1 << 32) -> int:
        value = int.from_bytes(self.take(size), "little")
        if value > most:
            raise MessageRefused(f"TDX quote: a part has {value} bytes, at most {most} are read")
        return value

    def rest(self) -> bytes:
        return self._data[self._place :]


def read_quote(quote: bytes) -> TdQuote:
    """Returns the parts of a quote; nothing is verified.

    What follows the quote is ignored: kernels hand out a buffer of fixed length.

    Raises:
        MessageRefused: it is no quote of version 4 with ECDSA P-256 over a TDX report, or its
            lengths do not fit.
    """
    whole = _Bytes(quote)
    signed = whole.take(SIGNED_BYTES)
    header = _Bytes(signed)
    if (header.number(2), header.number(2), header.number(4)) != (_VERSION, _ECDSA_P256, _TEE_TDX):
        raise MessageRefused("TDX quote: not version 4 with ECDSA P-256 over a TDX report")
    part = _Bytes(whole.take(whole.number(4, len(quote))))
    signature, key = part.take(_SIGNATURE_BYTES), part.take(_KEY_BYTES)
    if part.number(2) != _QE_REPORT_DATA:
        raise MessageRefused("TDX quote: no report of a quoting enclave in it")
    certified = _Bytes(part.take(part.number(4, len(quote))))
    qe_report, qe_signature = certified.take(_QE_REPORT_BYTES), certified.take(_SIGNATURE_BYTES)
    qe_auth = certified.take(certified.number(2, _MAX_AUTH))
    if certified.number(2) != _PCK_CHAIN:
        raise MessageRefused("TDX quote: no PCK certificate chain in it")
    chain = certified.take(certified.number(4, _MAX_CHAIN))
    if part.rest() or certified.rest():
        raise MessageRefused("TDX quote: its lengths do not fit")
    return TdQuote(
        signed=signed, signature=signature, key=key, qe_report=qe_report,
        qe_signature=qe_signature, qe_auth=qe_auth, chain=chain,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tdx:
    """Checks TDX evidence (see the head of the module).

    Args:
        measurements: MRTDs (48 bytes, hexadecimal) that are allowed.
        least_tcb: the oldest security versions that are allowed (16 bytes), each for itself.
        registers: what a run-time register, by number, may hold; others may hold anything.
        roots: SHA-256 of the root certificates that are trusted.
    """

    measurements: frozenset[str]
    least_tcb: bytes
    registers: Mapping[int, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    roots: frozenset[str] = frozenset({INTEL_SGX_ROOT})

    def __call__(
        self, member: Member, evidence: MachineEvidence, challenge: str, now: datetime
    ) -> None:
        """Returns when the evidence shows what the policy asks for.

        Raises:
            MessageRefused: it is malformed, or not what Intel's processor signed.
            PolicyRefused: it is genuine, and about a machine that is not allowed, or about
                another member, key or run.
        """
        if evidence.certificates:
            raise MessageRefused("TDX: a quote brings its own certificates")
        quote = read_quote(evidence.report)
        _require_genuine(quote, self.roots, now)
        self._require_allowed(quote)
        if quote.data != report_data(member, challenge):
            raise PolicyRefused(f"the quote is not about {member.site} and its key in this run")

    def _require_allowed(self, quote: TdQuote) -> None:
        if any(quote.module):
            raise PolicyRefused("the TDX module is not Intel's own")
        if quote.attributes >> _DEBUG & 1:
            raise PolicyRefused("the trust domain may be debugged: its owner can read its memory")
        if any(had < least for had, least in zip(quote.tcb, self.least_tcb, strict=True)):
            raise PolicyRefused(
                f"module or processor is older than allowed: {quote.tcb.hex()}; least: "
                f"{self.least_tcb.hex()}"
            )
        if quote.measurement.hex() not in self.measurements:
            raise PolicyRefused(
                f"another firmware was started: its measurement is {quote.measurement.hex()}"
            )
        for number, allowed in self.registers.items():
            if quote.register(number).hex() not in allowed:
                raise PolicyRefused(
                    f"run-time register {number} holds {quote.register(number).hex()}, which is "
                    "not allowed"
                )


def _require_genuine(quote: TdQuote, roots: frozenset[str], now: datetime) -> None:
    """Checks quote, attestation key, quoting enclave, PCK and root, each by the one after it."""
    if quote.signed[12:28] != _INTEL_VENDOR:
        raise MessageRefused("TDX quote: another vendor's quoting enclave")
    x, y = (int.from_bytes(quote.key[at : at + 32], "big") for at in (0, 32))
    with reading("TDX attestation key"):
        own = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    require_ecdsa(own, quote.signature, quote.signed, hashes.SHA256(), "TDX quote")
    _require_quoting_enclave(quote)
    with reading("TDX certificate chain"):
        chain = x509.load_pem_x509_certificates(quote.chain.rstrip(b"\0"))
    if len(chain) != CHAIN_LENGTH:
        raise MessageRefused(f"TDX: expected {CHAIN_LENGTH} certificates, got {len(chain)}")
    with reading("TDX PCK key"):
        key = chain[0].public_key()
    enclave = "TDX quoting enclave"
    require_ecdsa(key, quote.qe_signature, quote.qe_report, hashes.SHA256(), enclave)
    require_chain(chain, roots, now)


def _require_quoting_enclave(quote: TdQuote) -> None:
    """Checks that the enclave is Intel's, and that it vouches for the attestation key.

    A PCK key certifies any enclave with the provisioning attribute: without the
    signer, the machine's owner could quote with an enclave of their own.
    """
    report = quote.qe_report
    attributes = int.from_bytes(report[48:56], "little")
    product, version = (int.from_bytes(report[at : at + 2], "little") for at in (256, 258))
    if (report[128:160], product) != (_QE_SIGNER, _QE_PRODUCT):
        raise MessageRefused("TDX quoting enclave: not Intel's")
    if version < _QE_LEAST_VERSION:
        raise MessageRefused(f"TDX quoting enclave: version {version} is too old")
    if attributes & _QE_ATTRIBUTES_MASK != _QE_ATTRIBUTES or any(report[16:20]):
        raise MessageRefused("TDX quoting enclave: it may be debugged, or is of another kind")
    vouched = hashlib.sha256(quote.key + quote.qe_auth).digest() + bytes(32)
    if report[320:384] != vouched:
        raise MessageRefused("TDX quoting enclave: it vouches for another key")


def facts(report: bytes) -> Sequence[tuple[str, str]]:
    """Returns what a quote says, for people who write a policy; nothing is verified.

    Raises:
        MessageRefused: it is no quote.
    """
    read = read_quote(report)
    return (
        ("measurement", read.measurement.hex()),
        *((f"register {number}", read.register(number).hex()) for number in range(4)),
        ("tcb", read.tcb.hex()),
        ("debug", "allowed" if read.attributes >> _DEBUG & 1 else "not allowed"),
    )
