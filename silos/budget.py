"""What a hospital's patients have spent, reserved and left, and what a study would cost them.

It looks and changes nothing: a study's cost is foretold, not reserved.
"""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from compliance.ledger import Ledger
from compliance.ledger_records import PARTITIONS, PICO, Entry, LedgerSummary, Partition, State
from compliance.store import Hospital
from protocol.errors import LedgerBroken, PolicyRefused, StudyRefused
from protocol.privacy import PatientPrivacy
from protocol.study import Study
from silos.privacy_plan import PrivacyPlan


def read_budget(hospital: Hospital, study: Study | None = None) -> dict[str, Any]:
    """Returns where a hospital's budget stands, for ``--json``.

    Args:
        hospital: an open database; nothing in it is changed.
        study: what a forecast is wanted for, at what this hospital promises.

    Raises:
        PolicyRefused: no budget was opened.
        LedgerBroken: the ledger is damaged; says whose.
    """
    site = hospital.site
    plan = None if study is None else PrivacyPlan.at(study, site)
    try:
        hospital.ledger.verify()
        hospital.ledger.require_newest()
        summary = hospital.ledger.summary()
        return {
            "epsilon_max": summary.epsilon_max,
            "delta": summary.delta,
            "ledger_entries": summary.num_entries,
            "partitions": {part: _partition(summary, part) for part in PARTITIONS},
            "open_reservations": _open_reservations(hospital, summary),
            "forecast": forecast(hospital.ledger, plan) if plan else None,
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
    """Epsilons are what the filter enforces; shares are of what the budget holds."""
    line = summary.of(partition)
    return {
        "epsilon_spent": line.epsilon_spent,
        "epsilon_reserved": max(0.0, line.epsilon_committed - line.epsilon_spent),
        "epsilon_remaining": max(0.0, summary.epsilon_max - line.epsilon_committed),
        "share_spent": line.spent / summary.capacity,
        "share_reserved": line.reserved / summary.capacity,
        "share_remaining": line.remaining / summary.capacity,
    }


def _open_reservations(hospital: Hospital, summary: LedgerSummary) -> list[dict[str, Any]]:
    with hospital.transaction() as book:
        entries = book.entries()
    closed = {e.parent for e in entries if e.state in (State.SETTLED, State.RELEASED)}
    sent: dict[int | None, int] = {}
    for entry in entries:
        if entry.state is State.SENT:
            sent[entry.parent] = sent.get(entry.parent, 0) + entry.rho
    return [
        _reservation(entry, sent.get(entry.number, 0), summary.capacity)
        for entry in entries
        if entry.state is State.RESERVED and entry.number not in closed
    ]


def _reservation(entry: Entry, sent: int, capacity: float) -> dict[str, Any]:
    return {
        "study": entry.study,
        "run": entry.run,
        "partition": entry.partition,
        "reserved_at": entry.created_at,
        "share_planned": entry.rho / PICO / capacity,
        "share_sent": sent / PICO / capacity,
    }


def forecast(ledger: Ledger, plan: PrivacyPlan) -> dict[str, Any]:
    """What one more run of a study costs its dearer group of patients, and whether it fits."""
    epsilon_max = ledger.summary().epsilon_max
    parts: dict[str, Any] = {}
    for partition, event in (("training", plan.training), ("evaluation", plan.evaluation)):
        found = ledger.forecast(event, partition)  # type: ignore[arg-type]
        cost = found.epsilon_after - found.epsilon_before
        parts[partition] = {
            "epsilon_cost": cost if math.isfinite(cost) else None,
            "epsilon_remaining": max(0.0, epsilon_max - found.epsilon_before),
            "share_cost": found.rho / ledger.summary().capacity if math.isfinite(cost) else None,
            "fits": found.fits,
        }
    return {"fits": all(part["fits"] for part in parts.values()), "partitions": parts}


def print_budgets(found: Mapping[str, Any], console: Console) -> None:
    """Prints every hospital's budget (by site), and what a study would cost it."""
    _show(found, console)
    for site, budget in found.items():
        _show_forecast(site, budget["forecast"], console)


def _show(found: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for heading in ("hospital", "patients", "budget", "spent", "reserved", "remaining"):
        table.add_column(heading, no_wrap=True)
    for site, budget in found.items():
        for partition, line in budget["partitions"].items():
            table.add_row(
                site,
                partition,
                f"{budget['epsilon_max']:g}",
                *(
                    f"{line[f'epsilon_{what}']:.2f} ({line[f'share_{what}']:.0%})"
                    for what in ("spent", "reserved", "remaining")
                ),
            )
    console.print(table)
    console.print(
        "  epsilon at the budget's delta, for life; in brackets the share of what the filter holds",
        style="dim",
    )
    for site, budget in found.items():
        for plan in budget["open_reservations"]:
            console.print(
                f"  {site}: run {plan['run']} holds {plan['share_planned']:.0%} of the "
                f"{plan['partition']} budget, {plan['share_sent']:.0%} is sent",
                markup=False,
            )


def _show_forecast(site: str, forecast: dict[str, Any] | None, console: Console) -> None:
    if forecast is None:
        return
    for partition, line in forecast["partitions"].items():
        cost = line["epsilon_cost"]
        words = (
            "this study protects nobody"
            if cost is None
            else f"this study costs {cost:.2g} of the remaining {line['epsilon_remaining']:.2g}"
        )
        verdict = "it fits" if line["fits"] else "it does NOT fit"
        console.print(
            f"  {site}, {partition} patients: {words}: {verdict}",
            markup=False,
            style=None if line["fits"] else "yellow",
        )
