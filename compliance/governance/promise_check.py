"""Holds what a hospital signs about its privacy to what the study fixes for it.

Everybody's figures are computed with the noise that each hospital signs. A
hospital that could sign any noise would widen or narrow all intervals, or end
the run after all have paid.
"""

from protocol.encoding import Json
from protocol.errors import MessageRefused
from protocol.study.privacy import PatientPrivacy, Privacy
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary

#: How far a signed figure may be off, as a part of it: accountants of two versions round.
_ROUNDING = 0.005


def require_promised(study: Study, summary: Summary, *, test_noise: bool, priced: bool) -> None:
    """Refuses a summary that promises something else than the study fixes for its hospital.

    Args:
        study: the run's.
        word: what the hospital signed.
        test_noise: whether the run is one of fixed test noise.
        priced: whether a training on drawn patients is calibrated and priced too, which takes
            about a second; everything else takes milliseconds.

    Raises:
        MessageRefused: says what it promises, and what the study fixes.
    """
    if summary.site not in study.site_names:
        raise MessageRefused(f"the study has no hospital {summary.site}")
    privacy = study.privacy_of(summary.site)
    for name, fixed in _fixed(study, privacy, summary.site, test_noise=test_noise).items():
        said = getattr(summary, name)
        if said != fixed:
            raise MessageRefused(_differs(summary.site, name, said, fixed))
    if isinstance(privacy, PatientPrivacy):
        _require_noise(study, privacy, summary, priced=priced)


def _fixed(study: Study, privacy: Privacy, site: str, *, test_noise: bool) -> dict[str, Json]:
    """Returns the fields that a study leaves a hospital no choice in."""
    fixed: dict[str, Json] = {
        "study_digest": study.digest,
        "mode": privacy.mode,
        "sampling_rate": privacy.priced_rate,
        "steps": study.steps_of(site),
        "priced_steps": study.priced_steps_of(site),
        "priced_evaluations": study.priced_evaluations,
    }
    if not isinstance(privacy, PatientPrivacy):
        nothing = ("delta", "clip", "noise_multiplier", "evaluation_noise_multiplier", *_CLAIMS)
        return fixed | {"unit": "patient", "noise": "none"} | dict.fromkeys(nothing)
    fixed |= {"unit": privacy.unit, "clip": privacy.clip}
    if test_noise:  # protects nobody, so nothing is claimed
        return fixed | {"noise": "fixed test noise", "delta": None} | dict.fromkeys(_CLAIMS)
    return fixed | {"noise": "exact", "delta": privacy.delta}


_CLAIMS = ("epsilon", "evaluation_epsilon", "fallback_epsilon")


def _require_noise(
    study: Study, privacy: PatientPrivacy, summary: Summary, *, priced: bool
) -> None:
    # Loads an accountant: lists of runs, which import this file, do without.
    from compliance.privacy.accounting import epsilon
    from compliance.privacy.promised_noise import evaluation_event, training_event

    try:
        counting = evaluation_event(study, privacy, study.evaluation_epsilon_of(summary.site))
        _require_near(summary, "evaluation_noise_multiplier", counting.noise_multiplier)
        if summary.noise == "exact":
            _require_near(summary, "evaluation_epsilon", epsilon(counting, privacy.delta))
            _require_most(summary, "epsilon", privacy.epsilon)
        if privacy.priced_rate < 1 and not priced:
            return
        training = training_event(study, privacy, summary.site)
        _require_near(summary, "noise_multiplier", training.noise_multiplier)
        if summary.noise == "exact":
            _require_near(summary, "epsilon", epsilon(training, privacy.delta))
    except ValueError as error:
        raise MessageRefused(f"the study's noise cannot be calibrated: {error}") from error


def _require_near(summary: Summary, name: str, fixed: float) -> None:
    said = getattr(summary, name)
    if said is None or not abs(said - fixed) <= _ROUNDING * fixed:
        raise MessageRefused(_differs(summary.site, name, said, fixed))


def _require_most(summary: Summary, name: str, most: float) -> None:
    said = getattr(summary, name)
    if said is None or not said <= most * (1 + _ROUNDING):
        raise MessageRefused(_differs(summary.site, name, said, most))


def _differs(site: str, name: str, said: object, fixed: object) -> str:
    return f"{site} signed {name} {said}, and the study fixes {fixed} for it"
