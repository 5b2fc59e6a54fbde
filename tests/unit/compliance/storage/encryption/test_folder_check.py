"""The check of a folder of encrypted models: each part that was changed or is missing is named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from compliance.storage.encryption.folder import WeightsFolder
from protocol.identity.roster import SigningKey
from tests.unit.compliance.storage.encryption.sealed_model import (
    DIGEST,
    SealedModel,
    sealed_model,
)


@pytest.fixture
def made(tmp_path: Path) -> SealedModel:
    found = sealed_model(tmp_path)
    found.rewrap(remove=["Bob"])
    found.open("Alice")
    return found


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def without_a_line(path: Path) -> None:
    first, _, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, *others]))


def test_a_whole_folder_has_no_fault_and_names_its_files(made: SealedModel) -> None:
    found = made.folder.check()
    assert found.faults == () and list(found.histories) == [DIGEST]
    assert found.files == {path.name for path in made.folder.root.iterdir()}


TAMPERINGS: dict[str, tuple[Callable[[SealedModel], None], str]] = {
    "header changed": (lambda made: flipped(made.header), "the header of .* was changed"),
    "header missing": (lambda made: made.header.unlink(), "the header of .* is missing"),
    "payload changed": (lambda made: flipped(made.payload), "the payload of .* was changed"),
    "payload missing": (lambda made: made.payload.unlink(), "the payload of .* cannot be read"),
    "record changed": (lambda made: flipped(made.record), "encrypted model"),
    "record without a line": (lambda made: without_a_line(made.record), "does not follow"),
    "record missing": (lambda made: made.record.unlink(), "has no record here"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_changed_or_is_missing_is_named(tampering: str, made: SealedModel) -> None:
    tamper, said = TAMPERINGS[tampering]
    tamper(made)
    (fault,) = made.folder.check().faults
    assert DIGEST[:12] in fault and re.search(said, fault)


def test_both_header_and_payload_are_named_where_both_were_changed(made: SealedModel) -> None:
    flipped(made.header)
    flipped(made.payload)
    assert len(made.folder.check().faults) == 2


def test_the_header_of_a_retired_model_that_is_there_again_is_a_fault(made: SealedModel) -> None:
    header = made.header.read_bytes()
    made.writer.retire(DIGEST, made.decision(3, "superseded"))
    assert made.folder.check().faults == ()
    made.header.write_bytes(header)
    (fault,) = made.folder.check().faults
    assert "its header is there again" in fault


def test_a_record_under_another_key_is_a_fault(made: SealedModel) -> None:
    other = WeightsFolder(made.folder.root, {SigningKey.generate().public})
    (fault,) = other.check().faults
    assert "not the one that is trusted here" in fault and other.check().histories == {}


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    found = WeightsFolder(tmp_path / "weights", set()).check()
    assert (found.faults, found.histories, found.files) == ((), {}, frozenset())
