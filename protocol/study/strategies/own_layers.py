"""Layers that stay with each hospital while all others are averaged.

The gradient of every step is clipped and noised over all layers together, so the own layers are
made of noised gradients too, and what they do to the common layers' gradients is paid for. The
update is 0 in the own layers, whose parameters in the global model stay the first ones.
"""

from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from protocol.study.strategies.local_steps import Floats, LocalEnd, LocalStart, OwnState
from protocol.study.strategies.training import Training
from protocol.vectors.tensors import Layout, is_in

_OWN = "layers"
#: Layers, as ``task.trained_layers`` names them: a name stands for all below it.
OwnLayers: TypeAlias = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
    Field(min_length=1, max_length=1000),
]
Chosen: TypeAlias = NDArray[np.bool_]


class KeepsLayers(Training):
    """The key of a strategy whose hospitals each keep some layers of the network."""

    own_layers: OwnLayers

    @property
    def kept_layers(self) -> tuple[str, ...]:
        """The layers of the network that stay with each hospital."""
        return self.own_layers


def chosen(layout: Layout, layers: OwnLayers) -> Chosen:
    """Returns which of the (size,) parameters belong to these layers.

    >>> chosen(Layout(names=("body.w", "head.w"), shapes=((2,), (1,))), ("head",))
    array([False, False,  True])
    """
    own = [
        np.full(int(np.prod(shape)), any(is_in(name, layer) for layer in layers))
        for name, shape in zip(layout.names, layout.shapes, strict=True)
    ]
    return np.concatenate(own) if own else np.zeros(0, dtype=bool)


def begun_with(start: LocalStart, own: Chosen) -> Floats:
    """Returns the round's global parameters with the hospital's own layers in their place."""
    return with_own(start.parameters, start.own, own)


def with_own(parameters: Floats, kept: OwnState, own: Chosen) -> Floats:
    """Returns (size,) parameters with the own layers of a state in their place, if it has them."""
    return np.where(own, kept.get(_OWN, parameters), parameters)


def kept_layers_in(training: KeepsLayers, layout: Layout, final: Floats, kept: OwnState) -> Floats:
    """Returns the final global model with the layers that a hospital kept: a personal rule."""
    return with_own(final, kept, chosen(layout, training.own_layers))


def ended_with(start: LocalStart, after: Floats, own: Chosen) -> LocalEnd:
    """Returns the end of a round: no update of the own layers, which are kept."""
    update = np.where(own, 0.0, after - start.parameters)
    return LocalEnd(update=update, own={_OWN: np.where(own, after, 0.0)})
