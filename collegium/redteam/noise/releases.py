"""Releases of hospitals whose patients all have zero gradients: noise, and nothing else."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import LocalHospital, hospital_at
from collegium.redteam.harness import (
    AttackRandomness,
    Floats,
    MakeTrainer,
    canary_trainer,
    declaring,
    patient_privacy,
)
from pipelines.attacks.canaries import ChosenGradients
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import RoundInput
from silos.training.steps.cycles import cycle_matrix
from silos.training.steps.step_form import Drawn
from silos.training.trainer import Trainer
from silos.training.worker import GradientBackend

#: The most local steps of a round that are attacked.
MAX_LOCAL_STEPS = 50
#: A sampling rate at which batches are empty.
EMPTY_RATE = 1e-12
_MAX_RELEASES = 5000
_MIN_PATIENTS = 64
_MAX_PATIENTS = 100_000
_BATCH = 16  # patients a batch on average, at least, so that its size can be judged


class NoiseSample:
    """Hospitals with equal noise, and what they released: (rounds, sites, size)."""

    def __init__(
        self,
        study: Study,
        sites: Sequence[str],
        multiplier: float,
        coordinates: int,
        make: MakeTrainer,
        randomness: AttackRandomness,
        attempt: int,
    ) -> None:
        self.study, self.sites, self.multiplier = study, sites, multiplier
        self.make, self.randomness, self.attempt = make, randomness, attempt
        self.sources = [NoiseSource(study, site, make, randomness, attempt) for site in sites]
        self.size = self.sources[0].size
        scale, steps = 1, 1
        if study.privacy.correlated_noise is not None:
            scale = cycle_matrix(study, self.size, multiplier).scale
            steps = study.training.local_steps
        self.sigma = multiplier * units_for(self.size) * scale
        wanted = min(_MAX_RELEASES, math.ceil(coordinates / self.size))
        self.rounds = max(4, math.ceil(wanted / steps))
        released = [
            [source.releases(number, multiplier) for source in self.sources]
            for number in range(self.rounds)
        ]
        each = [row for round_ in released for row in zip(*round_, strict=True)]
        self.raw = np.stack([[noise for noise, _ in row] for row in each])
        self.noise = np.rint(np.nan_to_num(self.raw)).astype(np.int64)
        self.sizes = np.array([[sampled for _, sampled in row] for row in each])


class NoiseSource:
    """A trainer of one site with zero gradients, and what it releases in integer units."""

    def __init__(
        self, study: Study, site: str, make: MakeTrainer, randomness: AttackRandomness, attempt: int
    ) -> None:
        self.rate, self.patients = patient_privacy(study, site).sampling_rate, _MIN_PATIENTS
        if self.rate > EMPTY_RATE:
            needed = math.ceil(_BATCH / self.rate)
            self.patients = min(_MAX_PATIENTS, max(_MIN_PATIENTS, needed))
        self._site, study = site, declaring(study, site, self.patients)
        self._gradients = ChosenGradients(
            lambda numbers: np.zeros((len(numbers), self.size), dtype=np.float32)
        )
        self._study, self._steps = study, _Steps(self._gradients)
        trainer, model = canary_trainer(
            study, site, np.arange(self.patients), self._watched(make), self._gradients
        )
        self._model: Tensors = {name: np.zeros_like(tensor) for name, tensor in model.items()}
        self._attempt = attempt
        self.size = layout_of(model).size
        self.hospital = hospital_at(study, site, trainer, randomness.entropy)
        self._as_local = LocalHospital(
            study=study, site=site, trainer=trainer, entropy=randomness.entropy
        )

    def _watched(self, make: MakeTrainer) -> MakeTrainer:
        """Makes the trainer with a backend that shows where each of its steps began."""

        def watched(study, site, train, test, backend: GradientBackend | None = None, /):  # type: ignore[no-untyped-def]
            self._steps.backend = backend
            made: Trainer = make(study, site, train, test, self._steps)
            return made

        return watched

    def releases(self, number: int, multiplier: float) -> list[tuple[Floats, int]]:
        """Returns the noise of each release of a round, and how many patients it sampled.

        In integer units; of a round of correlated noise, in its matrix's: each step's own noise.
        """
        self._steps.begin()
        noise = self.update(number, multiplier)
        if self._study.privacy.correlated_noise is None:
            return [(noise, sum(self._steps.sampled))]
        matrix = cycle_matrix(self._study, self.size, multiplier)
        momentum, bands = self._study.training.momentum, self._study.privacy.bands
        moved = self._steps.moves_after(noise, self._unit)
        steps = moved - momentum * np.vstack([np.zeros_like(moved[:1]), moved[:-1]])
        own = matrix.scale * matrix.dense @ steps.reshape(-1, bands, self.size)
        return list(zip(own.reshape(steps.shape), self._steps.sampled, strict=True))

    @property
    def _unit(self) -> float:
        privacy = patient_privacy(self._study, self._site)
        return privacy.clip / units_for(self.size) / self._study.expected_batch(self._site)

    def update(self, number: int, multiplier: float) -> Floats:
        """Returns one round's noise in integer units."""
        return self.hospital.released(self._given(number, multiplier))

    def local(self, number: int, multiplier: float) -> Floats:
        """Returns the noise of a round in which this hospital protects itself alone."""
        return self._as_local.released(self._given(number, multiplier))

    def _given(self, number: int, multiplier: float) -> RoundInput:
        return RoundInput(
            model=self._model, number=number, attempt=self._attempt, noise_multiplier=multiplier
        )


class _Steps:
    """A backend that writes down where each step begins, and how many patients it samples."""

    def __init__(self, gradients: ChosenGradients) -> None:
        self.backend: GradientBackend | None = None
        self._gradients = gradients
        self.begin()

    def begin(self) -> None:
        """Forgets the steps of the round before."""
        self._at: list[Floats] = []
        self.sampled: list[int] = []

    @property
    def engine(self) -> str:
        """The name of the engine that computes."""
        return self._own.engine

    @property
    def label(self) -> str:
        """As ``engine``."""
        return self._own.label

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        """Returns the sum of one step."""
        before = self._gradients.num_seen
        summed = self._own.clipped(parameters, drawn, clip, count_units)
        self._at.append(parameters.copy())
        self.sampled.append(self._gradients.num_seen - before)
        return summed

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Yields the sums of a step without privacy."""
        return self._own.plain(parameters, drawn)

    def moves_after(self, released: Floats, unit: float) -> Floats:
        """Returns (steps, size): by how many units of a rate of 1 each step moved the model."""
        ends = np.stack([*self._at[1:], self._at[0] - released * unit])
        return np.asarray((np.stack(self._at) - ends) / unit)

    @property
    def _own(self) -> GradientBackend:
        if self.backend is None:
            raise ValueError("no trainer was made")
        return self.backend


def round_deviation(study: Study, weights: Sequence[float], size: int, multiplier: float) -> float:
    """Returns the deviation of a round's noise by its steps' weights, that of one step being 1."""
    bands = study.privacy.bands
    if bands == 1:
        return math.hypot(*weights)
    cycles = np.array(weights).reshape(-1, bands)
    undone = np.linalg.inv(cycle_matrix(study, size, multiplier).dense)
    return float(np.linalg.norm(cycles @ undone))
