"""Rules about noise that is correlated over a cycle of steps."""

from collections.abc import Iterator

from protocol.counted import counted
from protocol.study.privacy import PerSitePrivacy
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord

_PATH = "privacy.correlated_noise"
_INSTEAD = "leave correlated_noise out"


def correlated_noise_problems(study: StudyRecord) -> Iterator[Problem]:
    """Yields the problems of correlated noise: whose it is, in which steps, of which patients."""
    privacy, training = study.privacy, study.training
    noise = privacy.correlated_noise
    if noise is None or not study.trains:
        return
    if not isinstance(privacy, PerSitePrivacy):
        yield (
            _PATH,
            "one step a round is noised under mode distributed, by shares that nobody knows "
            f"together: there is nothing to take back; write mode per_site, or {_INSTEAD}",
        )
        return
    if privacy.adaptive_clip is not None:
        yield (
            _PATH,
            "noise that was added at one clip cannot be taken back at another: leave adaptive_clip "
            f"out, or {_INSTEAD}",
        )
    if not training.moves_one_model:
        yield (
            _PATH,
            f"{training.strategy} moves more than one model, or other layers, by the gradients of "
            "a round: noise would be taken back where it was never added; take another strategy, "
            f"or {_INSTEAD}",
        )
    yield from _cycle_problems(study, noise.bands)


def _cycle_problems(study: StudyRecord, bands: int) -> Iterator[Problem]:
    """Yields the problems of cycles that do not fill a round, or that nobody could be drawn for."""
    if study.training.gradients_per_round % bands:
        yield (
            "privacy.correlated_noise.bands",
            f"a round of {counted(study.training.gradients_per_round, 'step')} has no whole cycles "
            f"of {bands}: take bands that divide training.local_steps",
        )
    for site in study.sites:
        if site.local_steps is not None and site.local_steps % bands:
            yield (
                "sites",
                f"{site.name} takes {counted(site.local_steps, 'local step')} a round: no whole "
                f"cycles of {bands} (privacy.correlated_noise.bands)",
            )
        rate = study.privacy_of(site.name).sampling_rate
        if rate * bands > 1:
            yield (
                "privacy.correlated_noise.bands",
                f"a patient is in one step of {bands} only, so sampling_rate is 1/{bands} = "
                f"{1 / bands:.4g} at most, and {rate:g} at {site.name}",
            )
            return
