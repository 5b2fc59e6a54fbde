"""Grid of a sweep: epsilons, seeds and modes of privacy, and the studies that follow from them.

It starts nothing and imports no Ray.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from compliance.facts.privacy_utility import DISTRIBUTED, MODES, NONE, PER_SITE, POOLED
from compliance.privacy.accounting import calibrate
from protocol.errors import StudyRefused
from protocol.study.frozen_model import LEAST_EPSILON, MOST_EPSILON
from protocol.study.privacy import DistributedPrivacy, NoPrivacy
from protocol.study.study import Study
from protocol.study.variants import as_distributed, as_per_site, question, with_fresh_split

_MAX_RUNS = 400
#: What drawing the split again costs the patients.
ANEW = (
    "Who is tested on in one split is trained on in another: each run is charged to every patient "
    "in full, for training and evaluation. Real hospitals split their patients once, for life."
)
_MAX_NOISE = 1000.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The settings that a sweep varies; ``modes`` is empty where every study runs in its own.

    With ``splits`` each seed draws its own split of the patients into training and test.
    """

    epsilons: tuple[float | None, ...]
    seeds: tuple[int, ...]
    modes: tuple[str, ...] = ()
    splits: bool = False

    @classmethod
    def parsed(cls, epsilons: str, seeds: str, modes: str | None, *, splits: bool) -> "Grid":
        """Returns the grid of comma-separated lists; every study's own mode where none is named.

        Raises:
            StudyRefused: an entry is no epsilon, seed or mode that a study may have.
        """
        return cls(
            epsilons=parse_epsilons(epsilons),
            seeds=parse_seeds(seeds),
            modes=() if modes is None else parse_modes(modes),
            splits=splits,
        )

    @property
    def warning(self) -> str:
        """A warning of the cost of drawing the split again; empty where it costs nothing."""
        protected = any(epsilon is not None for epsilon in self.epsilons)
        return ANEW if self.splits and protected else ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training of a sweep: a run of the consortium, or a pooled reference."""

    mode: str
    study: Study

    @property
    def text(self) -> str:
        """The setting's name, for people."""
        privacy = self.study.privacy
        epsilon = "" if isinstance(privacy, NoPrivacy) else f", epsilon {privacy.epsilon:g}"
        return f"{MODES[self.mode]}{epsilon}, seed {self.study.seeds.model}"


def parse_epsilons(text: str) -> tuple[float | None, ...]:
    """Returns the epsilons of a comma-separated list; ``none`` is no privacy.

    >>> parse_epsilons("0.5, 2,none")
    (0.5, 2.0, None)

    Raises:
        StudyRefused: an entry is not a number that a study may promise.
    """
    epsilons: list[float | None] = []
    for part in text.split(","):
        if part.strip().lower() == "none":
            epsilons.append(None)
            continue
        try:
            epsilon = float(part)
        except ValueError:
            raise StudyRefused(
                f"--epsilon: {part.strip()!r} is neither a number nor none"
            ) from None
        if not LEAST_EPSILON <= epsilon <= MOST_EPSILON:
            raise StudyRefused(
                f"--epsilon: {part.strip()} must lie between {LEAST_EPSILON:g} and {MOST_EPSILON:g}"
            )
        epsilons.append(epsilon)
    return tuple(dict.fromkeys(epsilons))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds of a comma-separated list of numbers and ranges.

    >>> parse_seeds("1,2, 3"), parse_seeds("7,1-3")
    ((1, 2, 3), (7, 1, 2, 3))

    Raises:
        StudyRefused: an entry is neither a whole number from 0 to 2**53 - 1 nor a range of them.
    """
    seeds: list[int] = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isdecimal() and int(end) < 2**53 for end in ends):
            raise StudyRefused(
                f"--seeds: {text!r} is not a list of whole numbers or ranges such as 1,2,3 or 1-10"
            )
        first, last = int(ends[0]), int(ends[-1])
        if not first <= last < first + _MAX_RUNS:
            raise StudyRefused(
                f"--seeds: {part.strip()} must be a rising range of at most {_MAX_RUNS} seeds"
            )
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def parse_modes(text: str) -> tuple[str, ...]:
    """Returns the modes of a comma-separated list.

    >>> parse_modes("per_site, pooled")
    ('per_site', 'pooled')

    Raises:
        StudyRefused: an entry is no mode, or there is nothing but the reference.
    """
    modes = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    unknown = [mode for mode in modes if mode not in (PER_SITE, DISTRIBUTED, POOLED)]
    if unknown:
        raise StudyRefused(
            f"--modes: {unknown[0]!r} is not one of {PER_SITE}, {DISTRIBUTED}, {POOLED}; "
            "no privacy is --epsilon none"
        )
    if modes == (POOLED,):
        raise StudyRefused("--modes: pooled is a reference: name per_site or distributed beside it")
    return modes


def plan_jobs(studies: Sequence[Study], grid: Grid) -> list[Job]:
    """Returns what a sweep trains, in order.

    Each mode is the study declared in it, or else derived from the first one;
    so are the pooled reference and the runs without privacy, once each.

    Raises:
        StudyRefused: too many, studies that cannot be compared, or no way into a mode.
    """
    for study in studies:
        if not study.trains:
            raise StudyRefused(
                f"{study.name} trains nothing, and a sweep compares models: collegium simulate "
                "runs it, as often as you like"
            )
    _require_comparable(studies)
    own: dict[str, Study] = {study.privacy.mode: study for study in studies}
    first = studies[0]
    modes = grid.modes or tuple(own)
    if len(modes) * len(grid.epsilons) * len(grid.seeds) > _MAX_RUNS:
        raise StudyRefused(f"a sweep of more than {_MAX_RUNS} runs: take fewer")
    if NONE in own and (grid.modes or any(epsilon is not None for epsilon in grid.epsilons)):
        raise StudyRefused(
            "privacy.mode is none, so there is no clip and delta to go with an epsilon: "
            "declare mode per_site"
        )
    left_out = [study.name for mode, study in own.items() if mode not in modes]
    if left_out and len(studies) > 1:
        raise StudyRefused(f"--modes leaves out the mode of study {left_out[0]}: add it")
    by_mode = {mode: own.get(mode) or _in_mode(first, mode) for mode in modes}
    jobs = []
    for epsilon in grid.epsilons:
        if epsilon is None:  # the mode of protecting is then no difference
            varied = {NONE: first} | ({POOLED: first} if POOLED in modes else {})
        else:
            varied = by_mode
        studied = [(mode, at_epsilon(study, epsilon)) for mode, study in varied.items()]
        jobs += [
            Job(mode=mode, study=_repeated(study, seed, grid))
            for (mode, study), seed in itertools.product(studied, grid.seeds)
        ]
    return jobs


def _repeated(study: Study, seed: int, grid: Grid) -> Study:
    seeded = study.with_seed(seed)
    return with_fresh_split(seeded) if grid.splits else seeded


def _require_comparable(studies: Sequence[Study]) -> None:
    first = studies[0]
    for study in studies[1:]:
        if (question(study), study.seeds.split) != (question(first), first.seeds.split):
            raise StudyRefused(
                f"studies {first.name} and {study.name} do not ask the same question: cohort, "
                "sites and their records, partition, split, split seed and task must be equal"
            )
        if _delta(study) != _delta(first):
            raise StudyRefused(
                f"studies {first.name} and {study.name} promise different deltas: an epsilon of "
                "one is not an epsilon of the other"
            )
    modes = [study.privacy.mode for study in studies]
    twice = [mode for mode in modes if modes.count(mode) > 1]
    if twice:
        raise StudyRefused(
            f"two studies of mode {twice[0]}: their points could not be told apart; sweep them "
            "one after the other"
        )


def _delta(study: Study) -> float | None:
    return None if isinstance(study.privacy, NoPrivacy) else study.privacy.delta


def _in_mode(study: Study, mode: str) -> Study:
    if mode == POOLED:
        return study
    return as_per_site(study) if mode == PER_SITE else as_distributed(study)


def at_epsilon(study: Study, epsilon: float | None) -> Study:
    """Returns the study at another epsilon; distributed noise is declared with it.

    None is the reference without privacy: the same training without the noise.

    Raises:
        StudyRefused: shared noise for so small an epsilon would leave nothing to learn.
        ValueError: the study is without privacy, so no clip and delta go with an epsilon.
    """
    privacy = study.privacy
    if epsilon is None:
        return study.without_noise()
    if not isinstance(privacy, DistributedPrivacy):
        return study.with_epsilon(epsilon)
    noise_multiplier = calibrate(
        epsilon=epsilon,
        delta=privacy.delta,
        sampling_rate=privacy.sampling_rate,
        steps=study.priced_steps,
    )
    if noise_multiplier > _MAX_NOISE:
        raise StudyRefused(
            f"--epsilon: {epsilon:g} over {study.priced_steps} steps needs a noise multiplier of "
            f"{noise_multiplier:.0f}: nothing could be learned; raise it, or take fewer steps"
        )
    return study.with_noise(epsilon, noise_multiplier)
