"""Comparison of released figures: of a version with the one in production, of a canary beside it.

Figures have intervals, of chance and noise. A version is *worse* than another where the interval of
their difference lies below 0, or where the difference itself is below the margin: a step back costs
little, and a worse model may harm patients.
"""

import math
from dataclasses import dataclass

from compliance.estimates.interval import Interval
from compliance.governance.models.gate import GateResult


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """By how much a figure is better than another (worse: below 0), and its interval's half width.

    The half widths of both intervals on the sides that face each other are taken together as those
    of independent estimates are: the root of their squares' sum.
    """

    value: float
    half: float

    def is_worse(self, margin: float) -> bool:
        """Whether it is a regression: beyond the margin, or shown to be below 0."""
        return self.value < -margin or self.value + self.half < 0


def improvement(
    candidate: Interval, reference: Interval, *, higher_is_better: bool = True
) -> Improvement | None:
    """Returns by how much a figure is better than a reference; None where either was withheld."""
    if None in (candidate.value, candidate.low, reference.value, reference.low):
        return None
    ours, theirs = _ordered(candidate), _ordered(reference)
    if higher_is_better:
        value, half = ours[1] - theirs[1], math.hypot(ours[2] - ours[1], theirs[1] - theirs[0])
    else:
        value, half = theirs[1] - ours[1], math.hypot(ours[1] - ours[0], theirs[2] - theirs[1])
    return Improvement(value=value, half=half)


def _ordered(one: Interval) -> tuple[float, float, float]:
    """Returns low, value and high; a bound that is missing is the value."""
    value = one.value or 0.0
    return (
        value if one.low is None else one.low,
        value,
        value if one.high is None else one.high,
    )


@dataclass(frozen=True, kw_only=True)
class CanaryFigures:
    """The figures of a canary and of the version in production, since the canary began.

    Both are released by the newest evaluation of each at the canary's hospitals, of the same
    patients under the same promise.

    Attributes:
        version: the canary.
        sites: its hospitals.
        canary: its figure; None before it was evaluated there.
        production: that of the version in production; None likewise.
        compares: whether a version is in production.
        runs: the evaluations' runs.
    """

    version: str
    sites: tuple[str, ...]
    canary: Interval | None = None
    production: Interval | None = None
    compares: bool = False
    runs: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether everything was evaluated that is compared."""
        return self.canary is not None and (self.production is not None or not self.compares)


def canary_verdict(
    found: CanaryFigures, *, figure: str, higher_is_better: bool, margin: float
) -> tuple[GateResult, str]:
    """Returns whether a canary that was evaluated holds, and why; open where a figure is withheld.

    Args:
        found: complete figures.
        figure: what they are called.
        higher_is_better: False of an error.
        margin: by how much the canary may be worse.
    """
    sites = ", ".join(found.sites)
    if found.canary is None or found.canary.value is None:
        return GateResult.OPEN, f"no {figure} of the canary was released at {sites}"
    if not found.compares:
        return (
            GateResult.PASSED,
            f"{figure} {found.canary.value:.3f} at {sites}; no version is in production",
        )
    better = (
        None
        if found.production is None
        else improvement(found.canary, found.production, higher_is_better=higher_is_better)
    )
    if better is None:
        return GateResult.OPEN, f"no {figure} was released at {sites} to compare the canary with"
    return (
        GateResult.FAILED if better.is_worse(margin) else GateResult.PASSED,
        f"{better.value:+.3f} (+/- {better.half:.3f}) beside the version in production at {sites}",
    )
