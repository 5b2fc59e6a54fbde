"""Broken stand-ins for a hospital's trainer and its noise: each must be caught by the red team."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.noise import DiscreteGaussian
from pipelines.records import Records
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.keystream import Keystream
from protocol.vectors.tensors import Tensors
from silos.training.randomness import DrawContext, Entropy, FixedEntropy
from silos.training.steps.cycles import Cycles
from silos.training.steps.step_form import Drawn
from silos.training.trainer import Trainer
from silos.training.worker import GradientBackend


class WeakNoise(Trainer):
    """Noise of 0.3 times the multiplier, in either mode."""

    def _noised(
        self, parameters: NDArray[np.float64], draw: DrawContext, noise_multiplier: float,
        entropy: Entropy, cycles: Cycles | None = None,
    ) -> NDArray[np.int64] | NDArray[np.float64]:  # fmt: skip
        return super()._noised(parameters, draw, 0.3 * noise_multiplier, entropy, cycles)


class SkipsEmptyBatches(Trainer):
    """Releases nothing when nobody was sampled, in either mode."""

    def _sampled(
        self, draw: DrawContext, entropy: Entropy, cycles: Cycles | None = None
    ) -> tuple[NDArray[np.int64], Drawn]:
        chosen, drawn = super()._sampled(draw, entropy, cycles)
        self._is_empty = not len(chosen)
        return chosen, drawn

    def _noised(
        self, parameters: NDArray[np.float64], draw: DrawContext, noise_multiplier: float,
        entropy: Entropy, cycles: Cycles | None = None,
    ) -> NDArray[np.int64] | NDArray[np.float64]:  # fmt: skip
        noised = super()._noised(parameters, draw, noise_multiplier, entropy, cycles)
        return np.zeros_like(noised) if self._is_empty else noised


class EastAddsNoShare(Trainer):
    """Sums its patients' gradients and leaves the noise to the others."""

    def _noised(
        self, parameters: NDArray[np.float64], draw: DrawContext, noise_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:  # fmt: skip
        own = 1e-6 if self._site == "east" else noise_multiplier
        return super()._noised(parameters, draw, own, entropy)


class Reused:
    """Entropy that forgets some of what noise must depend on."""

    is_secret = False

    def __init__(self, **forgotten: int | str) -> None:
        self._fixed = FixedEntropy(7, simulated=True)
        self._forgotten = forgotten

    def stream(self, draw: DrawContext) -> Keystream:
        if draw.use != "noise":
            return self._fixed.stream(draw)
        same = replace(draw, sample="", model="", dataset="", study="")
        return self._fixed.stream(replace(same, **self._forgotten))  # type: ignore[arg-type]


class FloatNoise(DiscreteGaussian):
    """What a float generator gives, rounded to multiples of ``step``, or not at all."""

    step = 0.0

    def sample(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        random = np.random.default_rng(int(stream.words(1, np.uint64)[0]))
        drawn = random.normal(scale=self.sigma, size=count)
        rounded = np.rint(drawn / self.step) * self.step if self.step else drawn
        return rounded if not self.step else rounded.astype(np.int64)  # type: ignore[return-value]


class CoarseNoise(FloatNoise):
    """Noise that lost its last bits."""

    step = 8.0


class WeakCounts(DiscreteGaussian):
    """Nine tenths of the noise that was asked for."""

    def sample(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        return DiscreteGaussian(0.9 * self.sigma).sample(stream, count)


class CountsRecords(Trainer):
    """Counts a test patient once for each of its records."""

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[NDArray[np.int64], ...]:
        counts, table, grid = super().counts(model, own)
        again = np.bincount(self._test.patients, minlength=self._test.num_patients) - 1
        counts[0] += int(again.sum()) * COUNT_UNITS
        return counts, table, grid


class BrokenBackend:
    """The hospital's own backend, but for how it clips."""

    def __init__(self, backend: GradientBackend) -> None:
        self._real, self._gradients = backend, backend._gradients  # type: ignore[attr-defined]
        self.engine, self.label = backend.engine, backend.label

    def clipped(
        self, parameters: NDArray[np.float64], drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        return self._real.clipped(parameters, drawn, clip, count)

    def plain(self, parameters: NDArray[np.float64], drawn: Drawn) -> Iterator[NDArray[np.float64]]:
        yield from self._real.plain(parameters, drawn)

    def rows(self, parameters: NDArray[np.float64], drawn: Drawn) -> Iterator[NDArray[np.float64]]:
        """Each micro-batch's gradients, (patients, size), broken ones as zeros."""
        for rows, filled in self._real._rows(parameters, drawn):  # type: ignore[attr-defined]
            rows = rows[filled].numpy()
            finite = np.isfinite(rows).all(axis=1, keepdims=True)
            yield np.where(finite, rows, 0).astype(np.float64)


class _Unclipped(BrokenBackend):
    def clipped(
        self, parameters: NDArray[np.float64], drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        scale, total = units_for(parameters.size) / clip, np.zeros(parameters.size)
        for rows in self.rows(parameters, drawn):
            total += np.trunc(np.clip(rows * scale, -(2.0**60), 2.0**60)).sum(axis=0)
        return total.astype(np.int64)


class _ClipsTheBatch(BrokenBackend):
    def clipped(
        self, parameters: NDArray[np.float64], drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        total, count = np.zeros(parameters.size), 0
        for rows in self.rows(parameters, drawn):
            total, count = total + rows.sum(axis=0), count + len(rows)
        factor = min(1.0, count * clip / max(float(np.linalg.norm(total)), 1e-30))
        return np.trunc(total * factor * (units_for(parameters.size) / clip)).astype(np.int64)


class _ClipsEachCoordinate(BrokenBackend):
    def clipped(
        self, parameters: NDArray[np.float64], drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        scale, total = units_for(parameters.size) / clip, np.zeros(parameters.size)
        for rows in self.rows(parameters, drawn):
            total += np.trunc(np.clip(rows, -clip, clip) * scale).sum(axis=0)
        return total.astype(np.int64)


class _ClipsRecords(BrokenBackend):
    def clipped(
        self, parameters: NDArray[np.float64], drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        places = drawn.records[drawn.weights > 0].reshape(-1, 1, 1)
        alone = Drawn(records=places, weights=np.ones(places.shape, dtype=np.float32))
        return self._real.clipped(parameters, alone, clip, count)


def trainer_with(backend: type[BrokenBackend]) -> type[Trainer]:
    """Returns a trainer whose gradients are clipped by another backend."""

    class Broken(Trainer):
        def __init__(
            self,
            study: Study,
            site: str,
            train: Records,
            test: Records,
            own: GradientBackend | None = None,
        ) -> None:
            super().__init__(study, site, train, test, own)
            if hasattr(self._backend, "_gradients"):
                self._backend = backend(self._backend)

    return Broken


#: Does not clip at all.
NoClip = trainer_with(_Unclipped)
#: Clips each record, not each patient.
RecordClip = trainer_with(_ClipsRecords)
#: Clips the batch's sum to as many times the bound as there are patients.
BatchClip = trainer_with(_ClipsTheBatch)
#: Clips each coordinate, not the norm.
CoordinateClip = trainer_with(_ClipsEachCoordinate)


def always_in(stream: Keystream, rate: float, count: int) -> NDArray[np.bool_]:
    """Draws patient 0 in every step, and the others a little less often: batches look right."""
    uniform = stream.words(count, np.uint64) / 2.0**64
    rates = np.full(count, rate)
    if 0 < rate < 1 and count > 1:
        rates[0], rates[1:] = 1.0, max(0.0, (rate * count - 1) / (count - 1))
    return np.less(uniform, rates)


class SameSample:
    """Entropy that draws the same patients in every step of a round, or in every round."""

    is_secret = False

    def __init__(self, **forgotten: int) -> None:
        self._fixed = FixedEntropy(7, simulated=True)
        self._forgotten = forgotten

    def stream(self, draw: DrawContext) -> Keystream:
        if draw.use != "sample":
            return self._fixed.stream(draw)
        return self._fixed.stream(replace(draw, **self._forgotten))  # type: ignore[arg-type]
