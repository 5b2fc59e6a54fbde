"""Price and noise of interim evaluations, and whether noise alone would take rounds back."""

import math
from typing import Any

from compliance.facts.figures import TASK_FIGURES
from compliance.facts.formatting import Format, show
from compliance.planning.evaluation_forecast import EvaluationForecast
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from compliance.privacy.promised_noise import evaluation_event
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study


def interim_facts(study: Study) -> dict[str, Any] | None:
    """Returns the evaluations of a study with interim ones, as JSON shows them; else None.

    ``noise_times`` is by how much more noise each has than a single one of the same epsilon would.
    """
    schedule = study.evaluations
    if not schedule.interim:
        return None
    counting = _counting(study)
    return {
        "after_rounds": [schedule.rounds_before("evaluation", one) for one in schedule.numbers],
        "priced_evaluations": 0 if counting is None else counting.steps,
        "roll_back": study.evaluation.roll_back,
        "evaluation_epsilon": counting and epsilon(counting, _delta(study)),
        "noise_times": counting and counting.noise_multiplier / _alone(study),
    }


def _counting(study: Study) -> SampledGaussian | None:
    """Returns all evaluations together; None where nothing is protected."""
    privacy = study.privacy
    if not isinstance(privacy, PatientPrivacy):
        return None
    return evaluation_event(study, privacy, study.evaluation_epsilon)


def _alone(study: Study) -> float:
    """Returns the noise multiplier of the last evaluation, if it were the only one."""
    return calibrate(
        epsilon=study.evaluation_epsilon or 0.0,
        delta=_delta(study),
        sampling_rate=1.0,
        steps=study.evaluation.attempts,
    )


def _delta(study: Study) -> float:
    privacy = study.privacy
    return privacy.delta if isinstance(privacy, PatientPrivacy) else 0.0


def interim_text(study: Study, forecast: EvaluationForecast | None = None) -> list[str]:
    """Returns what interim evaluations cost and do, in sentences; none of a study without them.

    Args:
        study: the study.
        forecast: of one of its evaluations, where the noise of a figure can be forecast.
    """
    facts = interim_facts(study)
    if facts is None:
        return []
    *interim, last = facts["after_rounds"]
    every = study.evaluation.every
    said = (
        f"evaluated after every {every} rounds: {len(interim) + 1} evaluations, the last after "
        f"round {last}"
    )
    if facts["evaluation_epsilon"] is not None:
        said += (
            f"; {facts['priced_evaluations']} are priced together, epsilon "
            f"{show(facts['evaluation_epsilon'], Format.EPSILON)} for a test patient, so each has "
            f"{facts['noise_times']:.2g} times the noise of a single one"
        )
    return [said, *_roll_back_text(study, forecast)]


def _roll_back_text(study: Study, forecast: EvaluationForecast | None) -> list[str]:
    worse = study.evaluation.roll_back
    if worse is None:
        return []
    title = TASK_FIGURES[study.task.kind].headline.title
    lines = [
        f"rounds that make the released {title} worse by more than {worse:g} than the best before "
        "are taken back"
    ]
    noise = 0.0 if forecast is None else math.sqrt(2) * forecast.by_noise
    if forecast is not None and noise > worse:
        lines.append(
            f"warning: noise alone moves the difference of two released figures by +- {noise:.2f}, "
            "more than evaluation.roll_back: rounds would often be taken back for nothing; write a "
            "larger roll_back, a larger every, or evaluate more patients"
        )
    return lines
