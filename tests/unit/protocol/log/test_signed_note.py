"""Signed notes and checkpoints, against the published example of the note format."""

import base64

import pytest

from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.log.signed_note import (
    MAX_BYTES,
    Checkpoint,
    checkpoint_text,
    key_id,
    open_note,
    parse_checkpoint,
    sign_note,
)

KEY = SigningKey.from_bytes(bytes(32))
TEXT = checkpoint_text("collegium/audit/v1", 7, bytes(range(32)))
NOTE = sign_note(TEXT, "collegium", KEY)

# The example key and note of golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
EXAMPLE_KEY = SigningKey.from_bytes(
    base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
)
EXAMPLE_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
EXAMPLE_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngot"
    "pRZb6KE6RyyBwJnAM=\n"
)


def test_note_equals_the_published_example() -> None:
    note = f"{EXAMPLE_TEXT}\n{EXAMPLE_LINE}".encode()
    assert sign_note(EXAMPLE_TEXT, "PeterNeumann", EXAMPLE_KEY) == note
    assert open_note(note, "PeterNeumann", EXAMPLE_KEY.public) == EXAMPLE_TEXT
    assert key_id("PeterNeumann", EXAMPLE_KEY.public).hex() == "c74f20a3"


def test_checkpoint_survives_its_text() -> None:
    checkpoint = Checkpoint(origin="collegium/audit/v1", size=7, root=bytes(range(32)))
    assert parse_checkpoint(open_note(NOTE, "collegium", KEY.public)) == checkpoint


def test_cosignatures_of_others_are_skipped() -> None:
    cosigned = NOTE + sign_note(TEXT, "hospital", SigningKey.generate()).split(b"\n\n")[1]
    assert open_note(cosigned, "collegium", KEY.public) == TEXT


def test_note_of_another_key_is_refused() -> None:
    with pytest.raises(MessageRefused, match="not signed by collegium"):
        open_note(NOTE, "collegium", SigningKey.generate().public)


def test_note_under_another_name_is_refused() -> None:
    with pytest.raises(MessageRefused, match="not signed by someone"):
        open_note(NOTE, "someone", KEY.public)


def test_changed_text_is_refused() -> None:
    with pytest.raises(MessageRefused, match="not valid for this key"):
        open_note(NOTE.replace(b"\n7\n", b"\n8\n"), "collegium", KEY.public)


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (b"", "no text, empty line and signatures"),
        (TEXT.encode(), "no text, empty line and signatures"),
        (NOTE[:-1], "no text, empty line and signatures"),
        (NOTE + b"\n", "no text, empty line and signatures|wrong form"),
        (NOTE.replace("— ".encode(), b"- "), "wrong form"),
        (NOTE.replace(b"collegium/audit", b"collegium\raudit"), "no text, empty line"),
        (b"\xff" + NOTE, "not UTF-8"),
        (NOTE[:-3] + b"!!\n", "not base64"),
        (TEXT.encode() + "\n— a AAAA\n".encode(), "too short"),
        (bytes(MAX_BYTES + 1), "exceeds the limit"),
        (TEXT.encode() + b"\n" + b"x\n" * 601, "more than 600 signatures"),
    ],
)
def test_malformed_note_is_refused(note: bytes, message: str) -> None:
    with pytest.raises(MessageRefused, match=message):
        open_note(note, "collegium", KEY.public)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "three lines"),
        (f"o\n1\n{ROOT}", "three lines"),
        (f"o\n1\n{ROOT}\nextension\n", "three lines"),
        (f"o\n01\n{ROOT}\n", "not a number of entries"),
        (f"o\n-1\n{ROOT}\n", "not a number of entries"),
        (f"o\n١\n{ROOT}\n", "not a number of entries"),
        (f"o\n{'9' * 30}\n{ROOT}\n", "not a number of entries"),
        (f"\n1\n{ROOT}\n", "has three lines"),
        ("o\n1\nAAAA\n", "no root of 32 bytes"),
        ("o\n1\n????\n", "not base64"),
        (f"o\n1\n{ROOT[:-2]}B=\n", "not canonical base64"),
    ],
)
def test_malformed_checkpoint_is_refused(text: str, message: str) -> None:
    with pytest.raises(MessageRefused, match=message):
        parse_checkpoint(text)


def test_note_that_could_not_be_read_back_is_not_signed() -> None:
    for text, name in (("no line feed", "n"), ("t\n", "two words"), ("t\n", "a+b"), ("t\0\n", "n")):
        with pytest.raises(ValueError, match="a note is text"):
            sign_note(text, name, KEY)
    with pytest.raises(ValueError, match="a 32-byte root"):
        checkpoint_text("o", 1, bytes(31))
