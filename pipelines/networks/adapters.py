"""Low-rank adapters (LoRA) beside a network's linear layers.

They are linear layers themselves, so that every engine that knows linear layers knows them.
"""

import math
from collections.abc import Iterable

from torch import Tensor, nn

from protocol.errors import StudyRefused
from protocol.study.task.adapters import Adapters
from protocol.vectors.tensors import is_in

#: Names of layers in a message.
_MAX_TOLD = 20
_ARE_NONE = ("is no linear layer and holds none", "are no linear layers and hold none")


class Adapted(nn.Module):
    """A linear layer with an adapter: base(x) + scale * up(down(x)); ``up`` starts at zeros."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base, self._scale = base, scale
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, entered: Tensor) -> Tensor:
        """Returns (..., out_features) of (..., in_features)."""
        found: Tensor = self.base(entered) + self._scale * self.up(self.down(entered))
        return found


def adapt(module: nn.Module, adapters: Adapters) -> list[str]:
    """Puts adapters beside the linear layers of a network that they name; returns their names.

    ``down`` is drawn from torch's global generator.

    Raises:
        StudyRefused: a name is neither a linear layer's nor that of layers that hold one, or the
            rank is not below a layer's input and output width.
    """
    linear = {name: layer for name, layer in module.named_modules() if type(layer) is nn.Linear}
    wrong = [each for each in adapters.layers if not any(is_in(name, each) for name in linear)]
    if wrong:
        raise StudyRefused(
            f"task.adapters.layers: {' and '.join(map(repr, wrong))} {_ARE_NONE[len(wrong) > 1]}; "
            f"there are {told(linear) or 'none'}"
        )
    chosen = [name for name in linear if any(is_in(name, named) for named in adapters.layers)]
    for name in chosen:
        layer = linear[name]
        if adapters.rank >= min(layer.in_features, layer.out_features):
            raise StudyRefused(
                f"task.adapters.rank: {adapters.rank} is not below the {layer.in_features} and "
                f"{layer.out_features} numbers of layer {name!r}: train the layer itself"
            )
        place, _, short = name.rpartition(".")
        setattr(module.get_submodule(place), short, Adapted(layer, adapters.rank, adapters.scale))
    return [f"{name}.{part}" for name in chosen for part in ("down", "up")]


def told(layers: Iterable[str]) -> str:
    """Returns the names of a network's layers for a message, the last ones, its head, first."""
    names = list(dict.fromkeys(layers))[::-1]
    more = f", and {len(names) - _MAX_TOLD} more" if len(names) > _MAX_TOLD else ""
    return ", ".join(names[:_MAX_TOLD]) + more
