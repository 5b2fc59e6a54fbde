"""The choice of one network's settings out of several, by MONAI's name for it."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic_core import PydanticCustomError

from protocol.study.task.networks.network import NetworkSettings


def records_in(union: Any) -> tuple[type[NetworkSettings], ...]:
    """Returns the records of a union of tagged ones, in its order."""
    return tuple(get_args(tagged)[0] for tagged in get_args(union))


class TargetChoice:
    """Tells settings apart by ``_target_``, and refuses what is not among them, in words.

    Args:
        members: the records of settings that may be chosen.
        example: a network as a study writes it.
        recipe: the record of any network of a recipe, whose name has a colon; None where none may
            be chosen.

    Attributes:
        known: the record of settings by MONAI's name.
    """

    def __init__(
        self,
        members: Iterable[type[NetworkSettings]],
        example: str,
        recipe: type[NetworkSettings] | None = None,
    ) -> None:
        self.known: dict[str, type[NetworkSettings]] = {
            name: member
            for member in members
            for name in get_args(member.model_fields["target"].annotation)
        }
        self._example, self._recipe = {"example": example}, recipe

    def known_or_refused(self, value: Any) -> Any:
        """Returns the value; refuses a network that is none of these."""
        if isinstance(value, NetworkSettings):
            return value
        if not isinstance(value, dict):
            raise PydanticCustomError("network", "a network is written {example}", self._example)
        target = value.get("_target_")
        if target is None and "name" in value:
            raise PydanticCustomError("network", "name is written _target_, as MONAI has it", {})
        of_recipe = self._recipe is not None and ":" in str(target)
        if isinstance(target, str) and (target in self.known or of_recipe):
            return value
        recipes = "" if self._recipe is None else ", or a recipe's, as in acme-recipes:TinyNet"
        raise PydanticCustomError(
            "network",
            "_target_ is one of {known}{recipes}; no other is built{hint}",
            {"known": ", ".join(self.known), "recipes": recipes, "hint": self._hint(target)},
        )

    def record_of(self, value: Any) -> str:
        """Returns the name of the record of a network's settings."""
        if not isinstance(value, dict):
            return type(value).__name__
        record = self.known.get(str(value.get("_target_")), self._recipe)
        return str(getattr(record, "__name__", None))

    def _hint(self, target: object) -> str:
        if not isinstance(target, str):
            return ""
        short = target.rsplit(".", 1)[-1]
        if short in self.known:
            return f": write {short}, without where it is from"
        close = difflib.get_close_matches(target, self.known, n=1, cutoff=0.7)
        return f"; did you mean {close[0]!r}?" if close else ""
