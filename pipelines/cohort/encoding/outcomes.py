"""Outcomes: labels that are made of an event's day, an index day and the last day of observation.

Days are counted from the index day, which is day 0. ``protocol.study.cohort.labels`` says what each
label means; here it is computed, of each record alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.study.cohort.labels import DatedLabel, EventLabel, signed_times


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """The labels of some records, and the records that have none.

    Attributes:
        labels: (records,) 0 or 1; or signed days, see ``SurvivalLabel``.
        days: (records,) to the event or the end of the observation, for a label of times.
        unobserved: (records,) whether a record was not observed for long enough.
        before_index: (records,) whether its event came before the days that count.
    """

    labels: NDArray[np.float32]
    days: NDArray[np.float64]
    unobserved: NDArray[np.bool_]
    before_index: NDArray[np.bool_]


def outcomes(
    label: DatedLabel,
    event: NDArray[np.float64],
    index: NDArray[np.float64],
    until: NDArray[np.float64],
) -> Outcomes:
    """Returns what a label says of some records.

    Args:
        label: the contract's.
        event: (records,) the day of the event, NaN where there was none.
        index: (records,) the index day.
        until: (records,) the last day on which an event would have been seen.

    A record whose index or last day is NaN is neither observed nor unobserved; the caller refuses
    or drops it.

    >>> label = EventLabel(event_date="e", index_date="i", observed_until="u", within_days=30)
    >>> days = np.array([0, 1, 30, 31, np.nan, np.nan]) + 100
    >>> last = np.array([90, 90, 30, 90, 30, 29]) + 100.0
    >>> found = outcomes(label, days, np.full(6, 100.0), last)
    >>> found.labels.tolist(), found.unobserved.tolist(), found.before_index.tolist()[:2]
    ([0.0, 1.0, 1.0, 0.0, 0.0, 0.0], [False, False, False, False, False, True], [True, False])
    """
    after, observed = event - index, until - index
    before = after < label.from_day
    counts = ~np.isnan(event) & ~before & (event <= until)
    if isinstance(label, EventLabel):
        ill = counts & (after <= label.within_days)
        return Outcomes(
            labels=ill.astype(np.float32),
            days=after,
            unobserved=~ill & (observed < label.within_days),
            before_index=before,
        )
    days = np.where(counts, after, observed)
    return Outcomes(
        labels=signed_times(np.nan_to_num(days), counts.astype(np.float64)),
        days=days,
        unobserved=~counts & (observed < label.from_day),
        before_index=before,
    )
