"""Certificate chains of processor makers: three certificates, the root pinned by digest.

What is not checked: revocation lists. Nothing is fetched; a chip whose key was
revoked is refused by a higher least TCB, or by another root, in the policy.
"""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.utils import CryptographyDeprecationWarning

from protocol.errors import MessageRefused

#: Leaf, intermediate, root: both makers' chains have this length.
CHAIN_LENGTH = 3

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,  # where warnings are errors
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns what the library raises for bytes that it cannot read, or that lie, into a refusal.

    Raises:
        MessageRefused: says what was read.
    """
    try:
        yield
    except InvalidSignature as error:
        raise MessageRefused(f"{what}: a signature is wrong") from error
    except _UNREADABLE as error:
        raise MessageRefused(f"{what}: not readable") from error


def read_certificate(der: bytes) -> x509.Certificate:
    """Returns the certificate in these bytes.

    AMD gives every chip's certificate the serial number 0, which RFC 5280
    forbids: the library warns of it today and says that it will refuse one day.
    That warning alone is not shown.

    Raises:
        MessageRefused: it is none.
    """
    with reading("certificate"), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message="Parsed a serial number which wasn't positive",
            category=CryptographyDeprecationWarning,
        )
        return x509.load_der_x509_certificate(der)


def require_chain(chain: Sequence[x509.Certificate], roots: Collection[str], now: datetime) -> None:
    """Checks that every certificate of a chain is good now and issued by the next.

    Args:
        chain: leaf, intermediate, root.
        roots: SHA-256 of the root certificates that are trusted, in hexadecimal.
        now: the time, with a zone.

    Raises:
        MessageRefused: the root is not among them, or a certificate is not
            issued by the next, is no authority, has expired or is not valid yet.
    """
    if len(chain) != CHAIN_LENGTH:
        raise MessageRefused(f"expected {CHAIN_LENGTH} certificates, got {len(chain)}")
    with reading("certificate chain"):
        authorities = chain[1:]
        if authorities[-1].fingerprint(hashes.SHA256()).hex() not in roots:
            raise MessageRefused("certificate chain: the root is not one that the policy trusts")
        for certificate, issuer in zip(chain, [*authorities, authorities[-1]], strict=True):
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise MessageRefused("certificate chain: a certificate is not valid at this time")
            if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                raise MessageRefused("certificate chain: an issuer is no authority")
            certificate.verify_directly_issued_by(issuer)


def require_ecdsa(
    key: object, raw: bytes, data: bytes, algorithm: hashes.HashAlgorithm, what: str
) -> None:
    """Checks an ECDSA signature that is written as its two numbers, big-endian, of equal length.

    Raises:
        MessageRefused: it is wrong, or the key is none of an elliptic curve.
    """
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise MessageRefused(f"{what}: the key is not one of an elliptic curve")
    half = len(raw) // 2
    numbers = (int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    with reading(what):
        key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(algorithm))
