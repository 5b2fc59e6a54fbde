"""The forms of a study that are compared, and the bytes that cross in each, measured."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.views.one_run.rows import rounds_of
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.study import Communication
from protocol.study.study_file import read_study
from protocol.vectors.tensors import Tensors
from silos.training.randomness import Entropy, RoundInput
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import TABLE_STUDY

#: A study as it is, and three that differ from it by their communication alone.
FORMS: Mapping[str, Communication | None] = {
    "as it is": None,
    "32 bits": Communication(ring_bits=32),
    "16 bits": Communication(ring_bits=16),
    "16 bits, half of the coordinates": Communication(ring_bits=16, coordinates=0.5),
}
_SITES = ("east", "north", "south", "west")


class Sized(LinearTrainer):
    """Sends an update of as many parameters as it is told; learns nothing."""

    parameters: int

    def initial_model(self) -> Tensors:
        return {
            "bias": np.zeros(1, dtype=np.float32),
            "weight": np.zeros(self.parameters - 1, dtype=np.float32),
        }

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        random = np.random.default_rng(given.number)
        return LocalEnd(update=random.normal(size=self.parameters) / self.parameters**0.5)

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[np.ndarray, ...]:
        return super().counts({**model, "weight": np.zeros(self._width, np.float32)}, own)

    @property
    def _width(self) -> int:
        return int(self._train.features.shape[1])


def measured(parameters: int, sites: int, form: Communication | None) -> tuple[int, int]:
    """Returns what one hospital sends and is sent in a training round, in the mean of all.

    A whole run of the protocol, with as many hospitals and parameters: every message and vector of
    its second and third round is counted, by the coordinator.
    """
    text = TABLE_STUDY.replace("rounds: 2", "rounds: 3").replace("threshold: 3, ", "")
    lines = [line for line in text.splitlines() if not _is_left_out(line, sites)]
    privacy = "privacy: {mode: none, sampling_rate: 1.0}"
    lines = [privacy if line.startswith("privacy") else line for line in lines]
    study = read_study("\n".join(lines) + "\n").replaced(communication=form)
    trainer = type("Sent", (Sized,), {"parameters": parameters})
    with tempfile.TemporaryDirectory() as folder:
        federation = Federation(Path(folder), study, trainer=trainer)
        federation.run()
        with federation.store.read() as session:
            counted = [
                conduct_from(row.conduct_json).traffic for row in rounds_of(session, "run-1")
            ]
    rounds = [list(each.values()) for each in counted[1:3]]
    down, up = np.mean(rounds, axis=(0, 1))
    return round(float(up)), round(float(down))


def _is_left_out(line: str, sites: int) -> bool:
    return any(f"name: {site}," in line for site in _SITES[sites:])
