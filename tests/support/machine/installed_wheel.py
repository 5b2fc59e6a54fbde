"""A wheel built from this tree, and clean environments that hold it with what an extra brings.

``python -m tests.support.machine.installed_wheel`` says how many distributions
an extra needs, and their size.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.structure.floors import ROOMS, ROOT
from tests.support.machine.patience import PATIENCE

Done = subprocess.CompletedProcess[str]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


def source_files() -> set[str]:
    """Returns every file of the rooms, relative to the root, but for what Python writes."""
    return {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build_wheel(folder: Path) -> Path:
    """Builds the wheel from a copy of the rooms, as ``make wheel`` does; returns its file."""
    source, built = folder / "source", folder / "dist"
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=_NOT_COPIED)
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / name, source / name)
    _pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", built)
    (wheel,) = built.glob("*.whl")
    return wheel


@cache
def needed(*extras: str) -> frozenset[str]:
    """Returns the distributions that the project needs with these extras, theirs included."""
    found: set[str] = set()
    left = [*PROJECT["dependencies"]]
    for extra in extras:
        left += PROJECT["optional-dependencies"][extra]
    seen: set[str] = set()
    while left:
        line = left.pop()
        if line in seen:
            continue
        seen.add(line)
        wanted = Requirement(line)
        found.add(canonicalize_name(wanted.name))
        for more in importlib.metadata.requires(wanted.name) or []:
            marker = Requirement(more).marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *wanted.extras)):
                left.append(more)
    return frozenset(found)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment without pip, and the folder in which its commands run."""

    root: Path
    work: Path

    def python(self, *arguments: object) -> Done:
        """Runs its Python."""
        return self._run("python", *arguments)

    def collegium(self, *arguments: object) -> Done:
        """Runs its ``collegium`` command."""
        return self._run("collegium", *arguments)

    def serving(self, *arguments: object) -> "subprocess.Popen[str]":
        """Starts its ``collegium`` command; the lines that it tells come from ``stderr``."""
        return subprocess.Popen(
            self._words("collegium", arguments),
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.work,
            env=self._variables(),
        )

    def _run(self, program: str, *arguments: object) -> Done:
        return subprocess.run(
            self._words(program, arguments),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=self.work,
            env=self._variables(),
        )

    def _words(self, program: str, arguments: Iterable[object]) -> list[str]:
        return [str(self.root / "bin" / program), *map(str, arguments)]

    def _variables(self) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(self.work), "LANG": "C.UTF-8", "COLUMNS": "200"}


def install(wheel: Path, folder: Path, *extras: str) -> Environment:
    """Makes an environment that holds the wheel and exactly what these extras need.

    The wheel is installed by pip; what it needs is linked from the running environment, so
    that no network is asked.
    """
    root, work = folder / "venv", folder / "work"
    work.mkdir(parents=True)
    venv.create(root, symlinks=True)
    (packages,) = root.glob("lib/python*/site-packages")
    for name in needed(*extras):
        for entry in _entries(name):
            (packages / entry.name).symlink_to(entry)
    python = root / "bin" / "python"
    _pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    return Environment(root=root, work=work)


def _entries(name: str) -> Iterator[Path]:
    """Yields what a distribution has in the running environment's folder of packages."""
    distribution = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
        yield Path(str(distribution.locate_file(top)))


def _pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, arguments)], check=True, timeout=PATIENCE)


def main() -> None:
    """Prints a line for each kind of machine, with the versions of the running environment."""
    for extras in ((), ("coordinator",), ("silo",), ("silo", "coordinator", "dashboard")):
        names = needed(*extras)
        size = sum(
            path.stat().st_size
            for name in names
            for file in importlib.metadata.distribution(name).files or []
            if (path := Path(str(file.locate()))).is_file()
        )
        print(f"{', '.join(extras) or 'none'}: {len(names)} distributions, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
