"""Files of a bundle, in a folder or a ZIP archive: bounded, without links, read and never unpacked.

Rules:

1. Only what stands in ``configs/`` and ``models/``, and a licence, is looked at.
2. No link is followed, and no name of an archive leads out of it.
3. Nothing is read beyond a bound that its reader names.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compliance.storage.atomic_file import read_whole
from protocol.errors import StudyRefused

METADATA = "configs/metadata.json"
_FOLDERS = ("configs", "models")
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
_MOST_ENTRIES = 10_000
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class BundleFiles:
    """The files of a bundle by their names in it, with their sizes in bytes.

    ``place`` is what the person gave, for messages; ``name`` is the bundle's own: its folder's.
    """

    place: str
    name: str
    sizes: Mapping[str, int]
    content: Callable[[str, int], bytes]

    def shown_path(self, file: str) -> str:
        """Returns what a file is called in messages."""
        return f"{self.place}/{file}"

    def read(self, file: str, most: int) -> bytes:
        """Returns what a file holds.

        Raises:
            StudyRefused: it holds more than ``most`` bytes, or cannot be read.
        """
        if self.sizes[file] > most:
            raise StudyRefused(
                f"{self.shown_path(file)}: larger than {most} bytes, which is the most"
            )
        try:
            found = self.content(file, most + 1)
        except _UNREADABLE as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StudyRefused(f"{self.shown_path(file)}: cannot be read: {reason}") from error
        if len(found) > most:
            raise StudyRefused(
                f"{self.shown_path(file)}: larger than {most} bytes, which is the most"
            )
        return found


def open_bundle(place: Path) -> BundleFiles:
    """Returns the files of a bundle.

    Raises:
        StudyRefused: it is neither a folder nor a ZIP archive that holds one bundle, or holds a
            link or a name that leads elsewhere.
    """
    if place.is_dir():
        return _folder(place)
    if place.is_file():
        return _archive(place)
    raise StudyRefused(f"--bundle {place}: there is no such folder or ZIP archive")


def _folder(place: Path) -> BundleFiles:
    sizes: dict[str, int] = {}
    for within in _FOLDERS:
        folder = place / within
        if folder.is_symlink():
            raise StudyRefused(_linked(str(folder)))
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_symlink():
                raise StudyRefused(_linked(str(path)))
            if path.is_file():
                sizes[f"{within}/{path.name}"] = path.stat().st_size
    for name in _LICENCES:
        if (place / name).is_file() and not (place / name).is_symlink():
            sizes[name] = (place / name).stat().st_size
    _require_metadata(str(place), sizes)
    return BundleFiles(
        place=str(place),
        name=place.resolve().name,
        sizes=sizes,
        content=lambda file, most: read_whole(place / file)[:most],
    )


def _linked(path: str) -> str:
    return f"{path}: a link, which is not followed: put the file itself there (cp -rL copies so)"


def _archive(place: Path) -> BundleFiles:
    try:
        with zipfile.ZipFile(place) as archive:
            entries = archive.infolist()
    except _UNREADABLE as error:
        raise StudyRefused(f"--bundle {place}: neither a folder nor a ZIP archive") from error
    if len(entries) > _MOST_ENTRIES:
        raise StudyRefused(f"--bundle {place}: {len(entries)} entries, at most {_MOST_ENTRIES}")
    known: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        _require_plain(place, entry)
        if entry.filename in known:
            raise StudyRefused(f"{place}/{entry.filename}: stands in the archive twice")
        known[entry.filename] = entry
    root = _root(place, known)
    sizes = {
        name.removeprefix(root): entry.file_size
        for name, entry in known.items()
        if name.startswith(root) and _is_looked_at(name.removeprefix(root))
    }

    def content(file: str, most: int) -> bytes:
        with zipfile.ZipFile(place) as archive, archive.open(known[root + file]) as stream:
            return stream.read(most)

    name = root.rstrip("/") or place.stem
    return BundleFiles(place=str(place), name=name, sizes=sizes, content=content)


def _require_plain(place: Path, entry: zipfile.ZipInfo) -> None:
    name, parts = entry.filename, PurePosixPath(entry.filename).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise StudyRefused(f"--bundle {place}: {name!r} leads out of the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise StudyRefused(f"--bundle {place}: {name!r} is a link, which is not followed")
    if entry.flag_bits & 1:
        raise StudyRefused(f"--bundle {place}: {name!r} is encrypted: unpack the archive first")


def _root(place: Path, known: Mapping[str, zipfile.ZipInfo]) -> str:
    """Returns what the names of the bundle's files begin with: a folder of the archive, or none."""
    found = [name.removesuffix(METADATA) for name in known if name.endswith(METADATA)]
    roots = [root for root in found if not root or (root.count("/") == 1 and root != "__MACOSX/")]
    if len(roots) > 1:
        raise StudyRefused(f"--bundle {place}: holds several bundles: {', '.join(sorted(roots))}")
    if not roots:
        _require_metadata(str(place), {})
    return roots[0]


def _require_metadata(place: str, sizes: Mapping[str, int]) -> None:
    if METADATA not in sizes:
        raise StudyRefused(f"--bundle {place}: no MONAI bundle: {METADATA} is missing")


def _is_looked_at(name: str) -> bool:
    folder, _, file = name.partition("/")
    return name in _LICENCES or (folder in _FOLDERS and bool(file) and "/" not in file)
