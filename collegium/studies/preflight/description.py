"""The promise of a study: what it does, costs and releases, shown before anything starts."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.markup import escape

from collegium.simulation.pricing import round_bytes
from collegium.simulation.settings import (
    DEFAULT_BUDGET,
    can_build,
    require_network,
)
from collegium.studies.forecast import (
    Tested,
    bins_text,
    column_text,
    correlated_forecast,
    correlated_text,
    forecast_text,
    group_forecast,
    group_text,
    study_forecast,
)
from collegium.studies.planning.settings import forecast_plans
from collegium.studies.preflight.registered_plan import describe_preregistration
from compliance.estimates.binned_scores.auroc import ASSUMED_AUROC
from compliance.facts.formatting import Format, show
from compliance.facts.training_description import training_description
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.planning.interim_forecast import interim_facts, interim_text
from compliance.privacy.budget_filter import Filter
from compliance.privacy.claims import correlated_noise, if_more_collude, while_few_collude
from compliance.privacy.rounding import TWO_FIGURES, percent
from pipelines.recipes.admission import recipe_notes
from pipelines.recipes.installed import is_installed
from protocol.counted import counted
from protocol.errors import PolicyRefused, StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study, SumOfSites
from protocol.study.task.task import prevalence_of
from protocol.vectors.adaptive_clip import felt_multiplier
from silos.operations.budget_text import CHEAPER, too_dear

#: By how much advised settings must be better before a study is warned.
_MUCH = 0.05
#: From how much larger a group on a robust rule counts its patients for too little.
_UNEQUAL = 2
_NOBODY: Tested = MappingProxyType({})


def describe_study(
    study: Study, console: Console, budget: float = DEFAULT_BUDGET, *, with_records: bool = False
) -> dict[str, Any]:
    """Shows what a study promises, and its part of a budget; returns it for ``--json``.

    Args:
        study: the study.
        console: where it is shown.
        budget: of a hospital, for life.
        with_records: ``check_records`` follows: any network is built, see ``require_network``,
            and the evaluation is forecast there, from the test patients that there are.

    Raises:
        StudyRefused: the budget is no finite number above zero, or the network does not fit.
        PolicyRefused: a recipe's installed files are not as in its wheel.
    """
    if not 0 < budget < math.inf:
        raise StudyRefused(f"--budget {budget:g}: a budget for life is a finite epsilon above zero")
    console.print(f"[bold]{escape(study.title)}[/bold]: a valid study")
    console.print(f"  digest {study.digest}")
    console.print(
        f"  {len(study.sites)} sites, {study.threshold} must answer, "
        f"{study.aggregation.colluders} may collude; {_work(study)}"
    )
    sums = _describe_sums(study, console)
    _describe_start(study, console)
    registered = describe_preregistration(study, console)
    recipes = _describe_recipes(study, console)
    require_network(study, any_network=with_records)
    price, correlated = None, None
    if isinstance(study.privacy, PatientPrivacy):
        plan = _describe_privacy(study, study.privacy, console)
        correlated = _describe_correlation(study, console)
        price = _describe_price(plan, budget, console)
    else:
        console.print("  no differential privacy: a simulation only", style="yellow")
    crosses = _describe_bytes(study, console, with_records=with_records)
    expected = _describe_expected(study, console)
    return {
        "name": study.name,
        "digest": study.digest,
        "sites": list(study.site_names),
        "recipes": recipes,
        "sums": sums,
        "budget": price,
        "correlated_noise": correlated,
        "bytes_per_round": crosses,
        "expected_auroc": expected,
        "evaluation": None if with_records else describe_evaluation(study, expected, console),
        **({} if registered is None else {"preregistration": registered}),
        **({} if (interim := interim_facts(study)) is None else {"interim_evaluations": interim}),
    }


def _describe_privacy(study: Study, privacy: PatientPrivacy, console: Console) -> PrivacyPlan:
    """Says what each hospital promises a patient, and with how much noise; returns the plan."""
    console.print(
        f"  each hospital: epsilon {show(privacy.epsilon, Format.EPSILON)}, "
        f"delta {show(privacy.delta, Format.SMALL)}, unit {privacy.unit}"
    )
    for site in study.sites:
        if site.epsilon is not None or site.sampling_rate is not None:
            _describe_choice(study, site.name, console)
    plan, colluders = PrivacyPlan.of(study, privacy), study.aggregation.colluders
    if plan.fallback_epsilon is not None:
        console.print(
            f"  the noise is shared: this holds {while_few_collude(colluders)}; "
            f"{if_more_collude(colluders)}, "
            f"epsilon {show(plan.fallback_epsilon, Format.EPSILON)}"
        )
    noise = [f"in the evaluation {plan.evaluation.noise_multiplier:g}"]
    if plan.trains and study.participation is None:  # of batches each has its own, said above
        noise.insert(0, f"{plan.training.noise_multiplier:g}")
    console.print(f"  noise multiplier {', '.join(noise)}")
    if privacy.adaptive_clip is not None:
        felt = felt_multiplier(plan.training.noise_multiplier, study.count_deviation)
        console.print(
            f"  the clip is adaptive, from {privacy.clip:g}: its count of patients is in that "
            f"price, and training feels a noise multiplier of {felt:g}"
        )
    return plan


def _describe_correlation(study: Study, console: Console) -> dict[str, Any] | None:
    """Says what a study's correlated noise is, and what it leaves; None where its noise is not."""
    if study.privacy.correlated_noise is None:
        return None
    bands, forecast = study.privacy.bands, correlated_forecast(study)
    console.print(
        f"  {correlated_noise(bands).strip()} A patient's chance of a cycle is "
        f"{study.privacy.priced_rate:g}",
        soft_wrap=True,
    )
    if forecast is None:
        return {"bands": bands}
    style = None if forecast.is_worth_it else "yellow"
    console.print(f"  {correlated_text(forecast, study)}", style=style, soft_wrap=True)
    return asdict(forecast)


def _describe_bytes(study: Study, console: Console, *, with_records: bool) -> dict[str, Any] | None:
    """Shows what crosses in a training round, where the network is at hand to be built.

    Raises:
        StudyRefused: the ring that the study names is too narrow for its network.
    """
    asked = study.communication is not None or (with_records and not study.task.is_linear)
    if not (study.trains and asked and can_build(study)):
        return None
    found = round_bytes(study)
    part = "all" if found.sent >= found.parameters else f"{found.sent:,} of"
    step = f", in steps of 2^-{found.frac_bits}" if found.frac_bits else ""
    console.print(
        f"  a training round: each hospital sends {part} {found.parameters:,} parameters in "
        f"{found.ring_bits} bits each{step}: {found.up:,} bytes; it is sent {found.down:,} bytes, "
        f"the {'sum' if found.as_sum else 'model'}; keys and shares come on top"
    )
    return asdict(found)


def _describe_sums(study: Study, console: Console) -> list[str]:
    """Says who is summed with whom, where that is not everybody, and what a robust rule costs."""
    lines = [*_turns_text(study), *_robust_text(study)]
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    return lines


def _turns_text(study: Study) -> Iterator[str]:
    """Yields the batches that take turns, and what each hospital pays."""
    if study.participation is None:
        return
    for place, batch in enumerate(study.participation.batches, start=1):
        threshold = SumOfSites.over(batch).threshold
        yield f"batch {place}: {', '.join(batch)}; {threshold} must answer"
    alike: dict[str, list[str]] = {}
    for site in study.site_names:
        alike.setdefault(_turns_of(study, site), []).append(site)
    for said, sites in alike.items():
        yield f"{', '.join(sites)}: {'each ' if len(sites) > 1 else ''}{said}"


def _turns_of(study: Study, site: str) -> str:
    """Returns in how many rounds a hospital takes part, and what it pays for them."""
    plan = PrivacyPlan.at(study, site)
    said = f"in {study.rounds_of(site)} of {study.training.rounds} rounds"
    if plan is None:
        return said
    return (
        f"{said}, and pays {counted(plan.training.steps, 'step')}, spare ones included: epsilon "
        f"{show(plan.epsilon, Format.EPSILON)} at noise multiplier "
        f"{plan.training.noise_multiplier:g}"
    )


def _robust_text(study: Study) -> Iterator[str]:
    """Yields what a robust rule is, needs, bears, and does not do."""
    robust = study.robust
    if robust is None:
        return
    ends = f" without {robust.trim} at either end" if robust.trim else ""
    yield (
        f"robust: {robust.rule.replace('_', ' ')}{ends} of {len(robust.groups)} groups' means; it "
        f"bears {counted(robust.bears, 'group')} with poisoned hospitals, and a round needs "
        f"{robust.least_groups} groups"
    )
    for place, group in enumerate(robust.groups, start=1):
        threshold = SumOfSites.over(group).threshold
        yield (
            f"group {place}: {', '.join(group)}; {threshold} must answer, "
            f"{study.aggregation.colluders} may collude in it"
        )
    patients = [sum(study.site(site).patients for site in group) for group in robust.groups]
    if max(patients) > _UNEQUAL * min(patients):
        yield (
            f"the groups declare {min(patients)} to {max(patients)} patients, and count alike: a "
            "patient of a large group counts for less"
        )
    yield (
        "what the hospitals of one group alone have to teach (patients whom nobody else treats) "
        "a robust rule leaves out, as it leaves out poison: docs/robustness.md has a measured "
        "example"
    )
    if study.evaluation.roll_back is None:
        yield (
            "a round that makes the model worse is not rolled back: the study does not say "
            "evaluation.roll_back"
        )


def _work(study: Study) -> str:
    """Returns what is done how often."""
    if study.calendar is not None:
        return (
            f"every patient is counted, in a reference and {counted(study.calendar, 'release')} "
            "after it, which are priced together; nothing is trained"
        )
    if not study.trains:
        if study.has_model:
            return (
                "the study's model is evaluated on each hospital's test patients, once; nothing is "
                "trained, and a training patient pays nothing"
            )
        return "every patient is counted, once; nothing is trained"
    return (
        f"{counted(study.training.rounds, 'round')} of "
        f"{counted(study.training.local_steps, 'step')}, and "
        f"{study.aggregation.spare_draws} more if rounds fail and must be repeated"
    )


def _describe_start(study: Study, console: Console) -> None:
    """Says what the network starts from, what is trained and released, where the study says so."""
    for heading, words in training_description(study.model_dump(mode="json")):
        console.print(f"  {heading} {words}", markup=False, soft_wrap=True)
    count = study.training.average_last
    if count > max(1, study.aggregation.keep_rounds):
        console.print(
            f"  an audit can compute that mean again with aggregation.keep_rounds: {count}",
            style="yellow",
        )


def _describe_recipes(study: Study, console: Console) -> list[dict[str, Any]]:
    """Says of each recipe whether it is installed here, and whether its wheel was compared.

    Raises:
        PolicyRefused: one is installed, and its files are not as they must be.
    """
    found = []
    for package, fault in recipe_notes(study):
        if fault is not None and is_installed(package):
            raise PolicyRefused(fault)
        compared = fault is None and package.required.of_wheel
        if not compared:
            words = fault or (
                f"{package} is installed here as its own RECORD says; its wheel's digest is "
                "unchecked: put the wheel beside the study to have it compared"
            )
            console.print(f"  {words}", style="yellow", markup=False, soft_wrap=True)
        found.append(
            package.model_dump() | {"is_compared_with_its_wheel": compared, "fault": fault}
        )
    return found


def describe_evaluation(
    study: Study, expected: float | None, console: Console, tested: Tested = _NOBODY
) -> dict[str, Any] | None:
    """Says what the evaluation will be able to say; warns where that is nothing."""
    for line in (*column_text(study), *bins_text(study)):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    auroc = ASSUMED_AUROC if expected is None else max(0.5, expected)
    found = study_forecast(study, auroc=auroc, tested=tested)
    for line in interim_text(study, found):
        style = "yellow" if line.startswith("warning") else None
        console.print(f"  {line}", style=style, markup=False, soft_wrap=True)
    if found is None:
        return None
    for number, line in enumerate(forecast_text(study, auroc=auroc, tested=tested)):
        style = "yellow" if number == 0 and found.may_be_withheld else None
        console.print(f"  {line}", style=style, markup=False, soft_wrap=True)
    groups = group_forecast(study, auroc=auroc, tested=tested)
    for line in group_text(groups):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    return asdict(found) | {"groups": None if groups is None else asdict(groups)}


def _describe_expected(study: Study, console: Console) -> float | None:
    """Says what the training is expected to reach, and warns where other settings reach more."""
    plans = forecast_plans(study)
    if plans is None or plans[0].expected is None or plans[1].expected is None:
        return None
    own, advised = plans[0].expected.auroc, plans[1].expected.auroc
    console.print(
        f"  expected AUROC {own:.2f}, if a model without privacy reaches {ASSUMED_AUROC:g}, "
        "which is assumed (collegium study plan --auroc takes another)"
    )
    if own < advised - _MUCH:
        console.print(
            f"  warning: the settings that `collegium study plan` advises are expected to reach "
            f"{advised:.2f}",
            style="yellow",
        )
    if prevalence_of(study.task) is None:
        console.print("  task.prevalence is not declared: half of the patients are taken for ill")
    return own


def _describe_choice(study: Study, site: str, console: Console) -> None:
    """Says what a hospital with a choice of its own promises, or refuses what cannot hold."""
    try:
        plan = PrivacyPlan.at(study, site)
    except StudyRefused as error:
        raise StudyRefused(f"sites: {site}: {error}") from error
    if plan is not None:
        console.print(
            f"  {site}: epsilon {show(plan.epsilon, Format.EPSILON)}, sampling rate "
            f"{plan.training.sampling_rate:g}, noise multiplier {plan.training.noise_multiplier:g}"
        )


def _describe_price(plan: PrivacyPlan, budget: float, console: Console) -> dict[str, Any]:
    """Says what a hospital's ledger would count the study as, and warns where that is much.

    Returns the budget, the study's share of it, and whether it is enough.
    """
    limit = Filter(epsilon_max=budget, delta=plan.delta)
    share = limit.share_of(plan.events)
    what = "training and evaluation take" if plan.trains else "the counts take"
    if plan.has_model and not plan.trains:
        what = "the evaluation takes"
    console.print(
        f"  {what} {percent(share)} of a hospital's budget for life of "
        f"epsilon {budget:g} (--budget)"
    )
    console.print(f"  {TWO_FIGURES}", style="dim", soft_wrap=True)
    if share > 1:
        console.print(
            f"  warning: a hospital whose budget is epsilon {budget:g} refuses this study; only a "
            "simulation opens as large a budget as the study needs",
            style="yellow",
            soft_wrap=True,
        )
    dear = too_dear(limit, plan.events)
    if dear is not None:
        console.print(f"  {dear}: {CHEAPER}", style="yellow", soft_wrap=True)
    return {"epsilon": budget, "share": share, "is_enough": share <= 1}
