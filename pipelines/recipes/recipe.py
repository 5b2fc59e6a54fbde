"""Records by which a package registers networks, transforms and losses: for recipe authors.

A package has one entry point of the group ``collegium.recipes``, which names a ``Recipe``::

    [project.entry-points."collegium.recipes"]
    recipe = "acme_recipes:RECIPE"

Promised to its author: these four records and ``RecipeSettings`` keep their names and meanings
within a major version. A study writes ``acme-recipes:TinyNet`` and the fields of its settings.

Asked of its author, and tried when a hospital joins: no layer mixes records or draws random
numbers, every parameter is reached by the loss, what comes out is finite, and a transform draws
by the generator that MONAI gives it. See docs/extending.md, Write a recipe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from protocol.study.frozen_model import FrozenModel


class RecipeSettings(FrozenModel):
    """Base of the settings of what a recipe registers: one field for each argument, with a range.

    Other arguments are refused, as are numbers that are not finite.
    """


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    r"""A network.

    Attributes:
        settings: its arguments.
        build: of the settings, the shape of a record ((width,) of a table, (1, sides ...) of an
            image) and the number of outputs, the module: it maps (records, \*shape) float32 to
            (records, outputs), or (records, outputs, sides ...) for a segmentation. Its
            parameters follow from torch's generator, which the study's seed sets.
        engine: what computes its gradients is tried from here on: ``layers`` fits most.
    """

    settings: type[RecipeSettings]
    build: Callable[[Any, tuple[int, ...], int], nn.Module]
    engine: str = "layers"


@dataclass(frozen=True, kw_only=True)
class TransformRecipe:
    """A random transform of training images.

    Attributes:
        settings: its arguments.
        build: of the settings and the keys (``image``; ``mask`` behind it where labels are masks
            and it is spatial), a MONAI dictionary transform, of (1, sides ...) tensors. All that
            it draws comes from its own ``R``.
        is_spatial: whether it moves pixels, so that masks must move with them.
    """

    settings: type[RecipeSettings]
    build: Callable[[Any, tuple[str, ...]], Any]
    is_spatial: bool = False


@dataclass(frozen=True, kw_only=True)
class LossRecipe:
    """A loss in place of a task's own.

    Attributes:
        settings: its arguments.
        build: of the settings, a function of one record's (outputs, ...) outputs and its label
            (a number, or what the task has instead) that gives a scalar. It is mapped over
            records by ``torch.func.vmap`` and differentiated by torch: a record's loss cannot
            depend on another's.
    """

    settings: type[RecipeSettings]
    build: Callable[[Any], Callable[[Tensor, Tensor], Tensor]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a package registers, by the names that studies write."""

    networks: Mapping[str, NetworkRecipe] = field(default_factory=dict)
    transforms: Mapping[str, TransformRecipe] = field(default_factory=dict)
    losses: Mapping[str, LossRecipe] = field(default_factory=dict)
