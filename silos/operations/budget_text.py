"""Sentences about a study's share of a hospital's budget, the same wherever it is said."""

from collections.abc import Sequence

from compliance.facts.formatting import Format, show
from compliance.ledger.entries import Forecast
from compliance.privacy.booked_price import DEAR, times_too_dear
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import percent, percent_left


def forecast_text(found: Forecast) -> str:
    """Returns what a study would take of a hospital's budget, and how often it fits."""
    if found.share is None:
        return "this study protects nobody"
    share, left = percent(found.share), percent_left(found.remaining)
    left = f"takes {share} of the budget for life, {left} is left"
    if found.runs == 0:
        return f"this study {left}: it does NOT fit"
    runs = "1 run of it fits" if found.runs == 1 else f"{found.runs} runs of it fit"
    return f"this study {left}: {runs}"


def price_text(
    found: Forecast, *, epsilon: float, delta: float, unit: str, apart: bool, counted: str = ""
) -> str:
    """Returns a study's price in one sentence: what is booked, what is claimed, why they differ.

    Args:
        found: what the ledger would book.
        epsilon, delta: what each ``unit`` (patient or record) is promised in this study.
        apart: whether training and test patients have a budget each.
        counted: who pays its counts, where it trains nothing.
    """
    both = "" if apart else ", training and evaluation for every patient"
    both = f", the counts for {counted}, once" if counted else both
    return (
        f"{forecast_text(found)}; each {unit} is promised epsilon {show(epsilon, Format.EPSILON)} "
        f"at delta {show(delta, Format.SMALL)} in this study alone; the budget counts what adds up "
        f"over all studies{both}"
    )


def too_dear(limit: Filter, events: Sequence[SampledGaussian]) -> str | None:
    """Returns a warning where the ledger counts a study much dearer than it is; else None."""
    times = times_too_dear(limit, events)
    if times <= DEAR:
        return None
    what = f"{times:.1f} times" if times < 100 else "more than 100 times"
    return (
        f"a ledger with a budget of epsilon {limit.epsilon_max:g} counts this study {what} as dear "
        "as a plan fixed beforehand"
    )


#: What can be done about it.
CHEAPER = "a larger sampling rate, or more noise and more steps, costs less; or a larger budget"
