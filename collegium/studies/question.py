"""The input of the forecasts: a study and the command line's options, as a ``PlanningInput``."""

from dataclasses import dataclass

from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.planning.advice import PlanningInput, default_delta
from compliance.planning.of_study import planning_input
from protocol.errors import StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study

#: How many numbers describe a record of a cohort of which nothing is said.
_INPUTS = 20


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The options of the command line; None where an option was not given."""

    patients: str | None = None
    epsilon: float | None = None
    delta: float | None = None
    steps: int | None = None
    inputs: int | None = None
    prevalence: float | None = None
    auroc: float | None = None
    colluders: int | None = None
    budget: float = 10.0
    runs: int = 1


#: Where nobody says anything.
_NOTHING_SAID = PlanOptions()


def question_of(study: Study, options: PlanOptions = _NOTHING_SAID) -> PlanningInput:
    """Returns what a study says, or the options where they say it.

    The network is not built: the gradient's norm and the number of parameters are not
    the study's but the defaults.

    Raises:
        StudyRefused: epsilon is missing, or patients make no sense.
        ValueError: a figure lies outside its range.
    """
    privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
    patients: tuple[int, ...] = ()
    if options.patients is not None:
        patients = _counts("--patients", options.patients)
    epsilon = options.epsilon
    if privacy is not None and epsilon is None:
        epsilon = privacy.epsilon
    return planning_input(
        study, patients=patients, epsilon=_required(epsilon), delta=options.delta,
        prevalence=options.prevalence, auroc=options.auroc, colluders=options.colluders,
    )  # fmt: skip


def question_without_study(options: PlanOptions) -> PlanningInput:
    """Returns what the options alone say.

    Raises:
        StudyRefused: patients or epsilon are missing, or make no sense.
        ValueError: a figure lies outside its range.
    """
    if options.patients is None:
        raise StudyRefused("name a study, or give --patients, for example 2000,500,300")
    patients = _counts("--patients", options.patients)
    parameters = (options.inputs or _INPUTS) + 1
    return PlanningInput(
        patients=patients,
        epsilon=_required(options.epsilon),
        delta=default_delta(patients) if options.delta is None else options.delta,
        gradient_norm=parameters**0.5,
        parameters=parameters,
        prevalence=options.prevalence,
        auroc=ASSUMED_AUROC if options.auroc is None else options.auroc,
        colluders=1 if options.colluders is None else options.colluders,
    )


def _required(epsilon: float | None) -> float:
    if epsilon is None:
        raise StudyRefused("--epsilon is missing: say what a patient may pay, for example 1")
    return epsilon


def _counts(option: str, text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not (word.isascii() and word.isdigit() and 0 < int(word[:9]) and len(word) < 9):
            raise StudyRefused(f"{option} {word!r}: give whole numbers above zero, like 2000,500")
    return tuple(int(word) for word in words)
