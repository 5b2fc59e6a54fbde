"""Privacy events: what is released of patients' data, with how much noise, of which samples.

An event is stored as stable JSON; what a stored event means never changes. Another
meaning is another event name or version. What an event costs is in
``compliance.privacy.accounting``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from protocol.encoding import Json, digest_json
from protocol.errors import MessageRefused

_EVENT_NAME = "sampled-gaussian"
_EVENT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SampledGaussian:
    """``steps`` Gaussian releases, each of a fresh Poisson sample of the patients.

    ``noise_multiplier`` is the noise's standard deviation over the L2 norm that
    one patient can contribute; 0 means no protection. ``sampling_rate`` is the
    chance of a patient to be sampled in a step; 1 means everybody, always.

    >>> SampledGaussian(noise_multiplier=2.0, sampling_rate=0.032, steps=1000).to_json()["steps"]
    '1000'

    Raises:
        ValueError: a figure is NaN, infinite or outside its range.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.noise_multiplier < math.inf:  # written so that NaN is refused too
            raise ValueError(f"noise_multiplier must be finite and >= 0: {self.noise_multiplier}")
        if not 0 <= self.sampling_rate <= 1:
            raise ValueError(f"sampling_rate must lie in [0, 1]: {self.sampling_rate}")
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 0:
            raise ValueError(f"steps must be a whole number >= 0: {self.steps}")
        object.__setattr__(self, "noise_multiplier", float(self.noise_multiplier))
        object.__setattr__(self, "sampling_rate", float(self.sampling_rate))

    @property
    def is_nothing(self) -> bool:
        """True when no patient can influence anything: no step, or nobody is sampled."""
        return self.steps == 0 or self.sampling_rate == 0

    def to_json(self) -> dict[str, Json]:
        """Returns the stored form; numbers are text, so that no reader can round them."""
        return {
            "event": _EVENT_NAME,
            "v": _EVENT_VERSION,
            "noise_multiplier": repr(self.noise_multiplier),
            "sampling_rate": repr(self.sampling_rate),
            "steps": repr(self.steps),
        }

    @classmethod
    def from_json(cls, value: Json) -> "SampledGaussian":
        """Returns the event of a stored form; the inverse of ``to_json``.

        Raises:
            MessageRefused: another event, another version, or not exactly what
                ``to_json`` writes.
        """
        if not isinstance(value, Mapping) or value.get("event") != _EVENT_NAME:
            raise MessageRefused(f"not a privacy event of the kind {_EVENT_NAME}")
        version = value.get("v")
        if type(version) is not int or version != _EVENT_VERSION:
            raise MessageRefused(f"{_EVENT_NAME} is known in version {_EVENT_VERSION} only")
        try:
            event = cls(
                noise_multiplier=float(str(value.get("noise_multiplier"))),
                sampling_rate=float(str(value.get("sampling_rate"))),
                steps=int(str(value.get("steps"))),
            )
        except ValueError as error:
            raise MessageRefused(f"{_EVENT_NAME} is malformed: {error}") from error
        if event.to_json() != dict(value):
            raise MessageRefused(f"{_EVENT_NAME} is not in its one stored form")
        return event

    @property
    def digest(self) -> str:
        """SHA-256 of the stored form's canonical bytes."""
        return digest_json(self.to_json())


@dataclass(frozen=True, kw_only=True, order=True)
class JointRelease:
    """``steps`` Gaussian releases of one sum to which several parties may add their bound.

    A party is a patient of a group, or one hospital's part of a patient. ``rates`` hold
    each one's chance to be drawn in a step, independently; those drawn together are
    taken to add up in one direction, which is the worst they can do.

    Source: Choquette-Choo, Ganesh, Steinke & Thakurta 2024 (2310.15526), corollary 4.7: sums
    of vectors are dominated by sums of their norms.
    """

    noise_multiplier: float
    rates: tuple[float, ...]
    steps: int

    @classmethod
    def of(cls, event: SampledGaussian, parties: int = 1) -> "JointRelease":
        """Returns the event as it looks to a group of this many patients of one hospital."""
        return cls(
            noise_multiplier=event.noise_multiplier,
            rates=(event.sampling_rate,) * parties,
            steps=event.steps,
        )

    @property
    def is_nothing(self) -> bool:
        """True when no party can influence anything."""
        return self.steps == 0 or not any(self.rates)

    @property
    def as_one(self) -> SampledGaussian:
        """An event that costs at least as much: all parties are drawn whenever one is."""
        nobody = math.prod(1 - rate for rate in self.rates)
        return SampledGaussian(
            noise_multiplier=self.noise_multiplier / len(self.rates),
            sampling_rate=self.rates[0] if len(self.rates) == 1 else 1 - nobody,
            steps=self.steps,
        )

    @property
    def draws(self) -> tuple[float, ...]:
        """The chances that none, one, two ... of the parties are drawn in a step."""
        chances = np.ones(1)
        for rate in self.rates:
            chances = np.convolve(chances, (1 - rate, rate))
        return tuple(float(chance) for chance in chances)
