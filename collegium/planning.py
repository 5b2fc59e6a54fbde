"""``study plan``: settings suggested for a consortium, and a study's own beside them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from compliance.planning import (
    RATES,
    STEPS,
    EvaluationForecast,
    Plan,
    Question,
    Suggestion,
    default_delta,
    distributed_epsilons,
    forecast_evaluation,
    suggest,
    too_small,
    value,
)
from coordinator.evaluation import proportion
from protocol.errors import StudyRefused
from protocol.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study import KeyedHashSplit, Study
from silos.privacy_plan import PrivacyPlan


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a person said on the command line; None where nothing was said."""

    patients: str | None = None
    epsilon: float | None = None
    delta: float | None = None
    steps: str | None = None
    parameters: int | None = None
    colluders: int | None = None


def plan_study(study: Study | None, wishes: Wishes, console: Console) -> dict[str, Any]:
    """Shows what to ask for, and how a study's own settings compare; returns it for ``--json``.

    Raises:
        StudyRefused: something is missing or makes no sense; says what.
    """
    steps = tuple(_counts("--steps", wishes.steps)) if wishes.steps else STEPS
    try:
        asked = _question(study, wishes)
        suggestion = suggest(asked, rates=RATES, steps=steps)
        evaluation = _evaluation(asked, study)
    except ValueError as error:
        raise StudyRefused(f"study plan: {error}") from error
    own = _own(asked, study, wishes)
    names = _names(asked, study)
    result = _as_json(asked, suggestion, evaluation, own, names)
    _show(asked, suggestion, own, console)
    for note in result["notes"]:
        console.print(f"  {note}", markup=False, soft_wrap=True)
    return result


def _question(study: Study | None, wishes: Wishes) -> Question:
    patients = _patients(study, wishes)
    privacy = study.privacy if study and isinstance(study.privacy, PatientPrivacy) else None
    epsilon, delta = wishes.epsilon, wishes.delta
    if privacy is not None:
        epsilon = privacy.epsilon if epsilon is None else epsilon
        delta = privacy.delta if delta is None else delta
    if epsilon is None:
        raise StudyRefused("--epsilon is missing: say what a patient may pay, for example 1")
    split = study.split if study else None
    return Question(
        patients=patients,
        epsilon=epsilon,
        delta=default_delta(patients) if delta is None else delta,
        parameters=wishes.parameters or (_parameters(study) if study else 1000),
        colluders=wishes.colluders
        if wishes.colluders is not None
        else (study.aggregation.colluders if study else 1),
        threshold=study.threshold if study and len(study.sites) == len(patients) else None,
        spare=study.aggregation.spare_draws * study.training.local_steps if study else 1,
        test_fraction=split.test_fraction if isinstance(split, KeyedHashSplit) else 0.3,
    )


def _patients(study: Study | None, wishes: Wishes) -> tuple[int, ...]:
    if wishes.patients is not None:
        return tuple(_counts("--patients", wishes.patients))
    if study is None:
        raise StudyRefused("name a study, or give --patients, for example 2000,500,300")
    return tuple(study.site(name).patients for name in study.site_names)


def _counts(option: str, text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not (word.isascii() and word.isdigit() and 0 < int(word[:9]) and len(word) < 9):
            raise StudyRefused(f"{option} {word!r}: give whole numbers above zero, like 2000,500")
    return [int(word) for word in words]


def _parameters(study: Study) -> int:
    from pipelines.networks import build, parameters_of

    network = build(study.task, study.cohort, study.seeds.model)
    return sum(int(tensor.size) for tensor in parameters_of(network).values())


def _evaluation(asked: Question, study: Study | None) -> EvaluationForecast:
    if study is None:
        return forecast_evaluation(asked)
    plan = study.evaluation
    return forecast_evaluation(
        asked, budget=plan.epsilon, site_share=plan.site_share, attempts=plan.attempts,
        bins=[plan.bins],
    )  # fmt: skip


def _own(asked: Question, study: Study | None, wishes: Wishes) -> Plan | None:
    """The study's own settings as the study prices them, or with the wished epsilon and delta."""
    if study is None or not isinstance(study.privacy, PatientPrivacy):
        return None
    event = PrivacyPlan.of(study, study.privacy).training
    if wishes.epsilon is not None or wishes.delta is not None:
        noise = asked.calibrate(event.sampling_rate, event.steps)
        event = replace(event, noise_multiplier=noise)
    if isinstance(study.privacy, DistributedPrivacy):
        share = study.privacy.own_noise
        return value(asked, event, "distributed", steps=study.training.steps, share=share)
    return value(asked, event, "local", steps=study.training.steps)


def _names(asked: Question, study: Study | None) -> tuple[str, ...]:
    if study is not None and len(study.sites) == len(asked.patients):
        return study.site_names
    return tuple(f"hospital {place}" for place in range(1, len(asked.patients) + 1))


def _as_json(
    asked: Question,
    suggestion: Suggestion,
    evaluation: EvaluationForecast,
    own: Plan | None,
    names: Sequence[str],
) -> dict[str, Any]:
    distributed = suggestion.distributed
    against = distributed and distributed_epsilons(asked, distributed.event, asked.delta)
    return {
        "asked": asdict(asked) | {"threshold": asked.answering, "honest": asked.honest},
        "mode": suggestion.mode,
        "local": _plan_json(suggestion.local),
        "distributed": distributed and _plan_json(distributed),
        "distributed_epsilon": against and asdict(against),
        "study": own and _plan_json(own),
        "evaluation": asdict(evaluation),
        "hospitals": [
            {"name": name, "patients": count, "expected_batch": batch}
            for name, count, batch in zip(
                names, asked.patients, suggestion.chosen.expected_batches, strict=True
            )
        ],
        "notes": _notes(asked, suggestion, evaluation, own, names),
    }


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "sampling_rate": plan.event.sampling_rate,
        "expected_batch": sum(plan.expected_batches),
        "steps": plan.steps,
        "releases": plan.event.steps,
        "noise_multiplier": plan.event.noise_multiplier,
        "noise_on_average": plan.noise,
        "signal_to_noise": plan.signal_to_noise,
        "remaining_error": plan.error,
    }


def _notes(
    asked: Question,
    suggestion: Suggestion,
    evaluation: EvaluationForecast,
    own: Plan | None,
    names: Sequence[str],
) -> list[str]:
    chosen = suggestion.chosen
    notes = [_drowned(asked) if chosen.is_drowned else _reason(asked, suggestion)]
    if chosen.promises_nothing and not chosen.is_drowned:
        notes.append(
            "few patients for this epsilon and this many parameters: nothing is guaranteed; try "
            "`collegium sweep` on public or synthetic records first"
        )
    notes += [
        f"{names[place]} is too small for local noise: with {asked.patients[place]} training "
        "patients it brings more noise than signal"
        for place in too_small(asked, chosen.mode)
    ]
    notes += _evaluation_notes(asked, evaluation, names)
    if own is not None:
        notes.append(_comparison(own, chosen))
    notes.append(
        "clip: about the middle norm of a patient's gradient on public or synthetic records, 1.0 "
        "for inputs scaled to about 1; the noise follows it"
    )
    return notes


def _drowned(asked: Question) -> str:
    return (
        f"too few patients for epsilon {asked.epsilon:g} and {asked.parameters} parameters: "
        "the noise is three times the strongest signal or more; train fewer parameters, find more "
        "patients or a larger epsilon"
    )


def _reason(asked: Question, suggestion: Suggestion) -> str:
    chosen = suggestion.chosen
    why = (
        f"{chosen.mode} noise, rate {chosen.event.sampling_rate:g}, {chosen.steps} steps: of the "
        f"settings tried the least error left for the work ({chosen.error:.2g}; 0.5 before the "
        "first step)"
    )
    if suggestion.mode == "local":
        return f"{why}; needs no trust in the secure sum"
    return (
        f"{why}; a secure sum every step, {asked.honest} honest shares of noise, "
        f"{asked.spare} spare draws paid for"
    )


def _evaluation_notes(
    asked: Question, evaluation: EvaluationForecast, names: Sequence[str]
) -> list[str]:
    count = f"{evaluation.test_patients} test patients and {evaluation.bins} bins"
    if evaluation.note:
        notes = [f"evaluation: {count}: {evaluation.note}: a released AUROC would mean nothing"]
    else:
        notes = [
            f"evaluation: {count}: an AUROC near 0.8 would be released as +- "
            f"{evaluation.half_width:.2f}, of which noise alone +- {evaluation.by_noise:.2f}"
        ]
    withheld = [
        name
        for name, count in zip(names, asked.test_patients, strict=True)
        if proportion(0.8 * count, 0.2 * count, _table_noise(evaluation)).note
    ]
    if withheld:
        notes.append(f"too few test patients for figures of their own: {', '.join(withheld)}")
    return notes


def _table_noise(evaluation: EvaluationForecast) -> float:
    """Accuracy counts two of the table's cells, so its noise is that of two."""
    return float(evaluation.table_deviation * 2**0.5)


def _comparison(own: Plan, best: Plan) -> str:
    """Settings within a tenth of each other are equally good: the figure is a bound."""
    if own.error <= 1.1 * best.error:
        return f"the study's own settings are as good: error left {own.error:.2g}"
    return (
        f"the study's own settings leave more error: {own.error:.2g} with {own.mode} noise, "
        f"{best.error:.2g} with {best.mode} noise as suggested"
    )


def _show(asked: Question, suggestion: Suggestion, own: Plan | None, console: Console) -> None:
    console.print(
        f"{len(asked.patients)} hospitals, {sum(asked.patients)} training patients, "
        f"epsilon {asked.epsilon:g}, delta {asked.delta:g}, {asked.parameters} parameters, "
        f"t = {asked.answering}, C = {asked.colluders}"
    )
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for heading in ("", "noise", "rate", "batch", "steps", "z", "noise/clip", "SNR", "error left"):
        table.add_column(heading, no_wrap=True)
    rows = [("", suggestion.local), ("", suggestion.distributed), ("the study", own)]
    for label, plan in rows:
        if plan is not None:
            best = plan is suggestion.chosen and not plan.is_drowned
            table.add_row("suggested" if best else label, *_cells(plan))
    console.print(table)


def _cells(plan: Plan) -> tuple[str, ...]:
    return (
        plan.mode,
        f"{plan.event.sampling_rate:g}",
        f"{sum(plan.expected_batches):.0f}",
        f"{plan.steps}",
        f"{plan.event.noise_multiplier:g}",
        f"{plan.noise:.2g}",
        f"{plan.signal_to_noise:.3g}",
        f"{plan.error:.2g}",
    )
