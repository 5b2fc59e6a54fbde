"""One price in one unit: the share of a hospital's budget for life.

Everywhere that a price is shown (study check, silo check, silo budget, approval,
report, page) it is this part, as the ledger counts it; the forecast of a study is
what its reservation will book. Beside it may stand the study's epsilon.
"""

import math

#: What the arithmetic of a share may be off by, in hundredths or thousandths.
_EXACT = 1e-9
#: Why there are two figures, and which one adds up.
TWO_FIGURES = (
    "ε is what a study promises a patient on its own. The share of the budget is what the "
    "hospital's ledger counts over all studies of a life: shares add up, ε does not."
)


def percent(share: float) -> str:
    """Returns a share that is taken, for people: rounded up, with digits that mean something.

    >>> [percent(share) for share in (0.0, 0.0004, 0.0312, 0.236, 0.2849, 1.584)]
    ['0 %', 'under 0.1 %', '3.2 %', '24 %', '29 %', '159 %']
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0 < share < 0.0999:
        return f"{math.ceil(1000 * share - _EXACT) / 10:.1f} %"
    return f"{math.ceil(100 * share - _EXACT)} %"


def percent_left(share: float) -> str:
    """Returns a share that is left, for people: rounded down, so never all of it once some is gone.

    >>> [percent_left(share) for share in (0.0, 0.0004, 0.0312, 0.236, 0.99999999, 1.0)]
    ['0 %', 'under 0.1 %', '3.1 %', '23 %', '99 %', '100 %']
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0 < share < 0.1:
        return f"{math.floor(1000 * share + _EXACT) / 10:.1f} %"
    return "99 %" if 0.99 <= share < 1 else f"{math.floor(100 * share + _EXACT)} %"
