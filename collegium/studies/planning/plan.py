"""A plan as it is shown, and as ``--json`` gives it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from collegium.studies.forecast import bins_text, correlated_forecast, correlated_text
from collegium.studies.planning.notes import compared_text, notes_of, price_notes
from collegium.studies.planning.settings import Planned, planned_for
from collegium.studies.question import PlanOptions
from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.facts.formatting import Format, show
from compliance.planning.advice import (
    MAX_STEPS,
    STEPS,
    PlanningInput,
    SuitableSettings,
    distributed_epsilons,
)
from compliance.planning.interim_forecast import interim_text
from compliance.planning.tuning import compared_runs
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.task.task import BinaryClassification

_WHAT_MODELS_REACH = (
    "--auroc, about what published models reach without privacy, is not given: "
    f"{ASSUMED_AUROC:g} is assumed; where they reach less, smaller steps are advised"
)


def plan_study(study: Study | None, options: PlanOptions, console: Console) -> dict[str, Any]:
    """Shows what to ask for, and how a study's own settings compare; returns it for ``--json``.

    Raises:
        StudyRefused: something is missing or makes no sense; says what.
    """
    steps = _steps(study, options)
    try:
        planned = planned_for(study, options, steps)
        asked, chosen = planned.asked, planned.advised.chosen
        compared = None if options.runs == 1 else compared_runs(asked, chosen, options.runs)
    except ValueError as error:
        raise StudyRefused(f"study plan: {error}") from error
    forecast = None if study is None else correlated_forecast(study)
    lines = study_lines(asked, chosen)
    if study is None and not planned.evaluation.note:
        lines += (f"evaluation: {{bins: {planned.evaluation.bins}}}",)
    notes = [
        *notes_of(planned),
        *([_WHAT_MODELS_REACH] if options.auroc is None else []),
        *([] if compared is None else [compared_text(asked, chosen, compared)]),
        *([] if study is None else [*bins_text(study), *interim_text(study, planned.evaluation)]),
        *price_notes(asked, chosen, study, options.budget),
        *([] if forecast is None else [correlated_text(forecast, study)]),
    ]
    _show(planned, console)
    if not chosen.learns_nothing:
        console.print("\nIn the study:", markup=False)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        console.print()
    for note in notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)
    return _as_json(planned, lines) | {
        "notes": notes,
        "compared_runs": compared and asdict(compared),
        "correlated_noise": forecast and asdict(forecast),
    }


def _steps(study: Study | None, options: PlanOptions) -> int:
    """Returns how many steps are planned, of a study that can be planned."""
    if study is not None and not study.trains:
        raise StudyRefused(
            f"study plan: {study.name} trains nothing: collegium study check says how wide its "
            "intervals will be"
        )
    if study is not None and not isinstance(study.task, BinaryClassification):
        raise StudyRefused(
            f"study plan: task {study.task.kind}: only binary classification is simulated; tune "
            "rate, clip and steps with collegium sweep on records of your own"
        )
    steps = STEPS if options.steps is None else options.steps
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 < steps <= MAX_STEPS:
        raise StudyRefused(f"--steps {steps}: a whole number from 1 to {MAX_STEPS:,}")
    return steps


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


def _as_json(planned: Planned, lines: Sequence[str]) -> dict[str, Any]:
    asked, advised, own = planned.asked, planned.advised, planned.own
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
        "evaluation": asdict(planned.evaluation),
        "hospitals": [
            {
                "name": name,
                "patients": count,
                "expected_batch": count * advised.chosen.event.sampling_rate,
            }
            for name, count in zip(planned.names, asked.patients, strict=True)
        ],
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


def _show(planned: Planned, console: Console) -> None:
    asked, advised = planned.asked, planned.advised
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
    rows = [("", advised.per_site), ("", advised.distributed), ("the study", planned.own)]
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
