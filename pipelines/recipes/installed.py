"""An installed recipe, compared file by file with what it must be; nothing is imported.

What pip adds itself (its own RECORD, INSTALLER, REQUESTED, direct_url.json) and files that Python
compiled are passed over: the former is not read, the latter is never run (``loading``).
"""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from pipelines.recipes.wheel import GROUP, import_name, metadata_folder, recorded
from protocol.encoding import digest
from protocol.errors import PolicyRefused
from protocol.study.task.recipes import RecipeFiles, RecipePackage

_OF_PIP = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_MOST_TOLD = 5


def install_folder(package: RecipePackage) -> Path:
    """Returns the folder in which a recipe's package and its metadata lie.

    Raises:
        PolicyRefused: it is not installed here, or in another version.
    """
    return Path(str(_installed(package).locate_file("")))


def is_installed(package: RecipePackage) -> bool:
    """Whether a recipe is installed here, in the version that the study names."""
    try:
        _installed(package)
    except PolicyRefused:
        return False
    return True


def files_as_installed(package: RecipePackage) -> RecipeFiles:
    """Returns what the package installed here says of its own files; no wheel was seen.

    Raises:
        PolicyRefused: it is not installed here, in another version, or without a RECORD.
    """
    listed = recorded(_installed(package).read_text("RECORD") or "")
    name, folder = import_name(package.distribution), metadata_folder(package)
    files = {path: found for path, found in listed.items() if _belongs(path, name, folder)}
    if not any(path.startswith(f"{name}/") for path in files):
        raise PolicyRefused(
            f"recipes: {package} has no RECORD of its files here{_how(package)}: install its wheel"
        )
    return RecipeFiles(files=files, of_wheel=False)


def require_installed(package: RecipePackage) -> Path:
    """Returns the folder of a recipe whose files are all as they must be.

    Raises:
        PolicyRefused: it is not installed, in another version, or a file is missing, was changed
            or does not belong to it; names the files.
    """
    required, folder = package.required, install_folder(package)
    faults = list(_faults(package, required, folder))
    if faults:
        more = len(faults) - _MOST_TOLD
        told = [*faults[:_MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
        what = "its wheel" if required.of_wheel else "its RECORD"
        raise PolicyRefused(
            f"recipes: {package}, installed in {folder}, is not as in {what}: {'; '.join(told)}"
            f"{_how(package)}; install the wheel again"
        )
    return folder


def entry_point(package: RecipePackage) -> str:
    """Returns the one object that a package registers, as ``module:name``.

    Raises:
        PolicyRefused: it registers none, more than one, or one of another package.
    """
    named = [each.value for each in _installed(package).entry_points if each.group == GROUP]
    module, _, attribute = (named[0] if len(named) == 1 else "").partition(":")
    if module.partition(".")[0] != import_name(package.distribution) or not attribute:
        raise PolicyRefused(
            f"recipes: {package} needs one entry point of the group {GROUP}, of the form "
            f"{import_name(package.distribution)}:RECIPE; it has {', '.join(named) or 'none'}"
        )
    return f"{module}:{attribute}"


def _installed(package: RecipePackage) -> Distribution:
    try:
        found = distribution(package.distribution)
    except PackageNotFoundError as error:
        raise PolicyRefused(
            f"recipes: {package.distribution} is not installed here: pip install --no-deps its "
            f"wheel, of version {package.version}"
        ) from error
    if found.version != package.version:
        raise PolicyRefused(
            f"recipes: {package.distribution} is installed in version {found.version}, the study "
            f"names {package.version}: install that one's wheel"
        )
    return found


def _how(package: RecipePackage) -> str:
    """Returns that it was installed to be edited, where it was."""
    try:
        said = json.loads(_installed(package).read_text("direct_url.json") or "{}")
        editable = said.get("dir_info", {}).get("editable", False)
    except (ValueError, AttributeError):
        editable = False
    return " (it is installed to be edited, with pip install -e)" if editable else ""


def _belongs(path: str, name: str, folder: str) -> bool:
    if path.startswith(f"{name}/"):
        return "__pycache__" not in path.split("/")
    top, _, rest = path.partition("/")
    return top == folder and rest not in _OF_PIP


def _faults(package: RecipePackage, required: RecipeFiles, folder: Path) -> Iterator[str]:
    name, metadata = import_name(package.distribution), metadata_folder(package)
    wanted: Mapping[str, str] = {
        path: found for path, found in required.files.items() if _belongs(path, name, metadata)
    }
    for path, expected in sorted(wanted.items()):
        place = folder / path
        if place.is_symlink() or not place.is_file():
            yield f"{path} is missing"
        elif digest(place.read_bytes()) != expected:
            yield f"{path} was changed"
    for top in (name, metadata):
        for place in sorted((folder / top).rglob("*")):
            path = place.relative_to(folder).as_posix()
            is_own = place.is_symlink() or place.is_file()
            if is_own and _belongs(path, name, metadata) and path not in wanted:
                yield f"{path} does not belong to it"
