"""The software and the platform of this process, read once: what is on the disk then, is running.

Nothing here imports what it names: versions come from the distributions' own metadata.
"""

import platform
import re
import sys
from functools import cache
from hashlib import sha256
from importlib.metadata import distributions, version
from importlib.util import find_spec
from pathlib import Path

from compliance.facts.dossier import (
    Library,
    Platform,
    Software,
    distributions_digest,
    printable,
)
from protocol.encoding import blob_digest

#: The packages of Collegium.
_ROOMS = ("protocol", "pipelines", "compliance", "silos", "coordinator", "dashboard", "collegium")
#: The file of locked versions, beside the source files of a checkout.
_LOCK = "requirements.lock"
#: The processor's name in Linux' own words.
_PROCESSOR = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


@cache
def software() -> Software:
    """Returns the software of this process: its own source files and all that is installed.

    Every installed distribution is named, with its version: any may change what is computed.
    """
    libraries = _libraries()
    return Software(
        version=printable(version("collegium")),
        code=_code(),
        python=printable(platform.python_version()),
        distributions=distributions_digest(libraries),
        libraries=libraries,
        lock=_lock(),
    )


@cache
def platform_here() -> Platform:
    """Returns the platform of this process."""
    return Platform(
        system=printable(platform.system()),
        machine=printable(platform.machine()),
        processor=printable(_processor()),
    )


def environment() -> dict[str, str]:
    """Returns what this run was made with; whether torch is in this process is measured."""
    facts = {
        name: version(name)
        for name in ("torch", "monai", "opacus", "ray", "dp-accounting", "numpy", "cryptography")
    }
    facts["python"] = sys.version.split()[0]
    facts["collegium"] = version("collegium")
    facts["torch in the coordinator's process"] = "yes" if "torch" in sys.modules else "no"
    return facts


def _libraries() -> tuple[Library, ...]:
    # The first of a name is the one that is imported.
    found: dict[str, str] = {}
    for each in distributions():
        name = re.sub(r"[-_.]+", "-", each.name).lower()  # as package indexes compare names
        found.setdefault(printable(name), printable(each.version))
    return tuple(Library(name=name, version=found[name]) for name in sorted(found))


def _code() -> str:
    """Returns the digest of the source files of every room that is installed here."""
    read = sha256()
    for room in _ROOMS:
        spec = find_spec(room)
        for place in spec.submodule_search_locations or [] if spec else []:
            folder = Path(place)
            for file in sorted(folder.rglob("*.py")):
                name = f"{room}/{file.relative_to(folder).as_posix()}"
                read.update(f"{name}\n{blob_digest(file.read_bytes())}\n".encode())
    return read.hexdigest()


def _lock() -> str | None:
    spec = find_spec("protocol")
    for place in spec.submodule_search_locations or [] if spec else []:
        file = Path(place).parent / _LOCK
        if file.is_file():
            return blob_digest(file.read_bytes())
    return None


def _processor() -> str:
    try:
        named = _PROCESSOR.search(Path("/proc/cpuinfo").read_text())
    except OSError:
        named = None
    return named.group(1).strip() if named else platform.processor()
