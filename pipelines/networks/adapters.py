"""Low-rank adapters beside a network's linear layers.

They are linear layers themselves, so that every engine that knows linear layers knows them.
"""

import math

from torch import Tensor, nn

from protocol.errors import StudyRefused
from protocol.study.task.adapters import Adapters


class Adapted(nn.Module):
    """A linear layer, and what two smaller ones add to it: nothing, at first."""

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

    They start from torch's generator.

    Raises:
        StudyRefused: a name is no linear layer's, nor of layers that hold one; or the rank is
            no smaller than a layer.
    """
    linear = {name: layer for name, layer in module.named_modules() if type(layer) is nn.Linear}
    for named in adapters.layers:
        if not any(_is_in(name, named) for name in linear):
            raise StudyRefused(
                f"task.adapters.layers: {named!r} is no linear layer and holds none; there are "
                f"{', '.join(list(linear)[:20]) or 'none'}"
            )
    chosen = [name for name in linear if any(_is_in(name, named) for named in adapters.layers)]
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


def _is_in(layer: str, named: str) -> bool:
    return layer == named or layer.startswith(f"{named}.")
