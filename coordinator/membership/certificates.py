"""The consortium's certificates: pure functions from keys, names and times to X.509.

::

    root       P-256, 10 years, may certify one further level; its key is kept offline.
               URI collegium://coordinator/KEY: the coordinator's Ed25519 signing key
    issuing    P-256, 1 year, certifies hospitals and the coordinator's own server
    server     P-256, 90 days, the coordinator's host names and addresses
    silo       P-256, 7 days, URI collegium://silo/SITE and nothing else

A hospital's certificate says "client" only and the server's "server" only, so
that neither can pass for the other. P-256 because some TLS libraries refuse
Ed25519 in certificates.

Source: RFC 5280, section 4.2, as ``VERIFY_X509_STRICT`` demands it.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.identity.consortium_root import COORDINATOR_URI
from protocol.transport.enrolment import SILO_LIFE, SILO_URI

ROOT_LIFE = timedelta(days=3652)
ISSUING_LIFE = timedelta(days=365)
SERVER_LIFE = timedelta(days=90)
#: How far into the past a certificate begins: some hospital's clock is always slow.
BACKDATED = timedelta(minutes=10)

_DNS_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9][a-z0-9-]{0,62})*")


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A certificate that may certify others, and its key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def make_root(key: EllipticCurvePrivateKey, coordinator: bytes, now: datetime) -> x509.Certificate:
    """Returns the root: it certifies itself, and names the coordinator's public signing key."""
    name = _name("Collegium root")
    builder = _authority(_builder(name, name, key.public_key(), now, now + ROOT_LIFE), depth=1)
    uri = x509.UniformResourceIdentifier(COORDINATOR_URI + coordinator.hex())
    named = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    return named.sign(key, hashes.SHA256())


def make_issuing(key: EllipticCurvePublicKey, root: Signer, now: datetime) -> x509.Certificate:
    """Returns the certificate under which hospitals and the server are certified."""
    until = _within(root, now, ISSUING_LIFE)
    builder = _builder(_name("Collegium issuing"), root.certificate.subject, key, now, until)
    return _signed(_authority(builder, depth=0), root)


def make_server(
    key: EllipticCurvePublicKey, hosts: Sequence[str], issuing: Signer, now: datetime
) -> x509.Certificate:
    """Returns the coordinator's own certificate, for its host names and addresses."""
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    return _leaf("Collegium coordinator", names, usage, key, issuing, now, SERVER_LIFE)


def make_silo(
    key: EllipticCurvePublicKey, site: str, issuing: Signer, now: datetime
) -> x509.Certificate:
    """Returns a hospital's certificate."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SILO_URI + site)])
    return _leaf(site, names, ExtendedKeyUsageOID.CLIENT_AUTH, key, issuing, now, SILO_LIFE)


def requested_key(csr: str) -> EllipticCurvePublicKey:
    """Returns the public key of a certificate request, the only thing that is taken from it.

    Raises:
        MessageRefused: it is damaged, its sender does not have the private
            key, or the key is not of P-256.
    """
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key, owned = request.public_key(), request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise MessageRefused("the certificate request cannot be read") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise MessageRefused("a TLS key must be of the curve P-256")
    if not owned:
        raise MessageRefused("the certificate request is not signed with its own key")
    return key


def hosts_of(server: x509.Certificate) -> tuple[str, ...]:
    """Returns the names and addresses that a server's certificate is for, in order."""
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def fingerprint(certificate: x509.Certificate) -> str:
    """Returns the SHA-256 of a certificate's bytes as 64 hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def write_serial(certificate: x509.Certificate) -> str:
    """Returns a certificate's serial number as 40 hexadecimal digits."""
    return f"{certificate.serial_number:040x}"


def pem(*chain: x509.Certificate) -> str:
    """Returns certificates as text, one after the other."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)


def _leaf(
    subject: str,
    names: x509.SubjectAlternativeName,
    usage: x509.ObjectIdentifier,
    key: EllipticCurvePublicKey,
    issuing: Signer,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    until = _within(issuing, now, life)
    builder = (
        _builder(_name(subject), issuing.certificate.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certifies=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(names, critical=False)
    )
    return _signed(builder, issuing)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(builder: x509.CertificateBuilder, depth: int) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=depth), critical=True
    ).add_extension(_key_usage(certifies=True), critical=True)


def _signed(builder: x509.CertificateBuilder, signer: Signer) -> x509.Certificate:
    own = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return builder.add_extension(issuer, critical=False).sign(signer.key, hashes.SHA256())


def _within(signer: Signer, now: datetime, life: timedelta) -> datetime:
    """Returns the end of a certificate, never later than that of the one that signs it."""
    return min(now + life, signer.certificate.not_valid_after_utc)


def _key_usage(*, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certifies,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not _DNS_NAME.fullmatch(host):
        raise WorkspaceRefused(
            f"{host!r} is no host: give DNS names in lower case or addresses, "
            "for example coordinator.example.org or 10.0.0.5"
        )
    return x509.DNSName(host)
