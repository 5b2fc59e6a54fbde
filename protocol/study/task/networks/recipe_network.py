"""A network that a recipe registers: its name and arguments."""

from pydantic import ConfigDict, Field

from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.recipes import RecipeName, RecipeUse


class RecipeNetwork(RecipeUse, NetworkSettings):
    """A network of a package's own; which cohort and task it takes is found when it is built."""

    model_config = ConfigDict(serialize_by_alias=True, extra="allow")

    target: RecipeName = Field(alias="_target_")
