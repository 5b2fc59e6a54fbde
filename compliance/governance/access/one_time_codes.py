"""One-time codes of an authenticator application (TOTP): six digits, every 30 seconds.

Source: RFC 6238, with HMAC-SHA-1 as section 1.2 has it and every application knows; a code of the
step before or after the current one is taken (section 5.2), each step once.
"""

import base64
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

#: Bytes of a secret (RFC 4226, section 4: 160 bits), seconds of a step, digits of a code.
SECRET_BYTES = 20
STEP_SECONDS = 30
DIGITS = 6
_DRIFT = (0, -1, 1)


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """Returns the step of which a code is, None where it is of none near now.

    Args:
        secret: the shared secret.
        code: what was typed; blanks within it do not count.
        now: the time of the machine that checks.
    """
    typed = "".join(code.split())
    if len(typed) != DIGITS or not (typed.isascii() and typed.isdecimal()):
        return None
    current = int(now.timestamp()) // STEP_SECONDS
    for drift in _DRIFT:
        try:
            _totp(secret).verify(typed.encode(), (current + drift) * STEP_SECONDS)
        except InvalidToken:
            continue
        return current + drift
    return None


def code_at(secret: bytes, now: datetime) -> str:
    """Returns the code that an application shows at a time."""
    return _totp(secret).generate(int(now.timestamp())).decode()


def provisioning_uri(secret: bytes, name: str, issuer: str) -> str:
    """Returns the address that an authenticator application reads (otpauth)."""
    return _totp(secret).get_provisioning_uri(name, issuer)


def typed_secret(secret: bytes) -> str:
    """Returns a secret as a person types it where no picture can be scanned."""
    letters = base64.b32encode(secret).decode().rstrip("=")
    return " ".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303  (as applications have it)
