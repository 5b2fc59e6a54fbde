"""Trains a network on one hospital's own records, as if there were no federation.

Nothing is clipped and nothing noised, for nothing leaves: it is what the hospital
could have without the others. Learning rate and length are chosen on a fifth of
the training patients; then all of them are trained on.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipelines.records import Records
from pipelines.tasks.task import TaskDefinition

#: Learning rates of Adam that are tried.
RATES = (0.03, 0.003)
MAX_EPOCHS = 200
#: Passes over the records without a better loss, after which no more are made.
PATIENCE = 20
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class OwnTraining:
    """The settings of the training: Adam's learning rate, and passes over the training records."""

    learning_rate: float
    epochs: int
    patients: int


def train_alone(
    module: nn.Module, learned: TaskDefinition, records: Records, seed: int
) -> OwnTraining:
    """Trains a network in place; returns how.

    Args:
        module: with the parameters to begin from.
        learned: what it learns.
        records: the training records; each patient counts once, as the mean of its records.
        seed: of the order of records and of who is held out. Guarantee: equal arguments
            give equal parameters, on one machine.

    Source: Kingma and Ba 2015 (1412.6980).
    """
    torch.set_num_threads(1)  # so that sums have one order
    order = np.random.default_rng(seed).permutation(records.num_patients)
    held = np.isin(records.patients, order[: max(1, len(order) // 5)])
    start, learner = copy.deepcopy(module.state_dict()), _Learner(module, learned)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tried = []
        for rate in RATES:
            module.load_state_dict(start)
            train, rest = records.take(~held), records.take(held)
            loss, epochs = _best_length(learner, rate, train, rest, seed)
            tried.append((loss, epochs, rate))
        _, epochs, rate = min(tried)
        module.load_state_dict(start)
        training = _training(learner, rate, records, seed)
        for _ in range(epochs):
            next(training)
    return OwnTraining(learning_rate=rate, epochs=epochs, patients=records.num_patients)


def _best_length(
    learner: "_Learner", rate: float, records: Records, held: Records, seed: int
) -> tuple[float, int]:
    """Returns the smallest loss on the patients held out, and after how many passes it was met."""
    best, at = learner.mean_loss(held), 0
    training = _training(learner, rate, records, seed)
    for epoch in range(1, MAX_EPOCHS + 1):
        next(training)
        loss = learner.mean_loss(held)
        if loss < best:
            best, at = loss, epoch
        if epoch - at >= PATIENCE:
            break
    return best, at


def _training(learner: "_Learner", rate: float, records: Records, seed: int) -> Iterator[None]:
    """Yields after each pass over the records."""
    random, weights = np.random.default_rng(seed), _weights(records)
    adam = _Adam(list(learner.module.parameters()), rate)
    learner.module.train()
    while True:
        order = random.permutation(len(records))
        for begin in range(0, len(order), _BATCH):
            places = order[begin : begin + _BATCH]
            loss = learner.summed(records, weights, places) / weights[places].sum()
            adam.step(torch.autograd.grad(loss, adam.parameters))
        yield


class _Adam:
    """Adam with its usual constants; torch's own takes ten seconds to import."""

    def __init__(self, parameters: list[nn.Parameter], rate: float) -> None:
        self.parameters, self._rate, self._steps = parameters, rate, 0
        self._means = [torch.zeros_like(p) for p in parameters]
        self._squares = [torch.zeros_like(p) for p in parameters]

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        self._steps += 1
        rate = self._rate * math.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        with torch.no_grad():
            moments = zip(self.parameters, gradients, self._means, self._squares, strict=True)
            for parameter, gradient, mean, square in moments:
                mean.lerp_(gradient, 0.1)
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                parameter.addcdiv_(mean, square.sqrt() + 1e-8, value=-rate)


@dataclass(frozen=True)
class _Learner:
    """A network and what it learns."""

    module: nn.Module
    learned: TaskDefinition

    def mean_loss(self, records: Records) -> float:
        """Returns the mean loss of the patients."""
        weights, total = _weights(records), 0.0
        with torch.no_grad():
            for begin in range(0, len(records), _BATCH):
                places = np.arange(begin, min(begin + _BATCH, len(records)))
                total += float(self.summed(records, weights, places))
        return total / float(weights.sum())

    def summed(
        self, records: Records, weights: torch.Tensor, places: NDArray[np.int64]
    ) -> torch.Tensor:
        """Returns the weighted sum of the losses of the records at these places."""
        outputs = self.module(torch.from_numpy(records.features[places]))
        return self.learned.loss(outputs, torch.from_numpy(records.labels[places]), weights[places])


def _weights(records: Records) -> torch.Tensor:
    """Returns each record's part of its patient."""
    counts = np.bincount(records.patients, minlength=records.num_patients)
    return torch.from_numpy((1 / counts[records.patients]).astype(np.float32))
