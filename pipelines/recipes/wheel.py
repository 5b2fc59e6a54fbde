"""A recipe's wheel, read as data: what its files are, and what no recipe's wheel may hold.

Rules:

1. It holds one package, named like the distribution, and its own metadata; Python source and
   data, nothing compiled. So it can be read before it is allowed.
2. It runs in no process that does not import it. A ``.pth`` file, a package called
   ``sitecustomize``, and an entry point of another group (pydantic's, torch's and pip's console
   scripts among them) would: it has one entry point, of the group ``GROUP``.
3. Its package's name is nobody else's: neither Python's, ours, nor another distribution's.
4. Every file is the one that the wheel's own RECORD lists.

Source: PEP 427 and the binary distribution format of packaging.python.org (RECORD).
"""

import csv
import io
import re
import sys
import zipfile
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from email.parser import Parser
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath

from protocol.encoding import digest
from protocol.errors import PolicyRefused
from protocol.study.task.recipes import RecipePackage

#: The group of entry points that a recipe has one of.
GROUP = "collegium.recipes"
_MOST_BYTES, _MOST_FILES = 64 << 20, 2000
_ROOMS = frozenset(
    {"protocol", "pipelines", "compliance", "silos", "coordinator", "dashboard", "collegium"}
)
_METADATA = re.compile(
    r"METADATA|WHEEL|RECORD|entry_points\.txt|top_level\.txt|licenses/.+|(LICENSE|NOTICE|AUTHORS)[^/]*"
)
_COMPILED = (".pyc", ".pyo", ".so", ".pyd", ".dll", ".dylib", ".pth")


def import_name(distribution: str) -> str:
    """Returns the name of the one package that a recipe's distribution holds.

    >>> import_name("acme-recipes")
    'acme_recipes'
    """
    return distribution.replace("-", "_")


def metadata_folder(package: RecipePackage) -> str:
    """Returns the folder of a package's metadata, in the wheel and where it is installed."""
    return f"{import_name(package.distribution)}-{package.version}.dist-info"


def files_in_wheel(data: bytes, package: RecipePackage, source: str) -> Mapping[str, str]:
    """Returns the SHA-256 of each file by its path in the wheel that a study names.

    Args:
        data: the wheel's bytes.
        package: as the study names it.
        source: what the file is called in messages.

    Raises:
        PolicyRefused: it is another wheel, or holds what no recipe may.
    """
    found = digest(data)
    if found != package.sha256:
        raise PolicyRefused(
            f"recipes: {source} is not the wheel of {package}: its sha256 begins {found[:12]}, "
            f"the study says {package.sha256[:12]}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents = _contents(archive, source)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise PolicyRefused(f"recipes: {source} is no wheel: {type(error).__name__}") from error
    files = {path: digest(inside) for path, inside in contents.items()}
    _check_places(files, package, source)
    _check_record(contents, files, package, source)
    _check_name(contents, package, source)
    _check_entry_points(contents, package, source)
    return files


def _contents(archive: zipfile.ZipFile, source: str) -> dict[str, bytes]:
    files = [each for each in archive.infolist() if not each.is_dir()]
    if len(files) > _MOST_FILES or sum(each.file_size for each in files) > _MOST_BYTES:
        raise PolicyRefused(
            f"recipes: {source} holds more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MiB"
        )
    if len({each.filename for each in files}) < len(files):
        raise PolicyRefused(f"recipes: {source} holds a file twice")
    return {each.filename: archive.read(each) for each in files}


def _check_places(files: Mapping[str, str], package: RecipePackage, source: str) -> None:
    tops = (import_name(package.distribution), metadata_folder(package))
    for path in files:
        place = PurePosixPath(path)
        if len(place.parts) < 2 or place.parts[0] not in tops or ".." in place.parts:
            raise PolicyRefused(
                f"recipes: {source} holds {path!r}: a recipe's wheel holds the package "
                f"{tops[0]!r} and {tops[1]!r}, nothing else"
            )
        if place.parts[0] == tops[1] and not _METADATA.fullmatch("/".join(place.parts[1:])):
            raise PolicyRefused(
                f"recipes: {source} holds {path!r}, which is no metadata of a recipe's wheel"
            )
        compiled = {suffix.lower() for suffix in place.suffixes} & set(_COMPILED)
        if compiled or "__pycache__" in place.parts:
            raise PolicyRefused(
                f"recipes: {source} holds {path!r}: a recipe is Python source and data that "
                "people can read, nothing compiled"
            )


@cache  # reads every installed package's list of files
def _owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def _check_record(
    contents: Mapping[str, bytes], files: Mapping[str, str], package: RecipePackage, source: str
) -> None:
    record = f"{metadata_folder(package)}/RECORD"
    try:
        listed = recorded(contents.get(record, b"").decode())
    except UnicodeDecodeError:
        listed = {}
    for path, found in files.items():
        if path != record and listed.get(path) != found:
            raise PolicyRefused(
                f"recipes: {source}: {path!r} is not the file that the wheel's RECORD lists"
            )


def recorded(text: str) -> dict[str, str]:
    """Returns the SHA-256 of each file that a RECORD lists with one, by its path."""
    found = {}
    for row in csv.reader(text.splitlines()):
        if len(row) == 3 and row[1].startswith("sha256="):
            written = row[1].removeprefix("sha256=")
            try:
                found[row[0]] = urlsafe_b64decode(written + "=" * (-len(written) % 4)).hex()
            except (Base64Error, ValueError):
                continue
    return found


def _check_entry_points(contents: Mapping[str, bytes], package: RecipePackage, source: str) -> None:
    """Refuses a wheel with any entry point but the one of a recipe, written as setuptools does."""
    text = contents.get(f"{metadata_folder(package)}/entry_points.txt", b"").decode(
        errors="replace"
    )
    name = import_name(package.distribution)
    one = rf"\s*\[{re.escape(GROUP)}\]\s*\n[\w.-]+ *= *{name}(\.\w+)*:\w+\s*"
    if not re.fullmatch(one, text, re.ASCII):
        raise PolicyRefused(
            f"recipes: {source}: its entry points must be one, of the group {GROUP} and the form "
            f"{name}:RECIPE; others (console scripts too) would run where no recipe may"
        )


def _check_name(contents: Mapping[str, bytes], package: RecipePackage, source: str) -> None:
    text = contents.get(f"{metadata_folder(package)}/METADATA", b"").decode(errors="replace")
    said = Parser().parsestr(text, headersonly=True)
    name = str(said["Name"]).lower().replace("_", "-").replace(".", "-")
    if (name, said["Version"]) != (package.distribution, package.version):
        raise PolicyRefused(
            f"recipes: {source} says that it is {said['Name']} {said['Version']}, the study names "
            f"{package}"
        )
    own = import_name(package.distribution)
    others = {
        found.lower().replace("_", "-").replace(".", "-") for found in _owners().get(own, ())
    } - {package.distribution}
    taken = {*sys.stdlib_module_names, *_ROOMS, "sitecustomize", "usercustomize"}
    if own in taken or others:
        raise PolicyRefused(
            f"recipes: {source}: the package {own!r} is "
            f"{' and '.join(sorted(others)) or 'Python or Collegium'}'s: give the recipe another "
            "name"
        )
