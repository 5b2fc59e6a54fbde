"""A recipe's loss in a task's place: mapped over records, and differentiated by torch.

The recipe gives the loss of one record; that records are independent follows from how it is
called. What it is learned for does not change: scores, counts and their bounds are the task's.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.recipes.loading import loss_of, recipe_failures
from pipelines.tasks.task import REGISTERS, TaskDefinition
from protocol.study.task.recipes import RecipeLoss

#: Of one record's (outputs, ...) outputs and its label, a scalar.
RecordLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def with_loss(definition: TaskDefinition, named: RecipeLoss) -> TaskDefinition:
    """Returns a task that learns by a recipe's loss.

    Raises:
        StudyRefused: the recipe has no such loss, or other arguments.
        PolicyRefused: the recipe is not at hand.
    """
    recipe, settings = loss_of(named)
    with recipe_failures():
        each: RecordLoss = recipe.build(settings)

    def loss(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        losses = torch.func.vmap(each)(outputs, labels)
        if losses.shape != weights.shape:
            raise ValueError(f"a loss of one record is one number, not {tuple(losses.shape[1:])}")
        return torch.where(weights > 0, losses * weights, 0.0).sum()

    def errors(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        rows = len(outputs)
        found = torch.func.vmap(torch.func.grad(each))(*_filled_up(outputs, labels))[:rows]
        at = weights.reshape(rows, *[1] * (found.dim() - 1))
        return torch.where(at > 0, found * at, 0.0)

    return replace(definition, loss=loss, errors=errors, couples=False)


def _filled_up(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns both with records of zeros behind, so that their numbers fill whole registers."""
    each = REGISTERS // math.gcd(outputs[0].numel(), REGISTERS)
    missing = -len(outputs) % each
    return _padded(outputs, missing), _padded(labels, missing)


def _padded(rows: Tensor, missing: int) -> Tensor:
    return functional.pad(rows, [0, 0] * (rows.dim() - 1) + [0, missing])
