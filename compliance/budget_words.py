"""One price in one unit: the share of a hospital's budget for life.

Everywhere that a price is shown (study check, silo check, silo budget, approval,
report, page) it is this part, as the ledger counts it; the forecast of a study is
what its reservation will book. Beside it may stand the study's epsilon.
"""

#: Why there are two figures, and which one adds up.
TWO_FIGURES = (
    "ε is what a study promises a patient on its own. The share of the budget is what the "
    "hospital's ledger counts over all studies of a life: shares add up, ε does not."
)


def percent(share: float) -> str:
    """Returns a share for people, with as many digits as mean something.

    >>> [percent(share) for share in (0.0, 0.0004, 0.0312, 0.236, 1.584)]
    ['0 %', 'under 0.1 %', '3.1 %', '24 %', '158 %']
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"
