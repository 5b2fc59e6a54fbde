"""Every network that a study may name."""

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Discriminator, Tag

from protocol.study.task.networks.choice import TargetChoice, records_in
from protocol.study.task.networks.classifiers import Classifiers
from protocol.study.task.networks.fusions import Fusions
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.recipe_network import RecipeNetwork
from protocol.study.task.networks.segmenters import Segmenters

_BuiltIn: TypeAlias = Classifiers | Segmenters | Fusions
_Members: TypeAlias = _BuiltIn | Annotated[RecipeNetwork, Tag("RecipeNetwork")]
_CHOICE = TargetChoice(
    records_in(_BuiltIn),
    "{_target_: FullyConnectedNet, hidden_channels: [8]}",
    recipe=RecipeNetwork,
)

#: The settings of every network by MONAI's name for it; ``LateFusion`` is a sum of two of them.
NETWORKS: dict[str, type[NetworkSettings]] = _CHOICE.known

#: The network of a study, told apart by ``_target_``.
Network: TypeAlias = Annotated[
    Annotated[_Members, Discriminator(_CHOICE.record_of)], BeforeValidator(_CHOICE.known_or_refused)
]


def networks_for(cohort: str, gives: str = "scores") -> tuple[str, ...]:
    """Returns the names of the networks that take a cohort's contents, and give scores or masks.

    >>> networks_for("table"), networks_for("images with columns")
    (('FullyConnectedNet',), ('LateFusion',))
    """
    return tuple(
        name
        for name, member in NETWORKS.items()
        if (member.cohort, member.gives) == (cohort, gives)
    )
