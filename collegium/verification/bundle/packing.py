"""The form of an evidence bundle: a ZIP file of which every byte follows from its contents.

::

    README.txt                what this is and how it is verified
    files/...                 models, kept rounds and the page, as they lie in the folder
    log/entries.jsonl         the log's entries in order, each in the bytes whose hash is its leaf
    log/heads.jsonl           every signed head, as {"note": ..., "size": ...}
    records/TABLE.jsonl       every row of a table, each in the bytes whose SHA-256 the log names
    manifest.json             the log's key, size and root; each file's length and SHA-256

Rules:

1. Nothing is compressed, names are sorted (the manifest is last) and no time is kept, so that one
   folder gives one bundle, byte for byte, on any machine.
2. What is unpacked is packed again and compared, so that no byte of the file can change, be it
   one that no program reads. Names are plain: none leads out of the folder that it is unpacked to.
3. The SHA-256 of the manifest names the bundle.
"""

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

from protocol.codec import (
    DIGEST,
    Digest,
    from_json,
    integer,
    list_of,
    nested,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, StoreBroken

#: The form of bundles that this software writes and reads.
FORM = "collegium-evidence/1"
MANIFEST, README = "manifest.json", "README.txt"
#: What stands in every bundle's README.txt.
README_TEXT = """Evidence of a Collegium consortium, for an auditor.

manifest.json   whose log this is, its size and root, and the SHA-256 of every file
log/            the log's entries, each in the bytes whose RFC 6962 hash is its leaf,
                and its signed heads (C2SP checkpoints)
records/        every row of the coordinator's database, one line each; the SHA-256 of a
                line is the "record" of the log's entry about it
files/          models, kept rounds and the page that the records name

It holds no patient's record, no key that signs, and no hospital's own database.
It proves nothing by itself: bring the log's public key and, better, a head of the log
that somebody else kept. Then

    collegium audit verify BUNDLE --key KEY --checkpoint NOTE

or, without Collegium, the one file that "collegium audit verifier --to FILE" writes:

    python FILE BUNDLE --key KEY --checkpoint NOTE
"""
_WORD = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(
    rf"README\.txt|log/(entries|heads)\.jsonl|records/{_WORD}\.jsonl|files(/{_WORD}){{1,5}}"
)
#: What is made from the rest when a bundle is unpacked, so that none holds it.
_MADE = frozenset({"files/collegium.db", "files/coordinator.pub"})
#: Files of a bundle, and bytes of its manifest, at most.
_MAX_FILES = 200_000
_MAX_MANIFEST = 1 << 26
_PART = 1 << 20
_COUNT = integer(0, 2**53 - 1)


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of a bundle: its name, number of bytes and SHA-256."""

    name: Annotated[str, text(r"[A-Za-z0-9_./-]{1,300}")]
    size: Annotated[int, _COUNT]
    sha256: Digest


@dataclass(frozen=True, kw_only=True)
class BundleManifest:
    """The contents of a bundle: whose log, up to which head, and which files.

    ``scope`` is ``records`` where models, kept rounds and the page were left out, else ``all``.
    """

    form: Annotated[str, text(re.escape(FORM))] = FORM
    key: Annotated[str, DIGEST]
    size: Annotated[int, _COUNT]
    root: Digest
    scope: Annotated[str, text("all|records")]
    files: Annotated[tuple[BundleFile, ...], list_of(nested(BundleFile), _MAX_FILES)]

    def __post_init__(self) -> None:
        require_forms(self)
        names = [file.name for file in self.files]
        if names != sorted(set(names)) or MANIFEST in names:
            raise ValueError("a bundle's files are sorted, each named once")
        if wrong := [name for name in names if name in _MADE or not _NAME.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no name of a file in a bundle")
        if self.scope == "records" and any(name.startswith("files/") for name in names):
            raise ValueError("a bundle of records alone holds none of the files they name")

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes of the manifest's file."""
        return canonical(to_json(self))

    @property
    def digest(self) -> str:
        """The bundle's name."""
        return digest(self.canonical_bytes)


def pack(parts: Mapping[str, Path], about: Mapping[str, Any], to: IO[bytes]) -> BundleManifest:
    """Writes a bundle; returns its manifest.

    Args:
        parts: the file of each name.
        about: the manifest's other fields.
        to: a file that can be sought in.

    Raises:
        OSError: a file cannot be read, or the bundle not be written.
        ValueError: a name is none.
    """
    files = []
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as whole:
        for name in sorted(parts):
            with parts[name].open("rb") as source:
                files.append(_add(whole, name, parts[name].stat().st_size, source))
        manifest = BundleManifest(files=tuple(files), **about)
        whole.writestr(_header(MANIFEST), manifest.canonical_bytes)
    return manifest


def unpack(bundle: Path, into: Path) -> BundleManifest:
    """Writes the files of a bundle to an empty folder; returns the manifest.

    Raises:
        StoreBroken: it is no bundle, or any byte of it was changed.
        MessageRefused: it is of another form.
        OSError: it cannot be read, or the folder not be written.
    """
    try:
        with zipfile.ZipFile(bundle) as whole:
            if any(info.compress_type != zipfile.ZIP_STORED for info in whole.infolist()):
                raise StoreBroken("the bundle was changed: something in it is compressed")
            manifest = _manifest(whole)
            names = [info.filename for info in whole.infolist()]
            if names != [*(file.name for file in manifest.files), MANIFEST] or README not in names:
                raise StoreBroken("the bundle's files are not those of its manifest")
            for file in manifest.files:
                _extract(whole, file, into)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise StoreBroken(f"it is no evidence bundle, or it is damaged: {error}") from error
    if (into / README).read_text(encoding="utf-8", errors="replace") != README_TEXT:
        raise StoreBroken(f"{README} is not the one that belongs to a bundle")
    _require_same(bundle, manifest, into)
    return manifest


def _manifest(whole: zipfile.ZipFile) -> BundleManifest:
    if MANIFEST not in whole.namelist():
        raise StoreBroken(f"it is no evidence bundle, or it is damaged: it holds no {MANIFEST}")
    if whole.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
        raise StoreBroken("the bundle's manifest is too long")
    try:
        value = parse_canonical(whole.read(MANIFEST))
    except MessageRefused as error:
        raise StoreBroken(f"the bundle's manifest was changed: {error}") from error
    if isinstance(value, dict) and value.get("form") != FORM:
        raise MessageRefused(
            f"the bundle is of the form {value.get('form')!s:.40}, this software reads {FORM}"
        )
    try:
        return from_json(BundleManifest, value)
    except MessageRefused as error:
        raise StoreBroken(f"the bundle's manifest was changed: {error}") from error


def _extract(whole: zipfile.ZipFile, file: BundleFile, into: Path) -> None:
    """Writes one file, never more bytes than the manifest says."""
    to = into / file.name
    to.parent.mkdir(parents=True, exist_ok=True)
    computed, left = hashlib.sha256(), file.size
    with whole.open(file.name) as source, to.open("xb") as target:
        while part := source.read(min(_PART, left + 1)):
            left -= len(part)
            if left < 0:
                break
            computed.update(part)
            target.write(part)
    if left or computed.hexdigest() != file.sha256:
        raise StoreBroken(f"{file.name} of the bundle was changed: its SHA-256 is another")


def _require_same(bundle: Path, manifest: BundleManifest, into: Path) -> None:
    """Packs again what was unpacked: no byte may differ, also none that nothing is read from."""
    about = {field: getattr(manifest, field) for field in ("key", "size", "root", "scope")}
    parts = {file.name: into / file.name for file in manifest.files}
    with tempfile.TemporaryFile(dir=into) as again, bundle.open("rb") as given:
        pack(parts, about, again)
        again.seek(0)
        while part := given.read(_PART):
            if again.read(len(part)) != part:
                raise StoreBroken("the bundle was changed: its bytes are not those of its files")
        if again.read(1):
            raise StoreBroken("the bundle was cut")


def _add(whole: zipfile.ZipFile, name: str, size: int, source: IO[bytes]) -> BundleFile:
    computed, header = hashlib.sha256(), _header(name)
    header.file_size = size
    with whole.open(header, "w") as target:
        while part := source.read(_PART):
            computed.update(part)
            target.write(part)
    return BundleFile(name=name, size=header.file_size, sha256=computed.hexdigest())


def _header(name: str) -> zipfile.ZipInfo:
    """Returns a file's header without what differs between machines: time, system, rights."""
    header = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    header.create_system, header.external_attr = 3, 0o600 << 16
    return header
