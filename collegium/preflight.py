"""What can be known before anything starts: what a study promises, whether the records fit.

It runs where the records are, in seconds, without Ray or torch, and prints
counts only.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from collegium.consortium import DEFAULT_BUDGET, Settings
from collegium.foretold_evaluation import foretold_evaluation, foretold_words
from collegium.hospital_records import dealt_records, simulated_parts
from collegium.planning import foretold
from compliance.budget_filter import Filter
from compliance.budget_words import TWO_FIGURES, percent
from compliance.claim_words import if_more_collude, while_few_collude
from compliance.study_shelf import index_beside
from pipelines.plausible import Remark, nobody_returns, remarks, some_patient_returns
from pipelines.records import Records
from protocol.errors import CohortRefused, StudyRefused
from protocol.privacy import PatientPrivacy
from protocol.study import Study
from silos.budget_words import CHEAPER, too_dear
from silos.privacy_plan import PrivacyPlan

#: By how much advised settings must be better before a study is warned.
_MUCH = 0.05


def describe_study(
    study: Study, console: Console, budget: float = DEFAULT_BUDGET
) -> dict[str, Any]:
    """Shows what a study promises, and its part of a budget; returns it for ``--json``."""
    privacy, colluders = study.privacy, study.aggregation.colluders
    console.print(f"[bold]{study.title}[/bold]: a valid study")
    console.print(f"  digest {study.digest}")
    console.print(
        f"  {len(study.sites)} sites, {study.threshold} must answer, "
        f"{colluders} may collude; "
        f"{study.training.rounds} rounds of {study.training.local_steps} steps, and "
        f"{study.aggregation.spare_draws} to spare if rounds must be drawn anew"
    )
    if isinstance(privacy, PatientPrivacy):
        console.print(
            f"  each hospital: epsilon {privacy.epsilon:g}, delta {privacy.delta:g}, "
            f"unit {privacy.unit}"
        )
        for site in study.sites:
            if site.epsilon is not None or site.sampling_rate is not None:
                _describe_choice(study, site.name, console)
        plan = PrivacyPlan.of(study, privacy)
        if plan.fallback_epsilon is not None:
            console.print(
                f"  the noise is shared: this holds {while_few_collude(colluders)}; "
                f"{if_more_collude(colluders)}, epsilon {plan.fallback_epsilon:.3g}"
            )
        console.print(
            f"  noise multiplier {plan.training.noise_multiplier:g}, in the evaluation "
            f"{plan.evaluation.noise_multiplier:g}"
        )
        _describe_price(plan, budget, console)
    else:
        console.print("  no differential privacy: a simulation only", style="yellow")
    expected = _describe_expected(study, console)
    return {
        "name": study.name,
        "digest": study.digest,
        "sites": list(study.site_names),
        "expected_auroc": expected,
        "evaluation": _describe_evaluation(study, expected, console),
    }


def _describe_evaluation(
    study: Study, expected: float | None, console: Console
) -> dict[str, Any] | None:
    """Says what the evaluation will be able to say; warns where that is nothing."""
    auroc = 0.8 if expected is None else max(0.5, expected)
    found = foretold_evaluation(study, auroc=auroc)
    if found is None:
        return None
    for number, line in enumerate(foretold_words(study, auroc=auroc)):
        style = "yellow" if number == 0 and found.may_be_withheld else None
        console.print(f"  {line}", style=style, markup=False, soft_wrap=True)
    return asdict(found)


def _describe_expected(study: Study, console: Console) -> float | None:
    """Says what the training is expected to reach, and warns where other settings reach more."""
    plans = foretold(study)
    if plans is None or plans[0].expected is None or plans[1].expected is None:
        return None
    own, advised = plans[0].expected.auroc, plans[1].expected.auroc
    console.print(
        f"  expected AUROC {own:.2f}, for patients whom a model without privacy would tell apart "
        "with 0.8"
    )
    if own < advised - _MUCH:
        console.print(
            f"  warning: the settings that `collegium study plan` advises are expected to reach "
            f"{advised:.2f}",
            style="yellow",
        )
    if study.task.prevalence is None:
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
            f"  {site}: epsilon {plan.epsilon:.3g}, sampling rate "
            f"{plan.training.sampling_rate:g}, noise multiplier {plan.training.noise_multiplier:g}"
        )


def check_records(study: Study, folder: Path, data: Path, console: Console) -> dict[str, Any]:
    """Checks every site's records against the contract, as the hospitals would.

    Raises:
        CohortRefused: what does not fit, for up to two sites, and how many more.
    """
    Settings(data=data).require_sources(study)
    index = index_beside(study, folder)
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for heading in ("  site", "records", "training patients", "test patients"):
        table.add_column(heading, overflow="fold")
    found: dict[str, Any] = {}
    refused: list[str] = []
    dealt = dealt_records(study, data)
    for site, records in dealt.items():
        try:
            train, test = simulated_parts(study, site, records, index)
        except CohortRefused as error:
            refused.append(str(error))
            continue
        counts = {"train_patients": train.num_patients, "test_patients": test.num_patients}
        found[site] = {"records": len(records)} | counts
        table.add_row(f"  {site}", str(len(records)), *map(str, counts.values()))
    if refused:
        more = f" (and {len(refused) - 2} more sites)" if len(refused) > 2 else ""
        raise CohortRefused("\n".join(refused[:2]) + more)
    console.print(table)
    for site, said in _remarks(dealt, study).items():
        found[site]["remarks"] = [f"{remark.what}: {remark.found}" for remark in said]
        for remark in said:
            advice = f"; {remark.remedy}" if remark.remedy else ""
            console.print(
                f"  {site}: {remark.found}{advice}",
                style="yellow" if remark.remedy else None,
                markup=False,
                soft_wrap=True,
            )
    return {"sites": found}


def _remarks(dealt: Mapping[str, Records], study: Study) -> dict[str, list[Remark]]:
    """Returns what was counted of each site; that nobody returns, where others' patients do."""
    some_return = any(map(some_patient_returns, dealt.values()))
    said = {}
    for site, records in dealt.items():
        said[site] = list(remarks(records, study.cohort))
        alone = nobody_returns(records, study.cohort) if some_return else None
        if alone is not None:
            said[site].append(alone)
    return said


def _describe_price(plan: PrivacyPlan, budget: float, console: Console) -> None:
    """Says what a hospital's ledger would count the study as, and warns where that is much."""
    limit = Filter(epsilon_max=budget, delta=plan.delta)
    share = limit.share_of((plan.training, plan.evaluation))
    console.print(
        f"  training and evaluation take {percent(share)} of a hospital's budget for life of "
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
    dear = too_dear(limit, (plan.training, plan.evaluation))
    if dear is not None:
        console.print(f"  {dear}: {CHEAPER}", style="yellow", soft_wrap=True)
