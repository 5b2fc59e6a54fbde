"""Planning help: settings that use a hospital's patients well at a given epsilon.

Everything here is arithmetic on public figures: patient counts, prevalence,
epsilon, delta, the size of a gradient. No patient's record is read, so it costs
nothing. Rules:

1. Every step takes every patient. Under a fixed epsilon the noise of T such steps
   is that of one step, spread over T, and nothing is lost to sampling.
2. Clip and learning rate follow from two numbers: R, the norm of the
   gradient of a patient's logit at the start (a linear model: the square root of
   inputs + 1), and the *separation* m = sqrt(2) Phi^-1(A) of ill and healthy patients'
   scores, in deviations, that belongs to the AUROC A which published models reach::

       clip            C = R x 0.07 / m^2, between 0.05 R and 0.3 R
       learning rate   min(k / (C R noise sqrt(T)), K / (C R)),    k = 2 m, at most 3

   ``noise`` is the deviation of the noise on the averaged gradient, over the clip.
   So the noise that T steps leave in a patient's logit has a deviation of k at most:
   what is weak to be learned allows less. One step moves no logit by more than K = 16.
   With hidden layers, which bend, a third of k and half of K.
3. The output starts at the logit of the declared prevalence: to learn that by
   noised steps takes many of them where few patients are ill.
4. Every noise multiplier comes from ``accounting.calibrate``, so the plan, priced
   again by PLD, keeps its epsilon.

The constants were chosen on drawn cohorts and measured against a grid of settings:
``docs/planning.md`` has the table and the command that makes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, TypeAlias

from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.facts.figures import AUROC
from compliance.planning.expected_auroc import Descent, Expected, expected_auroc
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from protocol.study.frozen_model import LEAST_EPSILON, MOST_EPSILON
from protocol.study.rounds.noise_shares import honest_shares

Mode: TypeAlias = Literal["per_site", "distributed"]

#: Of 20 to 100 steps this many did best in most of the measured cohorts.
STEPS = 60
MAX_STEPS = 10_000
#: Above these a sum of every step through the secure aggregation is no longer practical.
DISTRIBUTED_MOST_PARAMETERS = 10_000_000
DISTRIBUTED_MOST_STEPS = 500
#: How much AUROC distributed noise must be worth, since it leans on the secure sum.
WORTH_IT = 0.01

#: The share of test patients where nobody says it.
ASSUMED_TEST_FRACTION = 0.3
_MIN_CLIP, _MAX_CLIP, _CLIP = 0.05, 0.3, 0.07  # in units of R
_MAX_NOISE_IN_LOGIT, _NOISE_IN_LOGIT, _MAX_IN_LOGIT = 3.0, 2.0, 16.0


@dataclass(frozen=True, kw_only=True)
class PlanningInput:
    """The known facts before a study: the hospitals that take part, and the budget.

    ``patients`` counts each hospital's training patients, as a study declares them;
    ``test_fraction`` of all its patients are test patients (three tenths are assumed where that
    is None), or ``tested`` says how many there are of each. ``logit_norm`` is the norm of
    the gradient of a patient's logit at the start, ``parameters`` the size of what is
    trained. ``prevalence`` is the share of patients who are ill, None where it is not
    declared: half is then assumed. ``auroc`` is what a model would reach without
    privacy and with any number of patients. ``threshold`` is t, how many
    hospitals must answer: floor(2n/3) + 1 unless given; up to ``colluders`` of them
    may collude. ``spare`` noised gradients are paid for beyond the planned ones.

    >>> PlanningInput(patients=(2000,) * 8, epsilon=2.0, delta=1e-5, colluders=2).honest
    4

    Raises:
        ValueError: a figure lies outside its range; the message names it.
    """

    patients: tuple[int, ...]
    epsilon: float
    delta: float
    gradient_norm: float = math.sqrt(21)
    is_linear: bool = True
    parameters: int = 21
    prevalence: float | None = None
    auroc: float = ASSUMED_AUROC
    colluders: int = 1
    threshold: int | None = None
    test_fraction: float | None = None
    tested: tuple[int, ...] = ()
    spare: int = 1

    def __post_init__(self) -> None:
        if len(self.patients) < 3:
            raise ValueError(f"at least three hospitals are needed, got {len(self.patients)}")
        if not LEAST_EPSILON <= self.epsilon <= MOST_EPSILON:
            raise ValueError(
                f"epsilon must lie between {LEAST_EPSILON:g} and {MOST_EPSILON:g}: {self.epsilon}"
            )
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie between 0 and 1: {self.delta}")
        if not 1 <= self.gradient_norm < math.inf:
            raise ValueError(f"gradient_norm must be finite and at least 1: {self.gradient_norm}")
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise ValueError(f"prevalence must lie between 0 and 1: {self.prevalence}")
        if not 0.5 < self.auroc < 1:
            raise ValueError(f"auroc must lie in (0.5, 1): {self.auroc}")
        if self.test_fraction is not None and not 0 < self.test_fraction < 1:
            raise ValueError(f"test_fraction must lie in (0, 1): {self.test_fraction}")
        if min(self.patients) < 1:
            raise ValueError(f"a hospital needs a training patient: {min(self.patients)} patients")
        if not self.delta < 1 / max(self.patients):
            raise ValueError(
                f"delta {self.delta:g} must be below 1/{max(self.patients)}: it would allow one "
                "patient's record to be published"
            )
        self._check_threshold()

    def _check_threshold(self) -> None:
        n, t, c = len(self.patients), self.answering, self.colluders
        if not (0 <= c and t <= n and 2 * t > n + c and t - c >= 2):
            raise ValueError(
                f"colluders {c}: {n} hospitals of whom {t} answer cannot bear that many; "
                "2t > n + C and t - C >= 2 must hold"
            )

    @property
    def answering(self) -> int:
        """t: how many hospitals must answer."""
        return self.threshold or 2 * len(self.patients) // 3 + 1

    @property
    def honest(self) -> int:
        """The shares of noise that can be relied on, h = t - max(C, 1)."""
        return honest_shares(self.answering, self.colluders)

    @property
    def test_patients(self) -> tuple[int, ...]:
        """Each hospital's test patients, as they are or as the split leads one to expect them."""
        if self.tested:
            return self.tested
        fraction = ASSUMED_TEST_FRACTION if self.test_fraction is None else self.test_fraction
        share = fraction / (1 - fraction)
        return tuple(round(count * share) for count in self.patients)

    @property
    def ill(self) -> float:
        """The declared prevalence; half where none is declared."""
        return 0.5 if self.prevalence is None else self.prevalence

    def calibrate(self, rate: float, steps: int) -> float:
        """Returns the noise multiplier that keeps epsilon with these settings."""
        return calibrate(epsilon=self.epsilon, delta=self.delta, sampling_rate=rate, steps=steps)


def default_delta(patients: Sequence[int]) -> float:
    """Returns min(1e-6, 1/(10 N)) for N patients in all.

    >>> default_delta([2000, 500, 300])
    1e-06
    """
    return min(1e-6, 1 / (10 * sum(patients)))


@dataclass(frozen=True, kw_only=True)
class SuitableSettings:
    """Settings, and what they are expected to reach; ``noise`` is in units of the clip.

    ``event`` is what is paid for; ``steps`` of it are planned, the rest are spare. Of correlated
    noise of several ``bands`` it is of cycles.
    ``expected`` is None where there is no forecast: an optimiser that is not simulated.
    """

    mode: Mode
    steps: int
    event: SampledGaussian
    clip: float
    learning_rate: float
    noise: float
    expected: Expected | None
    bands: int = 1

    @property
    def learns_nothing(self) -> bool:
        """True when even under the assumed AUROC the model would be as good as chance."""
        return self.expected is not None and AUROC.is_next_to_chance(self.expected.auroc)


def noise_on_average(
    question: PlanningInput, event: SampledGaussian, mode: Mode, share: float | None = None
) -> float:
    """Returns the noise deviation on the gradient averaged over all hospitals, over the clip.

    ::

        per_site       z * sqrt(n)   / (q * N)      each hospital adds full noise
        distributed    z * sqrt(n/h) / (q * N)      each adds its share; all answer

    ``share`` is what one hospital adds when that is more, in units of the clip.

    >>> asked = PlanningInput(patients=(2000,) * 8, epsilon=2.0, delta=1e-5, colluders=2)
    >>> event = SampledGaussian(noise_multiplier=2.18, sampling_rate=0.032, steps=1000)
    >>> noise = [noise_on_average(asked, event, mode) for mode in ("per_site", "distributed")]
    >>> round(noise[0] / noise[1], 9)
    2.0
    """
    n, batch = len(question.patients), event.sampling_rate * sum(question.patients)
    own = event.noise_multiplier / math.sqrt(1 if mode == "per_site" else question.honest)
    return max(own, share or 0.0) * math.sqrt(n) / batch


def plan_of(
    question: PlanningInput,
    event: SampledGaussian,
    mode: Mode,
    descent: Descent,
    *,
    is_simulated: bool = True,
) -> SuitableSettings:
    """Returns settings with what they are expected to reach.

    Args:
        question: who takes part.
        event: what is paid for.
        mode: whose noise protects.
        descent: how the model is trained.
        is_simulated: False where another optimiser trains than the one that is simulated.
    """
    expected = None
    if is_simulated:
        expected = expected_auroc(
            descent, patients=sum(question.patients), prevalence=question.ill,
            auroc=question.auroc, inputs=max(1, round(question.gradient_norm**2 - 1)),
        )  # fmt: skip
    return SuitableSettings(
        mode=mode, steps=descent.steps, event=event, clip=descent.clip,
        learning_rate=descent.learning_rate, noise=descent.noise, expected=expected,
        bands=descent.bands,
    )  # fmt: skip


def advise(question: PlanningInput, mode: Mode, steps: int = STEPS) -> SuitableSettings:
    """Returns the settings of the module's rules for one mode.

    Raises:
        ValueError: no noise below 10^6 keeps the epsilon.
    """
    paid = steps + question.spare
    multiplier = question.calibrate(1.0, paid)
    event = SampledGaussian(noise_multiplier=multiplier, sampling_rate=1.0, steps=paid)
    noise = noise_on_average(question, event, mode)
    clip, rate = _clip_and_rate(question, noise, steps)
    descent = Descent(
        steps=steps, sampling_rate=1.0, clip=clip, learning_rate=rate, noise=noise,
        starts_at_prevalence=True,
    )  # fmt: skip
    return plan_of(question, event, mode, descent)


def _clip_and_rate(question: PlanningInput, noise: float, steps: int) -> tuple[float, float]:
    """Returns clip and learning rate by rule 2, with two figures as a study would write them."""
    separation = math.sqrt(2) * NormalDist().inv_cdf(question.auroc)
    share = min(_MAX_CLIP, max(_MIN_CLIP, _CLIP / separation**2))
    clip = two_figures(share * question.gradient_norm)
    moved = clip * question.gradient_norm
    noise_in_logit = min(_MAX_NOISE_IN_LOGIT, _NOISE_IN_LOGIT * separation)
    max_in_logit = _MAX_IN_LOGIT
    if not question.is_linear:
        noise_in_logit, max_in_logit = noise_in_logit / 3, max_in_logit / 2
    rate = min(noise_in_logit / (moved * noise * math.sqrt(steps)), max_in_logit / moved)
    return clip, two_figures(rate)


def two_figures(number: float) -> float:
    """Returns a number rounded to two significant figures.

    >>> two_figures(0.4472), two_figures(31.7)
    (0.45, 32.0)
    """
    return float(f"{number:.2g}")


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The plan with per-site noise, a distributed one where practical, and which to take."""

    per_site: SuitableSettings
    distributed: SuitableSettings | None

    @property
    def mode(self) -> Mode:
        """Distributed only where it is worth leaning on the secure sum in every step."""
        return "per_site" if self.gain < WORTH_IT else "distributed"

    @property
    def gain(self) -> float:
        """The AUROC by which distributed noise is expected to be better than per-site noise."""
        shared = self.distributed.expected if self.distributed else None
        if shared is None or self.per_site.expected is None:
            return 0.0
        return shared.auroc - self.per_site.expected.auroc

    @property
    def chosen(self) -> SuitableSettings:
        """The plan of the advised mode."""
        if self.mode == "distributed" and self.distributed is not None:
            return self.distributed
        return self.per_site


def advice(question: PlanningInput, steps: int = STEPS) -> Advice:
    """Returns what to ask for, in either mode.

    Raises:
        ValueError: see ``advise``.
    """
    per_site = advise(question, "per_site", steps)
    if steps > DISTRIBUTED_MOST_STEPS or question.parameters > DISTRIBUTED_MOST_PARAMETERS:
        return Advice(per_site=per_site, distributed=None)
    return Advice(per_site=per_site, distributed=advise(question, "distributed", steps))


@dataclass(frozen=True, kw_only=True)
class WhoItHoldsAgainst:
    """Epsilon of a distributed plan, by who looks: the public, C hospitals, a broken secure sum."""

    public: float
    colluders: float
    broken: float


def distributed_epsilons(
    question: PlanningInput, event: SampledGaussian, delta: float
) -> WhoItHoldsAgainst:
    """Returns the epsilons of distributed noise: all answer; as promised; secure sum broken."""

    def against(factor: float) -> float:
        return epsilon(replace(event, noise_multiplier=event.noise_multiplier * factor), delta)

    n, h = len(question.patients), question.honest
    return WhoItHoldsAgainst(
        public=against(math.sqrt(n / h)), colluders=against(1.0), broken=against(1 / math.sqrt(h))
    )


def too_small(question: PlanningInput, mode: Mode) -> tuple[int, ...]:
    """Returns the places of hospitals that bring more noise than patients.

    Under per-site noise each hospital adds as much noise as any other. One that
    has fewer patients than 1 - sqrt(1 - 1/n) of all, about half of an average
    hospital's, makes the common gradient noisier by taking part.

    >>> asked = PlanningInput(patients=(2000, 500, 300), epsilon=1.0, delta=1e-6)
    >>> too_small(asked, "per_site")
    (1, 2)
    """
    if mode == "distributed":
        return ()
    n, total = len(question.patients), sum(question.patients)
    least = (1 - math.sqrt(1 - 1 / n)) * total
    return tuple(i for i, count in enumerate(question.patients) if count < least)
