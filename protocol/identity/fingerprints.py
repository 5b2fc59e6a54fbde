"""Fingerprints and safety numbers: what two people compare by phone or on paper.

Rules:

1. Only a whole SHA-256 is compared. An attacker that chooses what is shown on both
   sides needs 2**(bits/2) tries for two views that agree, so 32 bits fall in
   minutes, 128 bits in 2**64 tries, and 256 bits not.
2. A safety number covers both hospitals' identity keys, the coordinator's
   signing key and the TLS root: two hospitals that read the same number to
   each other sign for each other's real keys, under the same coordinator.

Sources: the review's attack is a birthday search (van Oorschot and Wiener,
"Parallel collision search with cryptanalytic applications", 1999); Signal's
safety numbers (60 digits: two halves of 30, each of one key) are the model, but
a half there is met by a second preimage only. Here one side chooses keys in
both views, so the number is as long as the hash: 80 digits, 265 bits.
"""

from hashlib import sha512

from protocol.codec import to_json
from protocol.encoding import canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import CoordinatorIdentity, Member, signed_bytes

#: Digits of a safety number; 10**80 is a little more than 2**265.
SAFETY_DIGITS = 80
_DOMAIN = "safety-number"


def spoken(fingerprint: str) -> str:
    """Returns a fingerprint or a public key as groups that two people can compare by phone.

    >>> spoken("0123456789abcdef")
    '0123 4567 89ab cdef'
    """
    return " ".join(fingerprint[place : place + 4] for place in range(0, len(fingerprint), 4))


def require_compared(typed: str, fingerprint: str, what: str) -> None:
    """Checks that people have compared a whole fingerprint; groups and capitals do not matter.

    Args:
        typed: what they typed or handed over.
        fingerprint: 64 hexadecimal digits.
        what: what it is the fingerprint of, for the message.

    Raises:
        MessageRefused: it is another one, or only a part of it.
    """
    digits = "".join(typed.split()).lower()
    if digits == fingerprint:
        return
    if digits and fingerprint.startswith(digits):
        raise MessageRefused(
            f"{len(digits)} digits are too few to compare: give all {len(fingerprint)} digits of "
            f"{what}"
        )
    raise MessageRefused(f"this is not the fingerprint of {what}: somebody else's may be shown")


def safety_number(coordinator: CoordinatorIdentity, one: Member, other: Member) -> str:
    """Returns the number that two members read to each other: 16 groups of five digits.

    The same for both members. Two views that agree over different keys take 2**132
    tries, a view that agrees with a given one 2**265.
    """
    members = sorted([to_json(one), to_json(other)], key=lambda member: str(member["site"]))
    said = canonical({"coordinator": to_json(coordinator), "members": members})
    number = int.from_bytes(sha512(signed_bytes(_DOMAIN, said)).digest(), "big")
    digits = str(number % 10**SAFETY_DIGITS).zfill(SAFETY_DIGITS)
    return " ".join(digits[place : place + 5] for place in range(0, SAFETY_DIGITS, 5))
