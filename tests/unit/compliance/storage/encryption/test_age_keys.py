"""Text forms of age keys, held to the library, and files of identities."""

from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.storage.encryption.age_keys import (
    AgeIdentity,
    new_identity_file,
    read_bech32,
    read_identity_file,
    read_recipient,
    write_bech32,
)
from protocol.errors import PolicyRefused, WorkspaceRefused

# The example of the age specification.
SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"  # noqa: S105
PUBLIC = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_keys_are_written_as_the_specification_and_the_library_write_them() -> None:
    identity = AgeIdentity.from_text(SECRET)
    assert (identity.key, identity.secret_text()) == (PUBLIC, SECRET)
    for _ in range(20):
        theirs = pyrage.x25519.Identity.generate()
        ours = AgeIdentity.from_text(str(theirs))
        assert (ours.key, ours.secret_text()) == (str(theirs.to_public()), str(theirs))


@given(st.binary(max_size=60))
def test_bech32_is_read_back(data: bytes) -> None:
    assert read_bech32("age", write_bech32("age", data)) == data


@given(st.integers(4, len(PUBLIC) - 1), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_one_letter_that_was_mistyped_is_found(at: int, letter: str) -> None:
    changed = PUBLIC[:at] + letter + PUBLIC[at + 1 :]
    if changed != PUBLIC:
        with pytest.raises(ValueError, match="checksum"):
            read_bech32("age", changed)


@pytest.mark.parametrize(
    "said",
    [
        "Alice",
        f"={PUBLIC}",
        f"Alice={PUBLIC[:-1]}",
        f"Alice={PUBLIC[:8]}{PUBLIC[8:].upper()}",
        f"Alice={SECRET}",
        "Alice=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN",
        "Alice=age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zr",
        f"Al\nice={PUBLIC}",
        f"Alice={write_bech32('age', bytes(32))}",  # whose shared secrets everybody knows
    ],
)
def test_what_is_no_recipient_is_refused_and_no_secret_is_told(said: str) -> None:
    with pytest.raises(PolicyRefused, match="is no recipient") as found:
        read_recipient(said)
    assert SECRET[20:] not in str(found.value)


def test_a_new_identity_is_in_a_file_of_its_owner_alone_and_is_read_by_the_library(
    tmp_path: Path,
) -> None:
    file = tmp_path / "alice.txt"
    key = new_identity_file(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.key for one in read_identity_file(file)] == [key]
    assert str(pyrage.x25519.Identity.from_str(file.read_text().split()[-1]).to_public()) == key
    with pytest.raises(WorkspaceRefused, match="there already"):
        new_identity_file(file)
    file.chmod(0o640)
    with pytest.raises(WorkspaceRefused, match="chmod 600"):
        read_identity_file(file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# nothing\n", "holds no identity"),
        ("age-encryption.org/v1\n", "holds something else"),
        (f"{SECRET[:-1]}Q\n", "holds something else"),
    ],
)
def test_a_file_without_an_identity_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "key.txt"
    file.touch(mode=0o600)
    file.write_text(text)
    with pytest.raises(PolicyRefused, match=told) as found:
        read_identity_file(file)
    assert SECRET[20:40] not in str(found.value)
