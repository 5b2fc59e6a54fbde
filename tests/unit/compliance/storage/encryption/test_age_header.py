"""Headers of age files, held to the library and to the ``age`` program in both directions."""

import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.storage.encryption.age_header import header_for, read_header, unwrapped
from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from protocol.errors import MessageRefused, PolicyRefused

PLAIN = bytes(range(256)) * 600
AGE = shutil.which("age")


def split(file: bytes) -> tuple[bytes, bytes]:
    end = file.index(b"\n", file.index(b"\n--- ") + 1) + 1
    return file[:end], file[end:]


def library(identity: AgeIdentity) -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.from_str(identity.secret_text())


def encrypted(*identities: AgeIdentity) -> tuple[bytes, bytes]:
    return split(pyrage.encrypt(PLAIN, [library(one).to_public() for one in identities]))


def key_of(identity: AgeIdentity) -> bytes:
    return Recipient(name="one", key=identity.key).key_bytes


def test_what_the_library_wrote_is_read_and_written_again_byte_for_byte() -> None:
    for _ in range(20):  # the library adds a stanza of a random form
        header, _payload = encrypted(AgeIdentity.generate(), AgeIdentity.generate())
        assert read_header(header).to_bytes() == header
        assert len(read_header(header).own_stanzas) == 2


def test_the_library_decrypts_a_payload_under_a_header_that_we_wrote() -> None:
    alice, bob, carol = (AgeIdentity.generate() for _ in range(3))
    header, payload = encrypted(alice, bob)
    file_key = unwrapped(read_header(header), bob.private)
    ours = header_for(file_key, [key_of(one) for one in (alice, carol)]).to_bytes()
    for one in (alice, carol):
        assert pyrage.decrypt(ours + payload, [library(one)]) == PLAIN
        assert unwrapped(read_header(ours), one.private) == file_key
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(ours + payload, [library(bob)])
    with pytest.raises(PolicyRefused, match="no recipient whose identity"):
        unwrapped(read_header(ours), bob.private)


def test_every_stanza_has_a_share_of_its_own() -> None:
    alice = AgeIdentity.generate()
    one, other = (header_for(bytes(16), [key_of(alice)]) for _ in range(2))
    assert one.stanzas[0].arguments != other.stanzas[0].arguments


@pytest.mark.skipif(AGE is None, reason="needs the age program: apt-get install age")
def test_the_age_program_and_ours_open_each_others_headers(tmp_path: Path) -> None:
    alice, bob = AgeIdentity.generate(), AgeIdentity.generate()
    (tmp_path / "plain").write_bytes(PLAIN)
    (tmp_path / "bob.txt").write_text(f"{bob.secret_text()}\n")
    told = [str(AGE), "--encrypt", "--recipient", alice.key, str(tmp_path / "plain")]
    header, payload = split(subprocess.run(told, check=True, capture_output=True).stdout)
    file_key = unwrapped(read_header(header), alice.private)
    ours = header_for(file_key, [key_of(bob)]).to_bytes()
    (tmp_path / "ours.age").write_bytes(ours + payload)
    told = [str(AGE), "--decrypt", "--identity", "bob.txt", "ours.age"]
    found = subprocess.run(told, check=True, capture_output=True, cwd=tmp_path)
    assert found.stdout == PLAIN


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda header: header.replace(b"/v1", b"/v2"), "no header of an age file"),
        (lambda header: header[:-1], "no header of an age file"),
        (lambda header: header.replace(b"--- ", b"---"), "one line with its MAC"),
        (lambda header: header.split(b"\n---")[0] + b"\n", "one line with its MAC"),
        (lambda header: header + b"\n", "one line with its MAC"),
        (lambda header: header.replace(b"X25519 ", b"X25519  "), "an argument that is none"),
        (lambda header: header[:-3] + b"=\n", "base64"),
        (lambda header: header[:-5] + b"\n", "base64|32 bytes"),
        (lambda header: header.replace(b"\n---", b"A" * 60 + b"\n---"), "no last line"),
        (lambda header: b"x" * 70_000, "at most"),
        (lambda header: b"", "no header of an age file"),
    ],
)
def test_a_header_of_another_form_is_refused(change, told: str) -> None:  # type: ignore[no-untyped-def]
    header = header_for(bytes(16), [key_of(AgeIdentity.generate())]).to_bytes()
    with pytest.raises(MessageRefused, match=told):
        read_header(change(header))


def test_a_header_without_its_stanzas_or_with_a_stranger_s_is_changed() -> None:
    alice, bob = AgeIdentity.generate(), AgeIdentity.generate()
    whole = header_for(bytes(16), [key_of(alice), key_of(bob)])
    fewer = type(whole)(stanzas=whole.stanzas[:1], mac=whole.mac)
    more = header_for(bytes(16), [key_of(bob)])
    mixed = type(whole)(stanzas=(whole.stanzas[0], *more.stanzas), mac=whole.mac)
    for changed in (fewer, mixed):
        with pytest.raises(MessageRefused, match="MAC does not hold"):
            unwrapped(changed, alice.private)


def test_a_share_of_small_order_is_refused() -> None:
    alice = AgeIdentity.generate()
    whole = header_for(bytes(16), [key_of(alice)])
    weak = type(whole.stanzas[0])(arguments=("X25519", "A" * 43), body=whole.stanzas[0].body)
    with pytest.raises(MessageRefused, match="no point that is used"):
        unwrapped(type(whole)(stanzas=(weak,), mac=whole.mac), alice.private)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        found = read_header(b"age-encryption.org/v1\n" + data)
    except MessageRefused:
        return
    assert found.to_bytes() == b"age-encryption.org/v1\n" + data
