"""Every network that a study may name."""

import difflib
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from protocol.study.task.networks.classifiers import Classifiers
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.recipe_network import RecipeNetwork
from protocol.study.task.networks.segmenters import Segmenters

_BuiltIn: TypeAlias = Classifiers | Segmenters
_Members: TypeAlias = _BuiltIn | Annotated[RecipeNetwork, Tag("RecipeNetwork")]

#: The settings of every network by MONAI's name for it.
NETWORKS: dict[str, type[NetworkSettings]] = {
    name: member
    for member in (get_args(tagged)[0] for tagged in get_args(_BuiltIn))
    for name in get_args(member.model_fields["target"].annotation)
}


_EXAMPLE = {"example": "{_target_: FullyConnectedNet, hidden_channels: [8]}"}


def _known_or_refused(value: Any) -> Any:
    """Refuses a network that is not on the list, in words."""
    if isinstance(value, NetworkSettings):
        return value
    if not isinstance(value, dict):
        raise PydanticCustomError("network", "a network is written {example}", _EXAMPLE)
    target = value.get("_target_")
    if target is None and "name" in value:
        raise PydanticCustomError("network", "name is written _target_, as MONAI has it", {})
    if isinstance(target, str) and (target in NETWORKS or ":" in target):
        return value
    raise PydanticCustomError(
        "network",
        "_target_ is one of {known}, or a recipe's, as in acme-recipes:TinyNet; no other is "
        "built{hint}",
        {"known": ", ".join(NETWORKS), "hint": _hint(target)},
    )


def _hint(target: object) -> str:
    if not isinstance(target, str):
        return ""
    short = target.rsplit(".", 1)[-1]
    if short in NETWORKS:
        return f": write {short}, without where it is from"
    close = difflib.get_close_matches(target, NETWORKS, n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def _record_of(value: Any) -> str:
    """Returns the name of the record of a network's settings."""
    if not isinstance(value, dict):
        return type(value).__name__
    target = str(value.get("_target_"))
    return NETWORKS[target].__name__ if target in NETWORKS else RecipeNetwork.__name__


#: The network of a study, told apart by ``_target_``.
Network: TypeAlias = Annotated[
    Annotated[_Members, Discriminator(_record_of)], BeforeValidator(_known_or_refused)
]


def networks_for(cohort: str, gives: str = "scores") -> tuple[str, ...]:
    """Returns the names of the networks that take a kind of cohort, and give scores or masks.

    >>> networks_for("table")
    ('FullyConnectedNet',)
    """
    return tuple(
        name
        for name, member in NETWORKS.items()
        if (member.cohort, member.gives) == (cohort, gives)
    )
