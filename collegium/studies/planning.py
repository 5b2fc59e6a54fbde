"""``study plan``: settings advised for a consortium, and a study's own beside them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from collegium.extras import require_extra
from collegium.studies.forecast import (
    bins_text,
    correlated_forecast,
    correlated_text,
    evaluation_text,
    forecast_for,
)
from collegium.studies.question import PlanOptions, question_of, question_without_study
from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.facts.formatting import Format, show
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.planning.advice import (
    MAX_STEPS,
    STEPS,
    Advice,
    PlanningInput,
    SuitableSettings,
    advice,
    advise,
    distributed_epsilons,
    noise_on_average,
    plan_of,
    too_small,
)
from compliance.planning.evaluation_forecast import EvaluationForecast, forecast_evaluation
from compliance.planning.expected_auroc import Descent
from compliance.planning.interim_forecast import interim_text
from compliance.planning.tuning import ComparedRuns, compared_runs
from compliance.privacy.accounting import calibrate
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import TWO_FIGURES, percent
from protocol.counted import counted
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification, prevalence_of
from silos.operations.budget_text import CHEAPER, too_dear

_WHAT_MODELS_REACH = (
    "--auroc, about what published models reach without privacy, is not given: "
    f"{ASSUMED_AUROC:g} is assumed; where they reach less, smaller steps are advised"
)
#: The strategies whose training is plain descent on the average gradient.
_SIMULATED = ("fedavg", "fedsgd")
#: Differences below this are within what drawing the patients anew changes.
_AS_GOOD = 0.02
#: Up to this share of ill patients risks came out too low in every measured cohort.
_FEW_ILL = 0.2


def plan_study(study: Study | None, options: PlanOptions, console: Console) -> dict[str, Any]:
    """Shows what to ask for, and how a study's own settings compare; returns it for ``--json``.

    Raises:
        StudyRefused: something is missing or makes no sense; says what.
    """
    if study is not None and not study.trains:
        raise StudyRefused(
            "study plan: a statistics study trains nothing: collegium study check says how wide "
            "its intervals will be"
        )
    if study is not None and not isinstance(study.task, BinaryClassification):
        raise StudyRefused(
            f"study plan: task {study.task.kind}: only binary classification is simulated; tune "
            "rate, clip and steps with collegium sweep on records of your own"
        )
    steps = STEPS if options.steps is None else options.steps
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 < steps <= MAX_STEPS:
        raise StudyRefused(f"--steps {steps}: a whole number from 1 to {MAX_STEPS:,}")
    try:
        asked = _question(study, options)
        advised = advice(asked, steps)
        own = _own(asked, study, options)
        evaluation = _evaluation(asked, study, advised)
        chosen = advised.chosen
        compared = None if options.runs == 1 else compared_runs(asked, chosen, options.runs)
    except ValueError as error:
        raise StudyRefused(f"study plan: {error}") from error
    names = _names(asked, study)
    lines = study_lines(asked, advised.chosen)
    if study is None and not evaluation.note:
        lines += (f"evaluation: {{bins: {evaluation.bins}}}",)
    unsaid = [_WHAT_MODELS_REACH] if options.auroc is None else []
    result = _as_json(asked, advised, evaluation, own, names, lines, unsaid)
    result["compared_runs"] = compared and asdict(compared)
    result["notes"] += [] if compared is None else [_compared_text(asked, chosen, compared)]
    result["notes"] += (
        [] if study is None else [*bins_text(study), *interim_text(study, evaluation)]
    )
    result["notes"] += _price_notes(asked, advised.chosen, study, options.budget)
    forecast = None if study is None else correlated_forecast(study)
    result["correlated_noise"] = forecast and asdict(forecast)
    result["notes"] += [] if forecast is None else [correlated_text(forecast, study)]
    _show(asked, advised, own, console)
    if not advised.chosen.learns_nothing:
        console.print("\nIn the study:", markup=False)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        console.print()
    for note in result["notes"]:
        console.print(f"  {note}", markup=False, soft_wrap=True)
    return result


def _question(study: Study | None, options: PlanOptions) -> PlanningInput:
    if study is None:
        return question_without_study(options)
    if options.inputs is not None:
        raise StudyRefused("--inputs: the study's own columns say how many there are")
    gradient_norm, parameters = _sizes(study)
    known = question_of(study, options)
    return replace(known, gradient_norm=gradient_norm, parameters=parameters)


def _sizes(study: Study) -> tuple[float, int]:
    """Returns a logit's gradient norm and the parameters' number; builds no linear network."""
    if study.task.is_linear and isinstance(study.cohort, TableCohort):
        return math.sqrt(study.cohort.width + 1), study.cohort.width + 1
    require_extra("silo")
    from pipelines.gradients.logit_norm import gradient_norm
    from pipelines.networks.networks import build, parameters_of

    module = build(study.task, study.cohort, study.seeds.model)
    return gradient_norm(study), sum(int(tensor.size) for tensor in parameters_of(module).values())


def forecast_plans(study: Study) -> tuple[SuitableSettings, SuitableSettings] | None:
    """Returns a linear study's own settings and the advised ones of its mode; else None.

    None too where the advised steps cannot keep an epsilon that small.
    """
    known = isinstance(study.task, BinaryClassification) and study.task.is_linear
    known = known and study.task.loss is None
    if not (known and isinstance(study.privacy, PatientPrivacy)):
        return None
    try:
        asked = _question(study, PlanOptions())
        advised = advise(asked, study.privacy.mode)
    except ValueError:
        return None
    own = _own(asked, study, PlanOptions())
    return None if own is None else (own, advised)


def assumed_auroc(study: Study) -> float:
    """Returns the AUROC that a forecast of the evaluation takes: the plan's, at least 0.5."""
    plans = forecast_plans(study)
    expected = None if plans is None else plans[0].expected
    return ASSUMED_AUROC if expected is None else max(0.5, expected.auroc)


def _evaluation(asked: PlanningInput, study: Study | None, advised: Advice) -> EvaluationForecast:
    expected = advised.chosen.expected
    auroc = asked.auroc if expected is None else max(0.5, expected.auroc)
    if study is None:
        return forecast_evaluation(asked, auroc=auroc)
    return forecast_for(asked, study, auroc=auroc)


def _compared_text(asked: PlanningInput, one: SuitableSettings, each: ComparedRuns) -> str:
    told = (
        f"{each.runs} runs that are compared: with epsilon {show(each.epsilon, Format.EPSILON)} "
        f"each (noise {each.noise_multiplier:.3g} in place of {one.event.noise_multiplier:.3g}) "
        f"their training costs each patient epsilon {asked.epsilon:g} together"
    )
    if each.expected_auroc is None or one.expected is None:
        return told
    return (
        f"{told}; the better one is expected to reach AUROC {each.expected_auroc:.3f} or a little "
        f"more, one run alone {one.expected.auroc:.3f} (docs/tuning.md)"
    )


def _own(
    asked: PlanningInput, study: Study | None, options: PlanOptions
) -> SuitableSettings | None:
    """Returns the study's own settings as it prices them, or with the given epsilon and delta."""
    if study is None or not isinstance(study.privacy, PatientPrivacy):
        return None
    event = PrivacyPlan.of(study, study.privacy).training
    if options.epsilon is not None or options.delta is not None:
        noise = asked.calibrate(event.sampling_rate, event.steps)
        event = replace(event, noise_multiplier=noise)
    share = study.privacy.own_noise if isinstance(study.privacy, DistributedPrivacy) else None
    mode, training = study.privacy.mode, study.training
    step = replace(event, sampling_rate=event.sampling_rate / study.privacy.bands)
    noise = noise_on_average(asked, step, mode, share)
    descent = Descent(
        steps=training.steps, sampling_rate=event.sampling_rate, clip=study.privacy.clip,
        learning_rate=training.learning_rate, noise=noise, momentum=training.momentum,
        starts_at_prevalence=prevalence_of(study.task) is not None,
        bands=study.privacy.bands, round_steps=training.gradients_per_round,
    )  # fmt: skip
    return plan_of(asked, event, mode, descent, is_simulated=training.strategy in _SIMULATED)


def _names(asked: PlanningInput, study: Study | None) -> tuple[str, ...]:
    if study is not None and len(study.sites) == len(asked.patients):
        return study.site_names
    return tuple(f"hospital {place}" for place in range(1, len(asked.patients) + 1))


def study_lines(asked: PlanningInput, plan: SuitableSettings) -> tuple[str, ...]:
    """Returns the advised lines of a study, to be pasted.

    One step a round: each noised step is then averaged over all hospitals at once.
    """
    shared = plan.mode == "distributed"
    strategy, noise = (
        ("fedsgd", f", noise_multiplier: {plan.event.noise_multiplier!r}")
        if shared
        else ("fedavg", "")
    )
    return (
        f"task: {{prevalence: {asked.prevalence:g}}}   # beside the network"
        if asked.prevalence is not None
        else "task: {prevalence: ...}   # the share of ill patients, as published sources have it",
        f"training: {{strategy: {strategy}, rounds: {plan.steps}, local_steps: 1, "
        f"learning_rate: {plan.learning_rate:g}}}",
        f"privacy: {{mode: {plan.mode}, epsilon: {asked.epsilon:g}, delta: {_decimal(asked.delta)},"
        f" clip: {plan.clip:g}, sampling_rate: {plan.event.sampling_rate:g}{noise}}}",
    )


def _decimal(number: float) -> str:
    """Writes a number as YAML reads it: with a point before the exponent."""
    mantissa, _, exponent = f"{number:e}".partition("e")
    return f"{float(mantissa)!r}e{int(exponent)}"


def _as_json(
    asked: PlanningInput,
    advised: Advice,
    evaluation: EvaluationForecast,
    own: SuitableSettings | None,
    names: Sequence[str],
    lines: Sequence[str],
    unsaid: Sequence[str],
) -> dict[str, Any]:
    distributed = advised.distributed
    against = distributed and distributed_epsilons(asked, distributed.event, asked.delta)
    return {
        "asked": asdict(asked) | {"threshold": asked.answering, "honest": asked.honest},
        "mode": advised.mode,
        "per_site": _plan_json(advised.per_site),
        "distributed": distributed and _plan_json(distributed),
        "distributed_epsilon": against and asdict(against),
        "study": own and _plan_json(own),
        "lines": list(lines),
        "evaluation": asdict(evaluation),
        "hospitals": [
            {
                "name": name,
                "patients": count,
                "expected_batch": count * advised.chosen.event.sampling_rate,
            }
            for name, count in zip(names, asked.patients, strict=True)
        ],
        "notes": [*_notes(asked, advised, evaluation, own, names), *unsaid],
    }


def _plan_json(plan: SuitableSettings) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "sampling_rate": plan.event.sampling_rate / plan.bands,
        "steps": plan.steps,
        "bands": plan.bands,
        "priced_steps": plan.event.steps,
        "noise_multiplier": plan.event.noise_multiplier,
        "clip": plan.clip,
        "learning_rate": plan.learning_rate,
        "noise_on_average": plan.noise,
        "expected_auroc": plan.expected and asdict(plan.expected),
    }


def _notes(
    asked: PlanningInput,
    advised: Advice,
    evaluation: EvaluationForecast,
    own: SuitableSettings | None,
    names: Sequence[str],
) -> list[str]:
    chosen = advised.chosen
    notes = [_too_few(asked, chosen) if chosen.learns_nothing else _reason(asked, advised)]
    if not asked.is_linear:
        notes.append(
            "the expected AUROC is that of a linear model whose gradients are as long: for this "
            "network it is a guide only; try `collegium sweep` on public or synthetic records"
        )
    if asked.prevalence is None:
        notes.append(
            "no prevalence is declared (task.prevalence, --prevalence): half is assumed, which "
            "promises too much where few patients are ill"
        )
    elif (
        asked.prevalence <= _FEW_ILL and chosen.clip < (1 - asked.prevalence) * asked.gradient_norm
    ):
        notes.append(
            "the clip makes risks too low where few patients are ill, so a risk of 0.5 may find "
            "nobody: use the model to order patients, and add to its output what the run's page "
            "says after the evaluation (docs/planning.md)"
        )
    notes += [
        f"{names[place]} is too small for per-site noise: with {asked.patients[place]} training "
        "patients it brings more noise than signal"
        for place in too_small(asked, chosen.mode)
    ]
    notes += evaluation_text(asked, evaluation, names)
    if own is not None:
        notes.append(_comparison(own, chosen))
    return notes


def _price_notes(
    asked: PlanningInput, chosen: SuitableSettings, study: Study | None, budget: float
) -> list[str]:
    """Returns notes on what the suggestion takes of a budget for life, its evaluation included."""
    attempts = study.priced_evaluations if study else 1
    tested = (study.evaluation.epsilon if study else None) or asked.epsilon
    noise = calibrate(epsilon=tested, delta=asked.delta, sampling_rate=1.0, steps=attempts)
    counting = SampledGaussian(noise_multiplier=noise, sampling_rate=1.0, steps=attempts)
    events, limit = (chosen.event, counting), Filter(epsilon_max=budget, delta=asked.delta)
    dear = too_dear(limit, events)
    return [
        f"training and evaluation take {percent(limit.share_of(events))} of a hospital's budget "
        f"for life of epsilon {budget:g} (--budget). {TWO_FIGURES}",
        *([f"{dear}: {CHEAPER}"] if dear else []),
    ]


def _too_few(asked: PlanningInput, plan: SuitableSettings) -> str:
    expected = plan.expected.auroc if plan.expected else 0.5
    return (
        f"too few patients for epsilon {asked.epsilon:g}: where an AUROC of {asked.auroc:g} could "
        f"be reached without privacy, {expected:.2f} is expected; use fewer columns, find more "
        "patients or allow a larger epsilon"
    )


def _reason(asked: PlanningInput, advised: Advice) -> str:
    expected = advised.chosen.expected
    reached = "what it reaches is not forecast"
    if expected is not None:
        reached = (
            f"AUROC {expected.auroc:.2f} is expected ({expected.low:.2f} or more in nine of ten "
            f"draws) where {asked.auroc:g} could be reached without privacy (--auroc)"
        )
    steps = counted(advised.chosen.steps, "step")
    why = f"{advised.mode} noise, {steps} with all patients: {reached}"
    if advised.mode == "per_site":
        return f"{why}; distributed noise would add {max(advised.gain, 0):.3f}"
    return (
        f"{why}, {advised.gain:.2f} more than with per-site noise. It leans on the secure sum in "
        f"every step and on {asked.honest} honest shares of noise; {asked.spare} spare draws are "
        "paid for"
    )


def _comparison(own: SuitableSettings, best: SuitableSettings) -> str:
    if own.expected is None or best.expected is None:
        return "the study's own optimiser is not simulated: what it reaches is not forecast"
    if own.expected.auroc >= best.expected.auroc - _AS_GOOD:
        return f"the study's own settings are as good: AUROC {own.expected.auroc:.2f} is expected"
    return (
        f"the study's own settings are worse: AUROC {own.expected.auroc:.2f} is expected, "
        f"{best.expected.auroc:.2f} with the advised ones"
    )


def _show(
    asked: PlanningInput, advised: Advice, own: SuitableSettings | None, console: Console
) -> None:
    ill = "not declared" if asked.prevalence is None else f"{asked.prevalence:g}"
    console.print(
        f"{len(asked.patients)} hospitals, {sum(asked.patients)} training patients, prevalence "
        f"{ill}, epsilon {asked.epsilon:g}, delta {show(asked.delta, Format.SMALL)}, "
        f"{asked.parameters} parameters, "
        f"{asked.answering} must answer, {asked.colluders} may collude",
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 1), show_edge=False)
    for heading in ("", "noise", "rate", "steps", "z", "clip", "learning rate", "expected AUROC"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "expected AUROC")
    rows = [("", advised.per_site), ("", advised.distributed), ("the study", own)]
    for label, plan in rows:
        if plan is not None:
            best = plan is advised.chosen and not plan.learns_nothing
            table.add_row("advised" if best else label, *_cells(plan))
    console.print(table)


def _cells(plan: SuitableSettings) -> tuple[str, ...]:
    return (
        plan.mode,
        f"{plan.event.sampling_rate / plan.bands:g}",
        f"{plan.steps}",
        f"{plan.event.noise_multiplier:.4g}",
        f"{plan.clip:g}",
        f"{plan.learning_rate:g}",
        "no forecast" if plan.expected is None else f"{plan.expected.auroc:.2f}",
    )
