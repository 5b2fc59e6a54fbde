"""The Kaplan-Meier estimate written down directly: an oracle.

Source: Kaplan and Meier 1958, JASA 53. Of a time at which some have the event and some are censored
the events come first, as in lifelines' ``KaplanMeierFitter``.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def event_free_at(
    times: NDArray[np.float64], events: NDArray[np.bool_], horizon: float
) -> Fraction:
    """Returns the share of patients without the event beyond a horizon.

    Args:
        times: (patients,) when each was last observed.
        events: (patients,) whether the event came then.
        horizon: events at it count.
    """
    share = Fraction(1)
    for time in sorted({*times[events & (times <= horizon)].tolist()}):
        at_risk, came = int((times >= time).sum()), int(((times == time) & events).sum())
        share *= 1 - Fraction(came, at_risk)
    return share
