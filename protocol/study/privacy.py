"""A study's privacy promise to each patient, and the mechanism that keeps it.

The *unit* is what a promise is about: a patient with all records (default), or
a single record, where the study says so. Record-level promises are weaker for
a patient with several records, so every report names the unit.
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from protocol.study.frozen_model import Epsilon, FrozenModel


class AdaptiveClip(FrozenModel):
    """A clip that moves towards the median norm of the patients' gradients.

    Each step multiplies it by exp(-``rate`` x what more than half of the patients were within it),
    as a noised count says (``protocol.vectors.adaptive_clip``).
    """

    rate: float = Field(default=0.2, gt=0, le=1)


class CorrelatedNoise(FrozenModel):
    """Noise of which each step takes back a part of what the steps before it added.

    Steps form cycles of ``bands`` steps. In a cycle every patient is at random in the draws of one
    step only, and the noise of its steps is correlated by a lower triangular matrix (the banded
    matrix mechanism, ``compliance.privacy.noise.correlated``). Cycles have nothing in common.
    """

    bands: int = Field(ge=2, le=64)


class PatientPrivacy(FrozenModel):
    """Differential privacy for each patient (or record), in either mode.

    ``clip`` bounds the L2 norm of one unit's mean gradient; with ``adaptive_clip`` it is where the
    clip starts. A declared noise multiplier is refused when it does not keep the promised epsilon.
    ``sampling_rate`` is a patient's chance of a step; with ``correlated_noise`` it is ``bands``
    times as much in the one step of a cycle that the patient may be in.
    """

    unit: Literal["patient", "record"] = "patient"
    epsilon: Epsilon
    delta: float = Field(gt=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    adaptive_clip: AdaptiveClip | None = Field(default=None, exclude_if=lambda clip: clip is None)
    sampling_rate: float = Field(gt=0, le=1)
    noise_multiplier: float | None = Field(default=None, gt=0)
    correlated_noise: CorrelatedNoise | None = Field(
        default=None, exclude_if=lambda noise: noise is None
    )

    @property
    def bands(self) -> int:
        """The number of steps of a cycle; 1 where every step's noise is its own."""
        return 1 if self.correlated_noise is None else self.correlated_noise.bands

    @property
    def priced_rate(self) -> float:
        """A patient's chance of a cycle: what it pays for is one such draw a cycle."""
        return self.sampling_rate * self.bands


class PerSitePrivacy(PatientPrivacy):
    """Mode L: every hospital runs DP-SGD on its own patients.

    The noise multiplier is calibrated from epsilon unless declared.
    """

    mode: Literal["per_site"]


class DistributedPrivacy(PatientPrivacy):
    """Mode D: the hospitals' noise shares protect together, under the secure sum (C.2).

    The noise multiplier is declared, so that every share follows from the
    study. ``own_noise`` is the least share a hospital adds, as a multiple of
    the clipping bound: what is left to its patients if more than C collude.
    """

    mode: Literal["distributed"]
    noise_multiplier: float = Field(gt=0, le=1000)
    own_noise: float = Field(default=0.0, ge=0, le=1000)


class NoPrivacy(FrozenModel):
    """No differential privacy: allowed in a simulation only, and named in every report.

    ``clip`` bounds a patient's mean gradient where it is given, as it would with noise: so
    the reference of a sweep differs from its runs by the noise alone.
    """

    mode: Literal["none"]
    sampling_rate: float = Field(gt=0, le=1)
    clip: float | None = Field(default=None, gt=0)
    adaptive_clip: ClassVar[None] = None
    correlated_noise: ClassVar[None] = None
    bands: ClassVar[int] = 1

    @property
    def priced_rate(self) -> float:
        """A patient's chance of a step, which costs nothing."""
        return self.sampling_rate


Privacy: TypeAlias = Annotated[
    PerSitePrivacy | DistributedPrivacy | NoPrivacy, Field(discriminator="mode")
]
