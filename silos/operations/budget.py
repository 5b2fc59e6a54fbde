"""The spent, reserved and remaining budget of a hospital's patients, and a study's forecast cost.

It looks and changes nothing: a study's cost is forecast, not reserved.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compliance.ledger.entries import PARTITIONS, LedgerSummary, Partition
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.rounding import TWO_FIGURES, percent
from protocol.errors import LedgerBroken, PolicyRefused, StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from silos.config.patient_statement import NOTHING_STATED, PatientStatement, stays_on_one_side
from silos.database.database import SiteDatabase
from silos.operations.budget_text import forecast_text


def read_budget(
    hospital: SiteDatabase,
    study: Study | None = None,
    stated: PatientStatement = NOTHING_STATED,
) -> dict[str, Any]:
    """Returns where a hospital's budget stands, for ``--json``; shares are parts of it.

    Args:
        hospital: an open database; nothing in it is changed.
        study: what a forecast is wanted for, at what this hospital promises.
        stated: what the hospital states about its patients.

    Raises:
        PolicyRefused: no budget was opened.
        LedgerBroken: the ledger is damaged; says whose.
    """
    site = hospital.site
    try:
        hospital.ledger.verify()
        hospital.ledger.require_newest()
        summary = hospital.ledger.summary()
        return {
            "epsilon_max": summary.epsilon_max,
            "delta": summary.delta,
            "ledger_entries": summary.num_entries,
            "partitions": {part: _partition(summary, part) for part in PARTITIONS},
            "open_reservations": [asdict(plan) for plan in hospital.ledger.open_plans()],
            "forecast": None if study is None else _forecast(hospital, study, stated),
        }
    except LedgerBroken as error:
        raise LedgerBroken(f"site {site}: {error}") from error
    except PolicyRefused as error:
        raise PolicyRefused(f"site {site}: {error}") from error


def require_cost(study: Study) -> None:
    """Refuses a study that protects nobody, so that it has nothing to forecast.

    Raises:
        StudyRefused: says so.
    """
    if not isinstance(study.privacy, PatientPrivacy):
        raise StudyRefused(f"study {study.name} has no differential privacy: it costs no budget")


def _partition(summary: LedgerSummary, partition: Partition) -> dict[str, float]:
    line = summary.of(partition)
    return {
        "share_spent": line.spent,
        "share_reserved": line.reserved,
        "share_remaining": line.remaining,
    }


def _forecast(
    hospital: SiteDatabase, study: Study, stated: PatientStatement
) -> dict[str, Any] | None:
    """Returns what one more run of a study takes of the budget, and how often it fits."""
    plan = PrivacyPlan.at(study, hospital.site)
    if plan is None:
        return None
    found = hospital.ledger.forecast(plan.plans(apart=stays_on_one_side(study, stated)))
    return asdict(found) | {"fits": found.fits, "text": forecast_text(found)}


def print_budgets(found: Mapping[str, Any], console: Console) -> None:
    """Prints every hospital's budget (by site), and what a study would take of it."""
    _show(found, console)
    for site, budget in found.items():
        forecast = budget["forecast"]
        if forecast is not None:
            console.print(
                f"  {site}: {forecast['text']}",
                markup=False,
                style=None if forecast["fits"] else "yellow",
            )


def _show(found: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for heading in ("hospital", "patients", "budget", "spent", "reserved", "remaining"):
        table.add_column(heading, overflow="fold")
    for site, budget in found.items():
        lines = budget["partitions"]
        if lines["training"] == lines["evaluation"]:
            lines = {"all": lines["training"]}
        for patients, line in lines.items():
            shares = (line[f"share_{what}"] for what in ("spent", "reserved", "remaining"))
            table.add_row(
                Text(site), patients, f"epsilon {budget['epsilon_max']:g}", *map(percent, shares)
            )
    console.print(table)
    console.print(f"  {TWO_FIGURES}", style="dim", soft_wrap=True)
    for site, budget in found.items():
        for plan in budget["open_reservations"]:
            console.print(
                f"  {site}: run {plan['run']} holds {percent(plan['share_planned'])} for its "
                f"{plan['round_kind']}, {percent(plan['share_sent'])} is sent",
                markup=False,
            )
