"""A server's arrays that travel with the model, for strategies whose hospitals need them.

A slot that is sent has for each parameter a tensor ``~SLOT/PARAMETER`` beside it. So the model's
digest fixes it: in the round's context, in the log's result, in what hospitals refuse, and in what
an audit computes again. The model after the last round has none.
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from protocol.vectors.adaptive_clip import CLIP
from protocol.vectors.tensors import Layout, Tensors, flatten, unflatten

Slots = Mapping[str, NDArray[np.float64]]


def with_slots(layout: Layout, parameters: Tensors, slots: Slots, sent: Collection[str]) -> Tensors:
    """Returns a model with these slots beside its parameters, as float32; zeros where one lacks.

    >>> layout = Layout(names=("w",), shapes=((2,),))
    >>> with_slots(layout, {"w": np.ones(2, np.float32)}, {}, ["control"])["~control/w"]
    array([0., 0.], dtype=float32)
    """
    beside: dict[str, NDArray[np.float32]] = {}
    for slot in sent:
        values = slots.get(slot, np.zeros(layout.size))
        tensors = unflatten(layout, values)
        beside |= {f"~{slot}/{name}": tensor for name, tensor in tensors.items()}
    return {**parameters, **beside}


def without_slots(model: Tensors) -> Tensors:
    """Returns a model's parameters, and an adaptive clip where it has one."""
    return {name: tensor for name, tensor in model.items() if name == CLIP or name[:1] != "~"}


def slots_of(model: Tensors, sent: Collection[str]) -> dict[str, NDArray[np.float64]]:
    """Returns the (size,) slots that travel with a model; those that do not are left out."""
    found = {}
    for slot in sent:
        own = f"~{slot}/"
        tensors = {name: tensor for name, tensor in model.items() if name.startswith(own)}
        if tensors:
            found[slot] = flatten(tensors).astype(np.float64)
    return found
