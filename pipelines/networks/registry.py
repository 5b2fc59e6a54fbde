"""Every network that is built by one function, by the record of its settings.

The records are in ``protocol.study.task.networks``. A network of several (``settings.parts``) is
made of these.
"""

from collections.abc import Mapping

from pipelines.networks.architecture import Architecture
from pipelines.networks.classifiers import CLASSIFIERS
from pipelines.networks.segmenters import SEGMENTERS
from pipelines.recipes.loading import network_of
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.recipe_network import RecipeNetwork

ARCHITECTURES: Mapping[type[NetworkSettings], Architecture] = {**CLASSIFIERS, **SEGMENTERS}


def architecture_of(network: NetworkSettings) -> Architecture:
    """Returns how a study's network is built: ours, or a recipe's.

    Raises:
        StudyRefused: the recipe has no such network, or other arguments.
        PolicyRefused: the recipe is not at hand.
    """
    if not isinstance(network, RecipeNetwork):
        return ARCHITECTURES[type(network)]
    recipe, settings = network_of(network)
    return Architecture(
        build=lambda _, shape, outputs: recipe.build(settings, shape, outputs),
        engine=recipe.engine,
    )


def engine_of(settings: NetworkSettings) -> str:
    """Returns the name of the fastest right engine of a network; of several, that of the first.

    The first is the image's, beside which the table's costs nothing: engines that are right for
    the image's layers are for linear ones.
    """
    return architecture_of(settings.parts[0]).engine
