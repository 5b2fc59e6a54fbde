"""Sealing, re-wrapping, retiring and opening a model; and every way in which opening is refused."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyrage
import pytest

from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from compliance.storage.encryption.folder import WeightsFolder
from compliance.storage.encryption.opening import require_free
from compliance.storage.encryption.record import WeightsEventKind
from compliance.storage.encryption.sealing import rewrapped, sealed
from compliance.storage.encryption.writer import WeightsWriter
from protocol.encoding import canonical, digest
from protocol.errors import (
    FederationError,
    MessageRefused,
    PolicyRefused,
    StoreBroken,
    WorkspaceRefused,
)
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import encode_tensors
from tests.unit.compliance.storage.encryption.sealed_model import (
    BYTES,
    DIGEST,
    SealedModel,
    sealed_model,
)


@pytest.fixture
def made(tmp_path: Path) -> SealedModel:
    return sealed_model(tmp_path)


def plain_of(file: bytes, identity: AgeIdentity) -> bytes:
    """What the library makes of an age file."""
    own = pyrage.x25519.Identity.from_str(identity.secret_text())
    return bytes(pyrage.decrypt(file, [own]))


def refused(
    made: SealedModel, error: type[FederationError], told: str, name: str = "Alice"
) -> None:
    """Opening is refused, and leaves nothing of the model behind."""
    before = sorted(made.home.rglob("*"))
    with pytest.raises(error, match=told):
        made.open(name)
    assert sorted(made.home.rglob("*")) == before


def test_each_recipient_opens_the_model_into_a_file_of_its_own(made: SealedModel) -> None:
    for name in ("Alice", "Bob"):
        opened = made.open(name, f"{name}.safetensors")
        assert opened.read_bytes() == BYTES
        assert opened.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in made.home.glob("*.partial")] == []
    kinds = [event.kind for event in made.folder.history(DIGEST).events]
    assert kinds == [WeightsEventKind.SEALED, *[WeightsEventKind.OPENED] * 2]


def test_header_and_payload_in_a_row_are_an_age_file(made: SealedModel) -> None:
    assert plain_of(made.age_file(), made.people["Alice"]) == BYTES


@pytest.mark.skipif(shutil.which("age") is None, reason="needs the age program")
def test_the_age_program_opens_a_re_wrapped_model_and_not_for_a_recipient_that_left(
    made: SealedModel,
) -> None:
    made.rewrap(add=["Eve"], remove=["Bob"])
    (made.home / "model.age").write_bytes(made.age_file())
    for name, code in (("Eve", 0), ("Bob", 1)):
        (made.home / "own.txt").write_text(made.people[name].secret_text())
        told = ["age", "--decrypt", "--identity", "own.txt", "model.age"]
        found = subprocess.run(told, capture_output=True, cwd=made.home, check=False)
        assert (found.returncode, found.stdout == BYTES) == (code, code == 0)


def test_a_re_wrap_changes_the_header_and_no_byte_of_the_payload(made: SealedModel) -> None:
    before, stat = made.payload.read_bytes(), made.payload.stat()
    made.rewrap(add=["Eve"], remove=["Bob"])
    assert made.payload.read_bytes() == before
    assert (made.payload.stat().st_ino, made.payload.stat().st_mtime_ns) == (
        stat.st_ino,
        stat.st_mtime_ns,
    )
    assert made.open("Eve").read_bytes() == BYTES
    manifest = made.folder.history(DIGEST).manifest
    assert manifest.generation == 2
    assert [one.name for one in manifest.recipients] == ["Alice", "Eve"]


def test_a_recipient_that_left_opens_no_re_wrapped_model_and_its_old_copy_for_ever(
    made: SealedModel,
) -> None:
    old = made.age_file()
    made.rewrap(remove=["Bob"])
    refused(made, PolicyRefused, "Bob was retired as a recipient at .*left the hospital", "Bob")
    with pytest.raises(pyrage.DecryptError):
        plain_of(made.age_file(), made.people["Bob"])
    assert plain_of(old, made.people["Bob"]) == BYTES  # as docs/weights.md says


def test_a_recipient_gets_another_key_under_the_same_name(made: SealedModel) -> None:
    new = AgeIdentity.generate()
    draft = rewrapped(
        made.folder,
        DIGEST,
        [made.people["Bob"]],
        [Recipient(name="Bob", key=new.key)],
        ["Bob"],
    )
    made.writer.rewrap(draft.manifest, draft.header, made.decision(1, "key replaced"))
    refused(made, PolicyRefused, "Bob was retired", "Bob")
    made.people["Bob"] = new
    assert made.open("Bob").read_bytes() == BYTES
    standings = made.folder.history(DIGEST).recipients
    assert [(one.recipient.name, one.until is None) for one in standings] == [
        ("Alice", True),
        ("Bob", False),
        ("Bob", True),
    ]


def test_a_retired_model_is_opened_and_re_wrapped_by_nobody(made: SealedModel) -> None:
    made.writer.retire(DIGEST, made.decision(1, "superseded"))
    assert not made.header.exists()
    refused(made, PolicyRefused, "was retired at .*: superseded")
    with pytest.raises(PolicyRefused, match="was retired"):
        made.rewrap(add=["Eve"])
    with pytest.raises(PolicyRefused, match="was retired"):
        made.writer.retire(DIGEST, made.decision(2))
    with pytest.raises(PolicyRefused, match="encrypted here already"):
        made.seal("Alice")
    assert not [one for one in made.folder.history(DIGEST).recipients if one.until is None]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [0, 20, 70_000, -1])
def test_a_tampered_payload_is_refused(made: SealedModel, at: int) -> None:
    flip(made.payload, at)
    refused(made, MessageRefused, "payload of .* was changed or cut off")


@pytest.mark.parametrize("at", [30, 60, -5])
def test_a_tampered_header_is_refused(made: SealedModel, at: int) -> None:
    flip(made.header, at)
    refused(made, MessageRefused, "header of .* was changed")


@pytest.mark.parametrize("size", [0, 16, 16 + 65_552, -1])
def test_a_truncated_payload_is_refused(made: SealedModel, size: int) -> None:
    made.payload.write_bytes(made.payload.read_bytes()[:size])
    refused(made, MessageRefused, "payload of .* was changed or cut off")


def test_a_payload_that_grew_is_refused(made: SealedModel) -> None:
    made.payload.write_bytes(made.payload.read_bytes() + b"x")
    refused(made, MessageRefused, "payload of .* was changed or cut off")


@pytest.mark.parametrize("what", ["header", "payload"])
def test_a_missing_file_is_refused(made: SealedModel, what: str) -> None:
    getattr(made, what).unlink()
    refused(made, MessageRefused, f"{what} of .* (is missing|cannot be read)")


def test_a_missing_record_is_refused(made: SealedModel) -> None:
    made.record.unlink()
    refused(made, StoreBroken, "has no record here: nothing says who may open it")


def test_a_model_signed_by_somebody_else_is_refused(made: SealedModel) -> None:
    made.folder = WeightsFolder(made.folder.root, {SigningKey.generate().public})
    refused(made, MessageRefused, "not the one that is trusted here")


def rewritten(made: SealedModel, change: Callable[[list[dict[str, object]]], object]) -> None:
    """Writes the record's lines anew, each canonical, with the chain that follows from them."""
    lines = [json.loads(line) for line in made.record.read_bytes().splitlines()]
    change(lines)
    head, written = "0" * 64, b""
    for line in lines:
        line["event"]["previous"] = head
        whole = canonical(line) + b"\n"
        head, written = digest(whole), written + whole
    made.record.write_bytes(written)


def test_a_recipient_written_into_the_record_breaks_the_signature(made: SealedModel) -> None:
    eve = {"name": "Zoe", "key": made.people["Eve"].key}
    rewritten(made, lambda lines: lines[0]["event"]["manifest"]["recipients"].append(eve))  # type: ignore[index]
    refused(made, MessageRefused, "signature is not valid", "Eve")


def test_a_decision_without_a_signature_is_refused(made: SealedModel) -> None:
    def unsign(lines: list[dict[str, object]]) -> None:
        lines[0]["signature"] = None
        lines[0]["event"]["signer"] = None  # type: ignore[index]

    rewritten(made, unsign)
    refused(made, MessageRefused, "says sealed without a signature")


def test_an_event_taken_out_of_the_middle_breaks_the_chain(made: SealedModel) -> None:
    made.open("Alice", "one.safetensors")
    made.rewrap(remove=["Bob"])
    lines = made.record.read_bytes().splitlines(keepends=True)
    made.record.write_bytes(lines[0] + lines[2])
    refused(made, StoreBroken, "does not follow the one before it")
    rewritten(made, lambda lines: lines[1]["event"].update(number=1))  # type: ignore[attr-defined]
    refused(made, MessageRefused, "signature is not valid")


def test_a_downgraded_header_is_refused(made: SealedModel) -> None:
    old = made.header.read_bytes()
    made.rewrap(remove=["Bob"])
    made.header.write_bytes(old)
    refused(made, PolicyRefused, "header is of generation 1, and the record says 2")


def test_a_folder_put_back_whole_is_refused_by_whoever_knows_the_generation(
    made: SealedModel,
) -> None:
    header, record = made.header.read_bytes(), made.record.read_bytes()
    made.rewrap(remove=["Bob"])
    made.header.write_bytes(header)
    made.record.write_bytes(record)
    with pytest.raises(PolicyRefused, match="generation 1, and generation 2 is known"):
        made.open("Bob", at_least=2)
    assert made.open("Bob").read_bytes() == BYTES  # the files alone cannot show it


def test_an_identity_that_was_never_a_recipient_is_refused(made: SealedModel) -> None:
    refused(made, PolicyRefused, "was never a recipient", "Eve")


def test_a_payload_that_holds_another_model_is_refused_before_it_is_in_place(
    made: SealedModel,
) -> None:
    """Somebody with the signing key signs a manifest over a payload of another model."""
    other = encode_tensors({"w": np.zeros(3, np.float32)})
    plain = made.home / "other.safetensors"
    plain.write_bytes(other)
    with sealed(made.writer, plain, made.recipients("Alice")) as draft:
        false = draft.manifest.model
    made.folder.payload_file(false).replace(made.payload)
    made.record.unlink()
    made.writer.begin(replace(draft.manifest, model=DIGEST), draft.header, made.decision())
    refused(made, MessageRefused, "what was encrypted is model .*, not")


def test_what_cannot_be_written_down_is_not_opened(made: SealedModel) -> None:
    def full(*_: object) -> None:
        raise WorkspaceRefused("the record is on a full disk")

    made.writer.note_opening = full  # type: ignore[method-assign]
    refused(made, WorkspaceRefused, "full disk")


def test_a_model_that_was_re_wrapped_meanwhile_is_not_opened(made: SealedModel) -> None:
    """The opening is written down under the lock, where the record is read once more."""
    note = made.writer.note_opening

    def slow(*given: object) -> None:
        made.rewrap(remove=["Bob"])
        note(*given)  # type: ignore[arg-type]

    made.writer.note_opening = slow  # type: ignore[method-assign]
    with pytest.raises(PolicyRefused, match="Bob was retired"):
        made.open("Bob")
    assert not (made.home / "plain.safetensors").exists()


def test_nothing_is_opened_over_a_file_that_is_there(made: SealedModel, tmp_path: Path) -> None:
    taken = tmp_path / "plain.safetensors"
    taken.write_bytes(b"mine")
    with pytest.raises(WorkspaceRefused, match="there already"):
        require_free(taken)
    with pytest.raises(WorkspaceRefused, match="no folder"):
        require_free(tmp_path / "none" / "plain")
    with pytest.raises(WorkspaceRefused, match="cannot be written"):
        made.open("Alice")
    assert taken.read_bytes() == b"mine"


def test_a_re_wrap_that_was_cut_off_before_its_event_never_happened(made: SealedModel) -> None:
    draft = rewrapped(made.folder, DIGEST, [made.people["Alice"]], [], ["Bob"])
    made.folder.next_header_file(DIGEST).write_bytes(draft.header)
    assert made.open("Bob").read_bytes() == BYTES


def test_a_re_wrap_that_was_cut_off_after_its_event_counts(made: SealedModel) -> None:
    old = made.header.read_bytes()
    made.rewrap(remove=["Bob"])
    made.header.replace(made.folder.next_header_file(DIGEST))
    made.header.write_bytes(old)
    assert made.open("Alice", "one").read_bytes() == BYTES
    refused(made, PolicyRefused, "Bob was retired", "Bob")
    made.rewrap(add=["Eve"])
    assert made.open("Eve", "two").read_bytes() == BYTES


def test_a_line_that_was_cut_off_was_never_written(made: SealedModel) -> None:
    whole = made.record.read_bytes()
    made.record.write_bytes(whole + whole[:50])
    assert len(made.folder.history(DIGEST).events) == 1
    made.open("Alice")
    assert made.record.read_bytes().startswith(whole)
    assert len(made.folder.history(DIGEST).events) == 2


def test_of_two_re_wraps_of_one_generation_the_second_begins_again(made: SealedModel) -> None:
    draft = rewrapped(made.folder, DIGEST, [made.people["Alice"]], [], ["Bob"])
    made.rewrap(add=["Eve"])
    with pytest.raises(PolicyRefused, match="at generation 2, so the next is 3, not 2"):
        made.writer.rewrap(draft.manifest, draft.header, made.decision(2))


def test_of_two_that_seal_one_model_the_second_waits(made: SealedModel) -> None:
    other = WeightsWriter(WeightsFolder(made.home / "other", {made.key.public}))
    with sealed(other, made.plain, made.recipients("Alice")):
        with pytest.raises(PolicyRefused, match="another process encrypts this model"):
            with sealed(other, made.plain, made.recipients("Bob")):
                pass
    with sealed(other, made.plain, made.recipients("Alice")) as draft:  # the first was never taken
        other.begin(draft.manifest, draft.header, made.decision())
    assert other.folder.models() == (DIGEST,)


@pytest.mark.parametrize(
    ("add", "remove", "told"),
    [
        ((), (), "name who comes"),
        ((), ("Eve",), "Eve is no recipient"),
        ((), ("Alice", "Bob"), "nobody would be left"),
        (("Bob",), (), "each once"),
    ],
)
def test_a_re_wrap_that_makes_no_sense_is_refused(
    made: SealedModel, add: tuple[str, ...], remove: tuple[str, ...], told: str
) -> None:
    with pytest.raises(PolicyRefused, match=told):
        made.rewrap(add=add, remove=remove)
    assert made.folder.history(DIGEST).manifest.generation == 1


def test_only_an_identity_that_opens_a_model_re_wraps_it(made: SealedModel) -> None:
    with pytest.raises(PolicyRefused, match="no recipient whose identity"):
        made.rewrap(add=["Eve"], by="Eve")


def test_a_header_for_another_number_of_recipients_is_not_taken(made: SealedModel) -> None:
    draft = rewrapped(made.folder, DIGEST, [made.people["Alice"]], [], ["Bob"])
    more = replace(draft.manifest, recipients=(*draft.manifest.recipients, *made.recipients("Eve")))
    with pytest.raises(MessageRefused, match="another number of recipients"):
        made.writer.rewrap(more, draft.header, made.decision(1))
    with pytest.raises(MessageRefused, match="not the one that the manifest names"):
        made.writer.rewrap(draft.manifest, made.header.read_bytes(), made.decision(1))


def test_a_file_that_is_not_the_model_it_should_be_is_not_sealed(made: SealedModel) -> None:
    with pytest.raises(MessageRefused, match="it was changed"):
        with sealed(made.writer, made.plain, made.recipients("Alice"), "0" * 64):
            pass
    with pytest.raises(WorkspaceRefused, match="cannot be encrypted"):
        with sealed(made.writer, made.home / "none", made.recipients("Alice")):
            pass


def test_a_model_is_found_by_the_beginning_of_its_digest(made: SealedModel) -> None:
    assert made.folder.find(DIGEST[:6]) == DIGEST
    for beginning in ("", "zz"):
        with pytest.raises(PolicyRefused, match="weights list"):
            made.folder.find(beginning)
