"""The consortium's root certificate: which TLS keys are trusted, and whose signature counts.

It names the coordinator's Ed25519 signing key as a URI, so that its SHA-256, the
fingerprint that people compare, covers both.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from protocol.errors import MessageRefused
from protocol.identity.roster import CoordinatorIdentity

#: What the root says of the coordinator: this, then its public key in hexadecimal.
COORDINATOR_URI = "collegium://coordinator/"

#: What cryptography raises where a certificate is damaged.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


def coordinator_of(root: str) -> CoordinatorIdentity:
    """Returns the coordinator's key and the root's SHA-256, from the root's certificate.

    Args:
        root: one certificate, PEM.

    Raises:
        MessageRefused: it is no certificate, or names no coordinator.
    """
    try:
        (certificate,) = x509.load_pem_x509_certificates(root.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        if not uri.startswith(COORDINATOR_URI):
            raise MessageRefused("the root's certificate names no coordinator")
        return CoordinatorIdentity(
            public_key=uri.removeprefix(COORDINATOR_URI),
            root=certificate.fingerprint(hashes.SHA256()).hex(),
        )
    except UNREADABLE as error:
        raise MessageRefused("this is no root certificate that names a coordinator") from error
