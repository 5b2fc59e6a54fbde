"""An identity at a provider of OpenID Connect that is linked to a person: issuer and subject.

Rules:

1. An identity is an issuer with a subject, and nothing else. An address of electronic mail is none:
   providers give it to another person again, let people change it, and need not have checked it.
2. An issuer is an address of HTTPS, but for this machine itself, where a test runs one.

Source: OpenID Connect Core 1.0, sections 2 and 5.7 (only issuer and subject are stable).
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from protocol.errors import PolicyRefused

MAX_ISSUER, MAX_SUBJECT = 300, 255


@dataclass(frozen=True, kw_only=True)
class LinkedIdentity:
    """An identity: the issuer's address, and the subject (255 ASCII letters at most) there.

    Raises:
        PolicyRefused: one of the two has another form.
    """

    issuer: str
    subject: str

    def __post_init__(self) -> None:
        require_issuer(self.issuer)
        said = self.subject
        if not isinstance(said, str) or not 0 < len(said) <= MAX_SUBJECT or not _is_plain(said):
            raise PolicyRefused(f"a subject has 1 to {MAX_SUBJECT} ASCII letters that can be read")


def require_issuer(issuer: str) -> None:
    """Checks that an issuer is an address of HTTPS without a query, or one of this machine.

    Raises:
        PolicyRefused: it is none.
    """
    if not is_secure_address(issuer) or len(issuer) > MAX_ISSUER or {"?", "#"} & {*issuer}:
        raise PolicyRefused(f"{issuer!r} is no issuer: https://NAME, as the provider writes it")


def is_secure_address(url: str) -> bool:
    """Whether an address is one of HTTPS, or of this machine itself.

    >>> is_secure_address("https://id.example.org/a"), is_secure_address("http://id.example.org")
    (True, False)
    >>> is_secure_address("http://127.0.0.1:8080"), is_secure_address("https://a@b.example")
    (True, False)
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or not _is_plain(url) or " " in url or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
