"""Admission of a study's recipes: which files each package must have, as a wheel has them.

Nothing is imported here: the processes that hold a hospital's keys may do it.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pipelines.recipes.installed import files_as_installed, require_installed
from pipelines.recipes.wheel import files_in_wheel
from protocol.encoding import digest
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study_file
from protocol.study.task.recipes import RecipeFiles, RecipePackage


def admit(package: RecipePackage, wheel: Path) -> None:
    """Lets a package be imported as a wheel has it, after both were compared with the study.

    Raises:
        PolicyRefused: the wheel cannot be read, is another, or what is installed is not as in it.
    """
    try:
        data = wheel.read_bytes()
    except OSError as error:
        raise PolicyRefused(
            f"recipes: the wheel of {package} cannot be read: {wheel}: {error.strerror}"
        ) from error
    package.attach(_required(package, wheel, data))
    require_installed(package)


def read_with_recipes(path: Path) -> Study:
    """Returns a study document whose recipes may be imported: see ``admit_beside``.

    Raises:
        StudyRefused: one line per problem.
        PolicyRefused: a wheel beside it has a recipe's digest and is no recipe's.
    """
    study = read_study_file(path)
    admit_beside(study, path.parent)
    return study


def admit_beside(study: Study, folder: Path) -> None:
    """Lets the recipes of a study be imported where no site policy decides: the study is followed.

    A wheel of the study's digest that lies beside its document says which files a package must
    have; without it the package's own RECORD does, and the digest stays unchecked. What is not
    installed is left: it is refused when it is needed.
    """
    wheels = None
    for package in study.recipes:
        if wheels is None:
            wheels = wheels_in(folder)
        if package.sha256 in wheels:
            package.attach(_required(package, *wheels[package.sha256]))
            continue
        with suppress(PolicyRefused):
            package.attach(files_as_installed(package))


def recipe_notes(study: Study) -> Iterator[tuple[RecipePackage, str | None]]:
    """Yields each package, and what keeps it from being used here; None where nothing does."""
    for package in study.recipes:
        try:
            if not package.is_at_hand:
                files_as_installed(package)
            require_installed(package)
        except PolicyRefused as error:
            yield package, str(error)
        else:
            yield package, None


def _required(package: RecipePackage, wheel: Path, data: bytes) -> RecipeFiles:
    return RecipeFiles(files=files_in_wheel(data, package, wheel.name), of_wheel=True)


def wheels_in(folder: Path) -> Mapping[str, tuple[Path, bytes]]:
    """Returns the wheels that lie in a folder, and their bytes, by their SHA-256."""
    read = [(path, path.read_bytes()) for path in sorted(folder.glob("*.whl"))]
    return {digest(data): (path, data) for path, data in read}
