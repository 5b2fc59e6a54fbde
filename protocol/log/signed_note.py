"""Signed heads of the log as C2SP writes them: a checkpoint's text, and a note with signatures.

A note::

    collegium/audit/v1/3b6a27bcceb6a42d62a3a8d02a6f0d73
    3
    9fM...=

    — collegium/audit/v1/3b6a27bcceb6a42d62a3a8d02a6f0d73 Hk2z...=

The text is three lines: origin, number of entries, root in base64. It ends with
a line feed; an empty line and the signature lines follow. No other log has the
same origin: it is made from the key that signs the log (``log_origin``). A
signature line holds a name and base64 of a 4-byte key identifier and the Ed25519
signature over exactly the text.

Source: C2SP signed-note v1.0.0 and tlog-checkpoint v1.0.0.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from protocol.encoding import canonical_base64
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey, verify_raw
from protocol.log.merkle import HASH_BYTES

#: A checkpoint with the cosignatures of 256 hospitals takes 50 kilobytes; a witness's ML-DSA-44
#: line three more.
MAX_BYTES = 1 << 18
#: The largest tree.
MAX_SIZE = 2**63 - 1
_MAX_SIGNATURES = 600
#: A control character but the line feed, or half of a pair that no UTF-8 has.
_NO_TEXT = re.compile("[\x00-\x09\x0b-\x1f\ud800-\udfff]")
_ED25519 = b"\x01"
_MARK = "— "
_ORIGIN = "collegium/audit/v1/"


def log_origin(public: bytes) -> str:
    """Returns the origin of the log that a coordinator's key signs: another key, another log.

    >>> log_origin(bytes(32))
    'collegium/audit/v1/66687aadf862bd776c8fc18b8e9f8e20'
    """
    return _ORIGIN + hashlib.sha256(public).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A head of a log: its name, its number of entries and its root."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, kw_only=True)
class SignatureLine:
    """One signature line of a note: name, the key's four bytes, what follows, and the line."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The line with its line feed, as it stands in a note."""
        encoded = base64.b64encode(self.key_id + self.signature).decode()
        return f"{_MARK}{self.name} {encoded}\n"


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    r"""Returns the three lines of a checkpoint; the inverse of ``parse_checkpoint``.

    >>> checkpoint_text("example.org/log", 0, bytes(32))
    'example.org/log\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n'

    Raises:
        ValueError: the origin is no name, the size negative, or the root not 32 bytes.
    """
    if not is_key_name(origin) or size < 0 or len(root) != HASH_BYTES:
        raise ValueError("a checkpoint has an origin, a size and a 32-byte root")
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def parse_checkpoint(text: str, *, of_any_log: bool = False) -> Checkpoint:
    """Returns the checkpoint that a text holds.

    Args:
        text: of the note.
        of_any_log: whether an origin with spaces and extension lines are let pass, as the standard
            allows them; this log has neither.

    Raises:
        MessageRefused: the text is not exactly one checkpoint.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise MessageRefused("a checkpoint has three lines")
    origin, size, root = lines[:3]
    if not of_any_log and (len(lines) != 4 or not is_key_name(origin)):
        raise MessageRefused("a checkpoint has three lines, the first of them a name")
    if not (size.isascii() and size.isdigit()) or len(size) > 19 or str(int(size)) != size:
        raise MessageRefused("the checkpoint's second line is not a number of entries")
    if int(size) > MAX_SIZE:
        raise MessageRefused("the checkpoint's number of entries is not below 2^63")
    decoded = canonical_base64(root, "a line of the note")
    if len(decoded) != HASH_BYTES:
        raise MessageRefused("the checkpoint holds no root of 32 bytes")
    return Checkpoint(origin=origin, size=int(size), root=decoded)


def key_id(name: str, public: bytes) -> bytes:
    """Returns the four bytes by which a verifier finds the signature of a key it knows."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def sign_note(text: str, name: str, key: SigningKey) -> bytes:
    """Returns the note: the text, an empty line and one signature; undone by ``open_note``.

    Raises:
        ValueError: the text does not end with a line feed, or the name holds
            a space, a plus sign or a control character.
    """
    if not text.endswith("\n") or not is_key_name(name) or not _is_text(text):
        raise ValueError("a note is text that ends with a line feed, signed under a plain name")
    line = base64.b64encode(key_id(name, key.public) + key.sign_raw(text.encode())).decode()
    return f"{text}\n{_MARK}{name} {line}\n".encode()


def open_note(note: bytes, name: str, public: bytes) -> str:
    r"""Returns the text of a note that carries a valid signature of this name and key.

    Signatures of others are skipped, as the standard asks, so that cosignatures
    can be added; a signature that claims to be this key's and is wrong is refused.

    >>> key = SigningKey.from_bytes(bytes(32))
    >>> open_note(sign_note("text\n", "example", key), "example", key.public)
    'text\n'

    Raises:
        MessageRefused: it does not, or the form is not a note's.
    """
    text, lines = split_note(note)
    wanted = key_id(name, public)
    verified = False
    for line in lines:
        if line.name == name and line.key_id == wanted:
            verify_raw(public, text.encode(), line.signature)
            verified = True
    if not verified:
        raise MessageRefused(f"the note is not signed by {name}")
    return text


def split_note(note: bytes) -> tuple[str, list[SignatureLine]]:
    """Returns text and signature lines of a note, of which nothing is verified yet.

    Raises:
        MessageRefused: the form is not a note's.
    """
    if len(note) > MAX_BYTES:
        raise MessageRefused(f"a note of {len(note)} bytes exceeds the limit of {MAX_BYTES}")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageRefused("the note is not UTF-8") from error
    text, separator, signatures = whole.rpartition("\n\n")
    if not separator or not signatures.endswith("\n") or not _is_text(whole):
        raise MessageRefused("the note has no text, empty line and signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise MessageRefused(f"the note has more than {_MAX_SIGNATURES} signatures")
    return text + "\n", [_signature(line) for line in lines]


def with_lines(note: bytes, lines: Iterable[SignatureLine]) -> bytes:
    """Returns a note with more signature lines at its end.

    Raises:
        MessageRefused: the note becomes longer than notes may be.
    """
    longer = note + "".join(line.text for line in lines).encode()
    if len(longer) > MAX_BYTES:
        raise MessageRefused(f"a note of {len(longer)} bytes exceeds the limit of {MAX_BYTES}")
    return longer


def parse_lines(data: bytes) -> list[SignatureLine]:
    """Returns signature lines that come without their note, as a witness answers.

    Raises:
        MessageRefused: the form is wrong.
    """
    return split_note(b"-\n\n" + data)[1]


def _signature(line: str) -> SignatureLine:
    name, separator, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not separator or not is_key_name(name):
        raise MessageRefused("a signature line of the note has the wrong form")
    signature = canonical_base64(encoded, "a line of the note")
    if len(signature) < 5:
        raise MessageRefused("a signature of the note is too short")
    return SignatureLine(name=name, key_id=signature[:4], signature=signature[4:])


def is_key_name(name: str) -> bool:
    """Whether a key may have this name: not empty, without spaces, plus and control characters."""
    return bool(name) and "+" not in name and name.split() == [name] and _is_text(name)


def _is_text(text: str) -> bool:
    """Whether text has no control character but the line feed, and is UTF-8 when written."""
    return _NO_TEXT.search(text) is None
