"""Repairs of networks as MONAI makes them, before per-patient gradients can be had."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def repaired(module: nn.Module) -> nn.Module:
    """Returns the network with nothing that mixes records, works in place, or is never used.

    * Batch norm mixes the records of a batch: Opacus' ``ModuleValidator.fix`` puts group norm in
      its place, of up to 32 groups.
    * Activations work on a new tensor.
    * A transformer's norms for cross attention, which MONAI makes and does not use, are taken out:
      the loss reaches no parameter of theirs.
    """
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment]
        if getattr(layer, "with_cross_attention", None) is False:
            layer.register_module("norm_cross_attn", nn.Identity())
    if any(isinstance(layer, _BatchNorm) for layer in module.modules()):
        from opacus.validators import ModuleValidator

        module = ModuleValidator.fix(module)
    return module
