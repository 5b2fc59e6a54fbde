"""Imports a recipe's package, after its files were compared, and looks up what it registers.

Rules:

1. Only what a study names is imported, in a process where its files are attached
   (``RecipePackage.required``).
2. A module's source is compared with the wheel's digest as it is read, and then compiled: what
   was compared is what runs, also of a module that is imported later. Files that Python compiled
   before are never used.
3. One wheel of a distribution in a process.
4. What fails in a recipe's code becomes a refusal that names the recipe, the place in its code
   and the kind of error, never its words, which may hold a record: ``recipe_failures``.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeVar

from pydantic import ValidationError

from pipelines.recipes.installed import entry_point, require_installed
from pipelines.recipes.recipe import (
    LossRecipe,
    NetworkRecipe,
    Recipe,
    RecipeSettings,
    TransformRecipe,
)
from pipelines.recipes.wheel import import_name
from protocol.encoding import digest
from protocol.errors import FederationError, PolicyRefused, StudyRefused
from protocol.study.task.recipes import RecipePackage, RecipeUse

Registered = TypeVar("Registered", NetworkRecipe, TransformRecipe, LossRecipe)


@dataclass(kw_only=True)
class _Loaded:
    """A package, the finder of its modules, and what it registers once that was imported."""

    package: RecipePackage
    finder: MetaPathFinder
    recipe: Recipe | None = None


#: What this process has imported or is importing, by the name of the import.
_LOADED: dict[str, _Loaded] = {}


def network_of(use: RecipeUse) -> tuple[NetworkRecipe, RecipeSettings]:
    """Returns a recipe's network and its settings: see ``_registered``."""
    return _registered(use, _recipe(use.package).networks, "networks")


def transform_of(use: RecipeUse) -> tuple[TransformRecipe, RecipeSettings]:
    """Returns a recipe's transform and its settings: see ``_registered``."""
    return _registered(use, _recipe(use.package).transforms, "transforms")


def loss_of(use: RecipeUse) -> tuple[LossRecipe, RecipeSettings]:
    """Returns a recipe's loss and its settings: see ``_registered``."""
    return _registered(use, _recipe(use.package).losses, "losses")


@contextmanager
def recipe_failures() -> Iterator[None]:
    """Turns what a recipe's code raises into a refusal that names it; all else passes.

    Raises:
        StudyRefused: an error passed through a recipe's code.
    """
    try:
        yield
    except FederationError:
        raise
    except Exception as error:
        found = _place_in_recipe(error)
        if found is None or isinstance(error, MemoryError):
            raise
        package, place, kind = found
        raise StudyRefused(
            f"recipes: {package} failed with {kind} in {place}: mend it, and name "
            "the new version and wheel"
        ) from None


def _registered(
    use: RecipeUse, registered: Mapping[str, Registered], kind: str
) -> tuple[Registered, RecipeSettings]:
    """Returns what a package registers under a name, and the study's arguments, checked.

    Raises:
        StudyRefused: it registers no such name, or the arguments are not its own.
        PolicyRefused: the package is not at hand, or not as in its wheel.
    """
    if use.name not in registered:
        known = ", ".join(sorted(registered)) or "none"
        raise StudyRefused(f"{use.target}: {use.package} registers these {kind}: {known}")
    found = registered[use.name]
    with recipe_failures():
        try:
            return found, found.settings.model_validate(dict(use.given))
        except ValidationError as error:
            told = [
                f"{'.'.join(map(str, each['loc'])) or 'its arguments'}: {each['msg']}"
                for each in error.errors(include_url=False, include_context=False)
            ]
            raise StudyRefused(f"{use.target}: {'; '.join(told)}") from error


def _recipe(package: RecipePackage) -> Recipe:
    """Returns what a package registers; it is imported once."""
    loaded = _LOADED.get(import_name(package.distribution))
    if loaded is None or loaded.recipe is None:
        return _load(package)
    if _modules(loaded.package) != _modules(package):
        raise PolicyRefused(
            f"recipes: {loaded.package} is at work in this process already, and {package} is "
            "another: begin a new one"
        )
    return loaded.recipe


def _modules(package: RecipePackage) -> dict[str, str]:
    """Returns the digests of the sources that are imported."""
    inside = f"{import_name(package.distribution)}/"
    files = package.required.files
    return {path: found for path, found in files.items() if path.startswith(inside)}


def _load(package: RecipePackage) -> Recipe:
    folder = require_installed(package)
    name = import_name(package.distribution)
    if name in sys.modules:
        raise PolicyRefused(
            f"recipes: {name} was imported in this process before it was compared: begin a new one"
        )
    module, _, attribute = entry_point(package).partition(":")
    loaded = _Loaded(package=package, finder=_Finder(name, folder, package.required.files))
    sys.meta_path.insert(0, loaded.finder)
    _LOADED[name] = loaded
    try:
        with recipe_failures():
            found = getattr(importlib.import_module(module), attribute, None)
        if not isinstance(found, Recipe):
            raise StudyRefused(
                f"recipes: {package}: {module}:{attribute} is no pipelines.recipes.recipe.Recipe"
            )
    except BaseException:
        forget(package.distribution)
        raise
    loaded.recipe = found
    return found


def forget(distribution: str) -> None:
    """Drops a package from this process: its modules, and what is known of it."""
    name = import_name(distribution)
    loaded = _LOADED.pop(name, None)
    if loaded is not None:
        sys.meta_path.remove(loaded.finder)
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[module]


class _Finder(MetaPathFinder):
    """Finds the modules of one package, in one folder, by the files that it must have."""

    def __init__(self, name: str, folder: Path, files: Mapping[str, str]) -> None:
        self._name, self._folder, self._files = name, folder, files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the spec of a module of the package; None of others.

        Raises:
            ModuleNotFoundError: no file of the package is this module.
        """
        if fullname.partition(".")[0] != self._name:
            return None
        place = fullname.replace(".", "/")
        for file, is_package in ((f"{place}/__init__.py", True), (f"{place}.py", False)):
            if file in self._files:
                whole = self._folder / file
                loader = _ComparedSource(fullname, str(whole), self._files[file])
                return spec_from_file_location(
                    fullname,
                    whole,
                    loader=loader,
                    submodule_search_locations=[str(whole.parent)] if is_package else None,
                )
        raise ModuleNotFoundError(f"no module named {fullname!r}", name=fullname)


class _ComparedSource(SourceFileLoader):
    """Compiles a module's source after it was compared; compiled files are not looked for."""

    def __init__(self, fullname: str, path: str, expected: str) -> None:
        super().__init__(fullname, path)
        self._expected = expected

    def get_code(self, fullname: str) -> CodeType:
        """Returns the module's code.

        Raises:
            PolicyRefused: the source is not the wheel's.
        """
        source = Path(self.path).read_bytes()
        if digest(source) != self._expected:
            raise PolicyRefused(f"recipes: {self.path} was changed: install the wheel again")
        code: CodeType = compile(source, self.path, "exec", dont_inherit=True)
        return code


def _place_in_recipe(error: BaseException) -> tuple[RecipePackage, str, str] | None:
    """Returns the recipe through whose code an error passed, the innermost place, and its kind.

    The error may be the cause of the one that came here: MONAI raises another.
    """
    found = None
    chain: BaseException | None = error
    while chain is not None:
        trace = chain.__traceback__
        while trace is not None:
            name = str(trace.tb_frame.f_globals.get("__name__", ""))
            loaded = _LOADED.get(name.partition(".")[0])
            if loaded is not None:
                found = (loaded.package, f"{name}, line {trace.tb_lineno}", type(chain).__name__)
            trace = trace.tb_next
        chain = chain.__cause__
    return found
