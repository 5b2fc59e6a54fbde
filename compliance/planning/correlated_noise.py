"""Forecast of the noise that is left in a model: correlated, over independent of the same epsilon.

Of noise alone: in the root mean square over all steps of a training, gradients taken as given.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from compliance.privacy.accounting import calibrate
from compliance.privacy.noise import MAX_MULTIPLIER, error_left
from protocol.study.privacy import PerSitePrivacy
from protocol.study.study import Study

#: What is left must be this or less to be offered: above it AUROCs were no better (see the docs).
WORTH_IT = 0.8
_MOST_BANDS, _MOST_TRIED = 64, 6


@dataclass(frozen=True, kw_only=True)
class CorrelatedForecast:
    """The forecast of correlated noise of so many bands.

    ``noise_left`` is the noise in the model over that of independent noise: below 1 it is less.
    """

    bands: int
    noise_multiplier: float
    independent_multiplier: float
    noise_left: float

    @property
    def is_worth_it(self) -> bool:
        """Whether so much less noise is left that the model is likely to be better."""
        return self.noise_left <= WORTH_IT


def forecast_of(study: Study, bands: int) -> CorrelatedForecast:
    """Returns the forecast of a number of bands for a study with every hospital's own noise.

    Raises:
        ValueError: no noise multiplier below 10^6 keeps the study's epsilon, or it has none.
    """
    privacy, training = study.privacy, study.training
    if not isinstance(privacy, PerSitePrivacy):
        raise ValueError("only a hospital's own noise can be correlated")
    steps = training.gradients_per_round
    draws = training.rounds + study.aggregation.spare_draws

    def multiplier(count: int) -> float:
        return calibrate(
            epsilon=privacy.epsilon,
            delta=privacy.delta,
            sampling_rate=privacy.sampling_rate * count,
            steps=draws * steps // count,
        )

    own, independent = multiplier(bands), multiplier(1)
    left = error_left(rounds=training.rounds, steps=steps, bands=bands, momentum=training.momentum)
    return CorrelatedForecast(
        bands=bands,
        noise_multiplier=own,
        independent_multiplier=independent,
        noise_left=left * own / independent,
    )


def best_forecast(study: Study) -> CorrelatedForecast | None:
    """Returns the forecast of the bands that leave the least noise; None where none are possible.

    Few numbers of bands are tried, each about twice the one before.
    """
    found = [forecast_of(study, bands) for bands in _possible(study)]
    found = [one for one in found if one.noise_multiplier <= MAX_MULTIPLIER]
    return min(found, key=lambda one: one.noise_left, default=None)


def _possible(study: Study) -> Iterator[int]:
    """Yields some numbers of bands that a study allows."""
    privacy, training = study.privacy, study.training
    if not (isinstance(privacy, PerSitePrivacy) and study.trains and training.moves_one_model):
        return
    if privacy.adaptive_clip is not None:
        return
    rate = max(study.privacy_of(site).sampling_rate for site in study.site_names)
    steps = [training.gradients_per_round, *(site.local_steps for site in study.sites)]
    last, tried = 1, 0
    for bands in range(2, _MOST_BANDS + 1):
        divides = not any(count % bands for count in steps if count is not None)
        if rate * bands <= 1 and divides and bands >= 1.6 * last and tried < _MOST_TRIED:
            yield bands
            last, tried = bands, tried + 1
