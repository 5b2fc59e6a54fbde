"""How a coordinator announces a run, and what a hospital says when it joins.

The notice names the study and the roster by digest only: the hospital runs the
copy of the study that its own officers approved, and the roster it trusts.
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.forms import Digest, base64_bytes, from_json, hex_bytes, require_forms, text, to_json
from protocol.identity import SigningKey, verify
from protocol.summary import SignedSummary

_DOMAIN = "run-notice"
_MOST_SUMMARY = 1 << 14


@dataclass(frozen=True, kw_only=True)
class RunNotice:
    """A run of a study that its hospitals may join."""

    run_id: Annotated[str, text(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")]
    study: Digest
    roster: Digest

    def __post_init__(self) -> None:
        require_forms(self)


def sign_notice(notice: RunNotice, key: SigningKey) -> bytes:
    """Returns the signed notice; undone by ``open_notice``."""
    data = canonical(to_json(notice))
    return key.sign(_DOMAIN, data) + data


def open_notice(wire: bytes, public: bytes) -> RunNotice:
    """Returns the notice that the coordinator signed.

    Raises:
        MessageRefused: the signature is not the coordinator's, or the form is wrong.
    """
    if not 64 < len(wire) <= 4096:
        raise MessageRefused("not a run's notice")
    verify(public, _DOMAIN, wire[64:], wire[:64])
    return from_json(RunNotice, parse_canonical(wire[64:]))


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A hospital's word when it joins: its signed summary, and the first model it built.

    ``model`` is the digest of the parameters that the study's seed gives there.
    """

    summary: Annotated[bytes, base64_bytes(_MOST_SUMMARY)]
    signature: Annotated[bytes, hex_bytes(64)]
    model: Digest

    @property
    def word(self) -> SignedSummary:
        """The signed summary."""
        return SignedSummary(data=self.summary, signature=self.signature)

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that travel; the inverse is ``parse_joined``."""
        return canonical(to_json(self))


def parse_joined(data: bytes) -> Joined:
    """Returns what a hospital said.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(Joined, parse_canonical(data))
