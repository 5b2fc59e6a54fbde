"""Recipes: networks, transforms and losses of a hospital's or consortium's own, by name alone.

A study names a package by distribution, version and the digest of its wheel, and what it takes
from it as ``acme-recipes:TinyNet``, with plain arguments. No code is in a study: each hospital
installs the package itself, and its policy says which it allows. Here is only the form; what is
installed is compared, imported and built in ``pipelines.recipes``.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from protocol.errors import PolicyRefused
from protocol.study.frozen_model import FrozenModel

_DISTRIBUTION = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
Distribution: TypeAlias = Annotated[
    str, StringConstraints(pattern=rf"^{_DISTRIBUTION}$", max_length=64)
]
_NAME = rf"^{_DISTRIBUTION}:[A-Za-z][A-Za-z0-9_]{{0,63}}$"
_MOST_LETTERS, _MOST_ITEMS, _MOST_ARGUMENTS = 200, 64, 32


def _is_name(value: Any) -> Any:
    if not (isinstance(value, str) and len(value) <= 128 and re.fullmatch(_NAME, value)):
        raise PydanticCustomError(
            "recipe", "a recipe's name is its package and its own, as in acme-recipes:TinyNet", {}
        )
    return value


def _is_argument(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > _MOST_ITEMS or not all(map(_is_plain, items)):
        raise PydanticCustomError(
            "recipe",
            "an argument of a recipe is a truth value, a finite number, a text of {letters} "
            "letters at most, or a list of up to {items} of them",
            {"letters": _MOST_LETTERS, "items": _MOST_ITEMS},
        )
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MOST_LETTERS
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) < 2**53


#: A package, and the name of what it registers.
RecipeName: TypeAlias = Annotated[
    str,
    BeforeValidator(_is_name),
    Field(json_schema_extra={"pattern": _NAME, "maxLength": 128}),
]
Plain: TypeAlias = StrictBool | StrictInt | StrictFloat | str
#: An argument: a truth value, a number, a text, or a short list of them.
Argument: TypeAlias = Annotated[Plain | tuple[Plain, ...], BeforeValidator(_is_argument)]


@dataclass(frozen=True, kw_only=True)
class RecipeFiles:
    """The files that a package must have: SHA-256 by path, as they lie in the wheel.

    ``of_wheel`` is true where they were read from a wheel of the digest that the study names;
    otherwise they are what the package installed here says of itself.
    """

    files: Mapping[str, str]
    of_wheel: bool


class RecipePackage(FrozenModel):
    """A package that a study takes code from: its name, version and the digest of its wheel.

    What its files must be is no part of the study: it is attached where the wheel was found, and
    travels with the study inside one institution, never between two. Where nothing is attached,
    nothing of the package is imported.
    """

    distribution: Distribution
    version: Annotated[str, StringConstraints(pattern=r"^[0-9][0-9A-Za-z.+!_]{0,63}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    _files: RecipeFiles | None = PrivateAttr(default=None)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def is_at_hand(self) -> bool:
        """True where it is known which files the package must have."""
        return self._files is not None

    @property
    def required(self) -> RecipeFiles:
        """The files that it must have.

        Raises:
            PolicyRefused: nothing was attached: this process may not import it.
        """
        if self._files is None:
            raise PolicyRefused(
                f"recipes: {self} is not at hand here: a hospital names its wheel in "
                "policy.recipes, anybody else installs it (docs/extending.md, Write a recipe)"
            )
        return self._files

    def attach(self, found: RecipeFiles) -> None:
        """Takes what the files must be, after they were found to be this package's."""
        self._files = found

    def attach_from(self, others: Sequence["RecipePackage"]) -> None:
        """Takes what another record of the same package holds."""
        for other in others:
            if other.sha256 == self.sha256 and other._files is not None:
                self._files = other._files


class RecipeUse(FrozenModel):
    """Something that a package registers, ``_target_``, with its arguments.

    Their names and ranges are the package's own, and checked where it is installed.
    """

    model_config = ConfigDict(serialize_by_alias=True, extra="allow")
    __pydantic_extra__: dict[str, Argument] = Field(init=False)

    target: RecipeName = Field(alias="_target_")
    _package: RecipePackage | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _bounded(self) -> "RecipeUse":
        given = self.given
        if len(given) > _MOST_ARGUMENTS:
            raise ValueError(f"{len(given)} arguments, at most {_MOST_ARGUMENTS} are allowed")
        for name in given:
            if not (name.isidentifier() and name.isascii() and len(name) <= 64):
                raise ValueError(f"{name!r} is no name of an argument")
        return self

    @property
    def distribution(self) -> str:
        """The package that registers it."""
        return self.target.partition(":")[0]

    @property
    def name(self) -> str:
        """Its name in the package."""
        return self.target.partition(":")[2]

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments by name."""
        return self.__pydantic_extra__ or {}

    @property
    def package(self) -> RecipePackage:
        """The package, as the study names it.

        Raises:
            PolicyRefused: it is in no study.
        """
        if self._package is None:
            raise PolicyRefused(f"{self.target}: no study names {self.distribution} in recipes")
        return self._package

    def bind(self, package: RecipePackage) -> None:
        """Takes the package that the study names."""
        self._package = package


class RecipeLoss(RecipeUse):
    """A loss of a package's own; evaluation, counts and their bounds stay the task's."""


def recipe_problems(
    packages: Sequence[RecipePackage], uses: Mapping[str, RecipeUse]
) -> Iterator[tuple[str, str]]:
    """Yields paths and problems of names without a package, and of packages without a name."""
    known = {package.distribution: package for package in packages}
    if len(known) < len(packages):
        yield "recipes", "a distribution is named twice"
    for path, use in uses.items():
        if use.distribution not in known:
            named = ", ".join(known) or "none"
            yield (
                path,
                f"{use.target} is of a package that the study does not name: add "
                f"{use.distribution} with its version and its wheel's sha256 under recipes "
                f"(named: {named})",
            )
    taken = {use.distribution for use in uses.values()}
    for place, package in enumerate(packages):
        if package.distribution not in taken:
            yield f"recipes.{place}", f"nothing of {package.distribution} is used: leave it out"


def bind_recipes(packages: Sequence[RecipePackage], uses: Mapping[str, RecipeUse]) -> None:
    """Lets each use know its package; they have no ``recipe_problems``."""
    known = {package.distribution: package for package in packages}
    for use in uses.values():
        use.bind(known[use.distribution])
