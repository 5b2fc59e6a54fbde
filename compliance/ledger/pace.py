"""Forecast of a hospital's budget: how many more runs fit, and when it ends at the pace of late.

It rests on what the hospital signed after its runs; nothing else of its ledger is known outside.
Rules:

1. What is booked adds up: a run's share is the same whenever it runs, so the rest of the budget
   holds so many runs as its share fits into it.
2. The pace is what was booked in the last 90 days, over the days since the first run of these. It
   is none where that is less than 14 days ago: a day with three runs is no pace.
3. The end is no promise: it assumes that runs go on as they did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

#: Days that a pace is measured over, at most and at least.
WINDOW, LEAST = 90, 14
#: An end that is further away is no forecast.
_FURTHEST = 365 * 100
#: What rounding of signed shares may take of a whole run.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class PricedShare:
    """The part of a hospital's budget that was booked when a run ended, and the run's own part."""

    at: datetime
    booked: float
    own: float


@dataclass(frozen=True, kw_only=True)
class BudgetForecast:
    """The forecast of one hospital's budget.

    Attributes:
        site: the hospital.
        booked: the part that is booked, as it was signed last.
        price: the part that one more run of the study takes.
        runs_left: how many more of them fit; None where they cost nothing.
        per_day: the part that is booked in a day; None where there is no pace.
        since: the first run that the pace rests on; None where there is no pace.
        ends: the day on which the budget ends at that pace; None where there is none, or no end.
    """

    site: str
    booked: float
    price: float | None
    runs_left: int | None
    per_day: float | None = None
    since: date | None = None
    ends: date | None = None


def budget_forecast(
    site: str, shares: Sequence[PricedShare], price: float | None, now: datetime
) -> BudgetForecast | None:
    """Returns the forecast of a hospital's budget; None where it has signed nothing.

    Args:
        site: the hospital.
        shares: what it signed after its runs, in any order; those that lie between do not matter.
        price: the part of the budget that one run of the study takes.
        now: the present, with a time zone.
    """
    if not shares:
        return None
    ordered = sorted(shares, key=lambda share: (share.at, share.booked))
    booked = ordered[-1].booked
    left = max(0.0, 1 - booked)
    per_day, since = _pace(ordered, now)
    return BudgetForecast(
        site=site,
        booked=booked,
        price=price,
        runs_left=math.floor(left / price + _ROUNDING) if price else None,
        per_day=per_day,
        since=since,
        ends=_end(left, per_day, now),
    )


def _pace(ordered: Sequence[PricedShare], now: datetime) -> tuple[float | None, date | None]:
    recent = [share for share in ordered if now - share.at <= timedelta(days=WINDOW)]
    if not recent or now - recent[0].at < timedelta(days=LEAST):
        return None, None
    days = (now - recent[0].at) / timedelta(days=1)
    before = recent[0].booked - recent[0].own
    return max(0.0, recent[-1].booked - before) / days, recent[0].at.date()


def _end(left: float, per_day: float | None, now: datetime) -> date | None:
    if not per_day or left / per_day > _FURTHEST:
        return None
    return (now + timedelta(days=left / per_day)).date()
