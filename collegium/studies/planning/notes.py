"""Sentences about a plan: why it is advised, what it reaches, costs and leaves out."""

from collegium.studies.forecast import evaluation_text
from collegium.studies.planning.settings import Planned
from compliance.facts.formatting import Format, show
from compliance.planning.advice import Advice, PlanningInput, SuitableSettings, too_small
from compliance.planning.tuning import ComparedRuns
from compliance.privacy.accounting import calibrate
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import TWO_FIGURES, percent
from protocol.counted import counted
from protocol.study.study import Study
from silos.operations.budget_text import CHEAPER, too_dear

#: Differences below this are within what drawing the patients anew changes.
_AS_GOOD = 0.02
#: Up to this share of ill patients risks came out too low in every measured cohort.
_FEW_ILL = 0.2


def notes_of(
    planned: Planned,
) -> list[str]:
    """Returns what people should know of a plan, sentence by sentence."""
    asked, advised, names = planned.asked, planned.advised, planned.names
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
    notes += evaluation_text(asked, planned.evaluation, names)
    if planned.own is not None:
        notes.append(_comparison(planned.own, chosen))
    return notes


def price_notes(
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


def compared_text(asked: PlanningInput, one: SuitableSettings, each: ComparedRuns) -> str:
    """Returns what several runs for one price would cost and reach, as a sentence."""
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
        return "the study's own strategy is not simulated: what it reaches is not forecast"
    if own.expected.auroc >= best.expected.auroc - _AS_GOOD:
        return f"the study's own settings are as good: AUROC {own.expected.auroc:.2f} is expected"
    return (
        f"the study's own settings are worse: AUROC {own.expected.auroc:.2f} is expected, "
        f"{best.expected.auroc:.2f} with the advised ones"
    )
