"""What somebody adds to a bundle and packs again is found by both verifiers, in words."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collegium.verification.bundle import single_file
from collegium.verification.bundle.packing import MANIFEST
from collegium.verification.inputs import AuditInputs
from collegium.verification.verify import verify
from protocol.encoding import canonical
from protocol.errors import FederationError
from tests.unit.collegium.verification.bundle.conftest import Evidence

Files = dict[str, bytes]
_OTHER = "— eve.example YWJjZHh4eHh4eHh4eHh4eHh4\n"


def contents(bundle: Path) -> tuple[dict[str, Any], Files]:
    """The manifest of a bundle, and its files."""
    with zipfile.ZipFile(bundle) as whole:
        manifest = json.loads(whole.read(MANIFEST))
        return manifest, {one["name"]: whole.read(one["name"]) for one in manifest["files"]}


def packed(files: Files, about: Mapping[str, Any], form: Callable[[Any], bytes]) -> bytes:
    """A bundle of any files, with a manifest that fits them."""
    listed = [
        {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in sorted(files.items())
    ]
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w") as whole:
        for name, data in [*sorted(files.items()), (MANIFEST, form({**about, "files": listed}))]:
            header = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            header.create_system, header.external_attr = 3, 0o600 << 16
            whole.writestr(header, data)
    return to.getvalue()


def require_found(evidence: Evidence, tmp_path: Path, data: bytes) -> None:
    """Requires both verifiers to find something wrong, and neither to break."""
    forged = tmp_path / "forged.zip"
    forged.write_bytes(data)
    assert single_file.verify(forged, evidence.key, [evidence.note]).wrong
    given = AuditInputs(key=evidence.key.hex(), checkpoints=[evidence.note])
    with suppress(FederationError):
        assert not verify(forged, given, Console(quiet=True))["verified"]


def test_a_bundle_that_is_packed_again_as_it_was_is_the_same(evidence: Evidence) -> None:
    about, files = contents(evidence.bundle)
    assert packed(files, about, canonical) == evidence.bundle.read_bytes()


@pytest.mark.parametrize(
    "name",
    ["log/more.txt", "zzz.txt", "other/x", "records/more.jsonl", "files/collegium.db",
     "files/coordinator.pub", "files/coordinator.key", "files/x"],
)  # fmt: skip
def test_a_file_that_is_added_is_found(evidence: Evidence, tmp_path: Path, name: str) -> None:
    about, files = contents(evidence.bundle)
    require_found(evidence, tmp_path, packed({**files, name: b""}, about, canonical))


@pytest.mark.parametrize(
    "changed",
    [
        lambda head: json.dumps(head, sort_keys=True, ensure_ascii=False).encode(),
        lambda head: canonical({**head, "by": "eve"}),
        lambda head: canonical({**head, "note": head["note"] + _OTHER}),
        lambda head: canonical({**head, "note": head["note"] + head["note"].split("\n\n")[1]}),
    ],
    ids=["spaces", "field", "other-signature", "twice-signed"],
)
def test_a_head_that_says_more_is_found(
    evidence: Evidence, tmp_path: Path, changed: Callable[[Any], bytes]
) -> None:
    about, files = contents(evidence.bundle)
    first, *others = files["log/heads.jsonl"].splitlines(keepends=True)
    files["log/heads.jsonl"] = b"".join([changed(json.loads(first)) + b"\n", *others])
    require_found(evidence, tmp_path, packed(files, about, canonical))


@pytest.mark.parametrize("said", [{"by": "Dr. Eve"}, {"key": "0" * 64}, {"scope": "records"}])
def test_a_manifest_that_says_something_else_is_found(
    evidence: Evidence, tmp_path: Path, said: Mapping[str, str]
) -> None:
    about, files = contents(evidence.bundle)
    require_found(evidence, tmp_path, packed(files, {**about, **said}, canonical))
    require_found(
        evidence, tmp_path, packed(files, about, lambda one: json.dumps(one, indent=1).encode())
    )


@pytest.mark.parametrize("method", [8, 12, 14, 99])
@pytest.mark.parametrize("last", [False, True])
def test_a_method_of_compression_that_is_made_up_is_found(
    evidence: Evidence, tmp_path: Path, method: int, last: bool
) -> None:
    data = bytearray(evidence.bundle.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = (data.rfind(mark) if last else data.find(mark)) + offset
        data[place : place + 2] = struct.pack("<H", method)
    require_found(evidence, tmp_path, bytes(data))


def test_a_name_that_is_no_text_is_found(evidence: Evidence, tmp_path: Path) -> None:
    data = bytearray(evidence.bundle.read_bytes())
    place = data.find(b"PK\x01\x02")
    data[place + 9] |= 8
    data[place + 46] = 0xFF
    require_found(evidence, tmp_path, bytes(data))


def test_a_small_file_cannot_unpack_to_a_large_manifest(evidence: Evidence, tmp_path: Path) -> None:
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr(MANIFEST, b" " * (1 << 22))
    require_found(evidence, tmp_path, to.getvalue())
    found = single_file.verify(tmp_path / "forged.zip", evidence.key)
    assert found.wrong == ["something in the bundle is compressed"]
