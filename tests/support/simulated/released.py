"""A simulated run whose model is the study's own network, with its snapshot signed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import Tensors
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import TABLE_STUDY

_WEIGHT, _BIAS = "output.weight", "output.bias"


def released_study(more: str = "") -> Study:
    """Returns a study of logistic regression, whose model is released under terms.

    ``more`` is added to its document.
    """
    terms = "{licence: CC-BY-NC-4.0, permitted_use: Research on hospitals that do not exist.}"
    text = TABLE_STUDY.replace("hidden_channels: [4]", "hidden_channels: []")
    return read_study(f"{text}release: {terms}\n{more}")


class NetworkTrainer(LinearTrainer):
    """Logistic regression by hand, under the names that MONAI's network has."""

    def initial_model(self) -> Tensors:
        made = super().initial_model()
        return {_WEIGHT: made["weight"][None], _BIAS: made["bias"]}

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[NDArray[np.int64], ...]:
        return super().counts(_by_hand(model), None if own is None else _by_hand(own))

    def _logits(self, model: Tensors, records: Records) -> NDArray[np.float64]:
        return super()._logits(_by_hand(model), records)


def _by_hand(model: Tensors) -> Tensors:
    if _WEIGHT not in model:
        return model
    return {"weight": model[_WEIGHT][0], "bias": model[_BIAS]}


def make_released(folder: Path, runs: tuple[str, ...] = ("run-1", "run-2")) -> Path:
    """Trains one study some times; returns the folder of runs."""
    federation = Federation(folder, released_study(), trainer=NetworkTrainer)
    for run in runs:
        federation.run_id = run
        federation.invitation = federation.invitation_of(run)
        federation.run()
    federation.close()
    return federation.workspace.root
