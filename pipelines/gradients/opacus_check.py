"""Opacus' opinion of a network, of its per-patient gradients and of a plan's epsilon.

Opacus computes nothing of a training step. Once, when a hospital joins, it is asked whether
per-patient gradients of the network can be had at all, whether those of the engine in use
are its own, and what the plan costs by an accountant that shares no code with
``compliance.privacy.accounting``.

Sources: Yousefpour et al. 2021 (2109.12298), Opacus; Gopi et al. 2021 (2106.02848), the
accountant: numerical composition of privacy loss random variables.
"""

import copy
import logging
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.gradients.device import is_of_device, processor
from pipelines.gradients.engine_choice import (
    CANNOT,
    TOLERANCE,
    Loss,
    Sample,
    distance,
    engine_on,
    moved_copy,
    one_backward_per_record,
)
from pipelines.tasks.task import TaskDefinition
from protocol.errors import StudyRefused

log = logging.getLogger("collegium.silo")


@dataclass(frozen=True, kw_only=True)
class Distances:
    """The distances of an engine's gradients from two others', as parts of their norms.

    ``opacus`` is None where Opacus' hooks cannot compute the network's.
    """

    one_backward: float
    opacus: float | None


def versions() -> dict[str, str]:
    """Returns the versions of Opacus and torch that compute here."""
    return {"opacus": version("opacus"), "torch": torch.__version__}


def refuse_unfit(module: nn.Module) -> None:
    """Refuses a network that Opacus' ``ModuleValidator`` finds unfit for per-patient gradients.

    Raises:
        StudyRefused: a layer mixes the patients of a batch, or Opacus does not know it.
    """
    from opacus.validators import ModuleValidator

    found = ModuleValidator.validate(copy.deepcopy(module).train(), strict=False)
    if found:
        raise StudyRefused(
            f"task.network: Opacus {version('opacus')} finds it unfit: {found[0]}; "
            "take a network of docs/study.md"
        )


def distances(
    module: nn.Module,
    engine: str,
    form: tuple[int, ...],
    learned: TaskDefinition,
    device: torch.device | None = None,
) -> Distances:
    """Returns how far an engine is from one backward per record, and from Opacus' hooks.

    Args:
        module: the network; it is left as it was.
        engine: a name of ``ENGINES``.
        form: the form of one record's features.
        learned: whose loss's gradients are compared.
        device: where the engine computes; the others compute on the processor, as it does
            when None.

    Raises:
        StudyRefused: one of them is more than ``TOLERANCE``.
    """
    drawn, sample = moved_copy(module), Sample.drawn(form, learned)
    theirs = opacus_gradients(drawn, sample, learned.loss)
    alone = one_backward_per_record(drawn, sample, learned.loss)
    own = engine_on(device or processor(), engine, drawn, learned.errors)
    found = Distances(
        one_backward=distance(own, sample, alone),
        opacus=None if theirs is None else distance(own, sample, theirs),
    )
    for name, apart in (("one backward per record", found.one_backward), ("Opacus", found.opacus)):
        if apart is not None and not apart <= TOLERANCE:
            raise StudyRefused(
                f"task.network: the gradients of engine {engine!r} are {apart:.1e} of their norm "
                f"away from {name}: more than {TOLERANCE:g}; take a network of docs/study.md"
            )
    return found


def opacus_gradients(module: nn.Module, sample: Sample, loss: Loss) -> NDArray[np.floating] | None:
    """Returns the (records, parameters) gradients that Opacus' hooks compute.

    None where they cannot: a network adds in place to what a layer gave, has parameters outside
    its layers or beside frozen ones, or a layer (a transposed convolution) that its hooks do not
    go with.
    """
    from opacus.grad_sample import GradSampleModule

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about hooks that Opacus sets
        try:
            hooked = GradSampleModule(copy.deepcopy(module).train(), loss_reduction="sum")
            outputs = hooked(sample.features)
            torch.autograd.backward(loss(outputs, sample.labels, outputs.new_ones(len(outputs))))
        except CANNOT as error:
            if is_of_device(error):
                raise
            log.info("Opacus' hooks do not compute this network: %s", type(error).__name__)
            return None
    parts = [p.grad_sample.flatten(1) for _, p in sorted(hooked._module.named_parameters())]
    return np.asarray(torch.cat(parts, dim=1).detach().numpy())


@lru_cache(maxsize=8)
def opacus_epsilon(
    *, noise_multiplier: float, sampling_rate: float, steps: int, delta: float, error: float
) -> float:
    """Returns Opacus' upper bound of what so many steps of sampled Gaussian noise cost.

    By its ``PRVAccountant``; about twice ``error`` above the true epsilon at most.
    """
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(noise_multiplier, sampling_rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta, eps_error=error))
