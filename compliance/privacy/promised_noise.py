"""The noise that a study fixes for one hospital: in training and in the evaluation.

The hospital plans and pays by it, and the coordinator holds to it what the
hospital signs about its noise.
"""

from compliance.privacy.accounting import calibrate
from compliance.privacy.events import SampledGaussian
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study


def training_event(
    study: Study, privacy: PatientPrivacy, site: str | None = None
) -> SampledGaussian:
    """Returns a training under the privacy that a hospital promises, spare draws included.

    It is of the rounds that ``site`` takes part in; of all rounds where none is named. A cycle of
    correlated noise costs what one release of its sample costs.

    Raises:
        ValueError: no noise keeps what is promised.
    """
    steps = study.priced_steps if site is None else study.priced_steps_of(site)
    multiplier = privacy.noise_multiplier or calibrate(
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        sampling_rate=privacy.priced_rate,
        steps=steps,
    )
    return SampledGaussian(
        noise_multiplier=multiplier, sampling_rate=privacy.priced_rate, steps=steps
    )


def evaluation_event(
    study: Study, privacy: PatientPrivacy, epsilon: float | None
) -> SampledGaussian:
    """Returns an evaluation that keeps ``epsilon``, or else the study's; all attempts included.

    Of a monitoring study it is the whole calendar: so many releases of the same patients compose.

    Raises:
        ValueError: no noise keeps it.
    """
    attempts = study.priced_evaluations
    multiplier = calibrate(
        epsilon=epsilon or study.evaluation_epsilon or privacy.epsilon,
        delta=privacy.delta,
        sampling_rate=1.0,
        steps=attempts,
    )
    return SampledGaussian(noise_multiplier=multiplier, sampling_rate=1.0, steps=attempts)
