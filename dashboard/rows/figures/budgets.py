"""Budgets for life: what is left of each, how many runs fit, and when the first one ends."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.ledger.pace import WINDOW, BudgetForecast, PricedShare, budget_forecast
from compliance.privacy.rounding import percent
from compliance.reports.document import Columns, Table, table_of
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.texts import say

#: Days of a month, as a pace is told.
_MONTH = 30


def telling_runs(runs: Sequence[RunSummary], shown: str, now: datetime) -> tuple[str, ...]:
    """Returns the few runs whose hospitals' signatures tell their budgets and their pace.

    They are the run that is shown, the newest that ended, and the first of the last 90 days: what
    was booked between them needs no look.

    Args:
        runs: all runs of the store.
        shown: the run that stands for the study.
        now: the present, with a time zone.
    """
    ended = sorted((r for r in runs if r.state != "running"), key=lambda run: run.started_at)
    protected = [run for run in ended if run.epsilon is not None]
    recent = [run for run in protected if (now - moment(run.started_at)).days <= WINDOW]
    found = [shown, *(run.run_id for run in (*protected[-1:], *recent[:1]))]
    return tuple(dict.fromkeys(found))


def forecasts(
    shown: Dossier, others: Iterable[Dossier], now: datetime
) -> tuple[BudgetForecast, ...]:
    """Returns the forecast of each hospital of a study that has a budget, the fullest first.

    Args:
        shown: the run that stands for the study: it says what one more run costs.
        others: further runs, of any study of these hospitals.
        now: the present, with a time zone.
    """
    signed: dict[str, list[PricedShare]] = {}
    for dossier in {one.run_id: one for one in (shown, *others)}.values():
        for site in dossier.sites:
            booked = site.privacy.budget_share
            if booked is not None:
                at = moment(dossier.ended_at or dossier.started_at)
                own = site.privacy.run_share or 0.0
                share = PricedShare(at=at, booked=booked, own=own)
                signed.setdefault(site.site, []).append(share)
    found = [
        budget_forecast(s.site, signed.get(s.site, ()), _price(shown, s.privacy.run_share), now)
        for s in shown.sites
    ]
    known = [one for one in found if one is not None]
    return tuple(sorted(known, key=lambda one: (-one.booked, one.site)))


def _price(shown: Dossier, share: float | None) -> float | None:
    """Returns what one more run costs: what the last took, if it took all that was planned."""
    return share if shown.state == "finished" and not shown.test_noise else None


def forecast_table(found: Sequence[BudgetForecast]) -> Table:
    """Returns of each budget how many runs fit and when it ends, then what that follows from.

    Without a pace at any hospital its column and that of the end are left out.
    """
    begin: Columns[BudgetForecast] = (
        (say("budgets.hospital"), Format.TEXT, lambda one: one.site),
        (say("budgets.runs_left"), Format.COUNT, lambda one: one.runs_left),
    )
    ends: Columns[BudgetForecast] = (
        (
            say("budgets.ends"),
            Format.TEXT,
            lambda one: None if one.ends is None else one.ends.isoformat(),
        ),
    )
    shares: Columns[BudgetForecast] = (
        (say("budgets.booked"), Format.SHARE, lambda one: one.booked),
        (say("budgets.price"), Format.SHARE, lambda one: one.price),
    )
    pace: Columns[BudgetForecast] = ((say("budgets.pace"), Format.SHARE, _monthly),)
    has_pace = any(one.per_day is not None for one in found)
    columns = (*begin, *ends, *shares, *pace) if has_pace else (*begin, *shares)
    return table_of(say("budgets.title"), found, columns)


def _monthly(one: BudgetForecast) -> float | None:
    return None if one.per_day is None else one.per_day * _MONTH


def runs_sentence(found: Sequence[BudgetForecast]) -> str:
    """Returns how many more runs fit at this study's price; why that is not known."""
    priced = [one for one in found if one.runs_left is not None]
    if not priced:
        return say("budgets.no_price")
    first = min(priced, key=lambda one: (one.runs_left or 0, one.site))
    return say("budgets.more_runs", number=first.runs_left or 0, site=first.site)


def pace_sentence(found: Sequence[BudgetForecast]) -> str:
    """Returns when the first budget ends at the pace of late, and what that assumes; or why not."""
    if not any(one.per_day is not None for one in found):
        return say("budgets.no_pace")
    ending = [one for one in found if one.ends is not None]
    if not ending:
        return say("budgets.no_end")
    first = min(ending, key=lambda one: (one.ends or date.max, one.site))
    return say(
        "budgets.first_end",
        share=percent(_monthly(first) or 0.0),
        site=first.site,
        ends=first.ends,
        since=first.since,
    )


def moment(text: str) -> datetime:
    """Returns a moment as it is stored (ISO 8601, UTC) with its time zone.

    >>> moment("2026-11-21T10:00:00.000Z").isoformat()
    '2026-11-21T10:00:00+00:00'
    """
    return datetime.fromisoformat(text).astimezone(UTC)
