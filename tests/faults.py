"""Broken stand-ins for a hospital's trainer and its noise: each must be caught by the red team."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compliance.noise import DiscreteGaussian
from pipelines.canaries import ChosenGradients
from protocol.keystream import Keystream
from silos.entropy import Entropy, FixedEntropy, Moment
from silos.trainer import Trainer


class WeakNoise(Trainer):
    """Noise of 0.3 times the multiplier, in either mode."""

    def _noised(
        self, parameters: NDArray[np.float64], moment: Moment, noise_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:  # fmt: skip
        return super()._noised(parameters, moment, 0.3 * noise_multiplier, entropy)


class SkipsEmptyBatches(Trainer):
    """Releases nothing when nobody was sampled, in either mode."""

    def _noised(
        self, parameters: NDArray[np.float64], moment: Moment, noise_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:  # fmt: skip
        gradients = self._crew._gradients  # type: ignore[attr-defined]
        assert isinstance(gradients, ChosenGradients)
        before = gradients.num_seen
        noised = super()._noised(parameters, moment, noise_multiplier, entropy)
        return noised if gradients.num_seen > before else np.zeros_like(noised)


class EastAddsNoShare(Trainer):
    """Sums its patients' gradients and leaves the noise to the others."""

    def _noised(
        self, parameters: NDArray[np.float64], moment: Moment, noise_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:  # fmt: skip
        own = 1e-6 if self._site == "east" else noise_multiplier
        return super()._noised(parameters, moment, own, entropy)


class Reused:
    """Entropy that forgets some of what noise must depend on."""

    is_secret = False

    def __init__(self, **forgotten: int | str) -> None:
        self._fixed = FixedEntropy(7, simulated=True)
        self._forgotten = forgotten

    def stream(self, moment: Moment) -> Keystream:
        if moment.use != "noise":
            return self._fixed.stream(moment)
        same = replace(moment, sample="", model="", dataset="", study="")
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
