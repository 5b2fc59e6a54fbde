"""The limits within which a figure is shown, and the words that stand in place of one that is not.

Whether a figure is shown is asked of numbers of patients and of the noise, never of the figure: to
show what noise made narrow would choose the draws whose interval misses.
"""

TOO_FEW = "too few patients for this epsilon"
#: The widest half of an interval that is released, as it was to be expected: beyond, not
#: even an AUROC of 0.75 could be told from chance.
WIDEST = 0.25
#: So many deviations of its noise a number of patients is taken to lie off at most.
MARGIN = 2.0
#: A figure that fewer patients by so many deviations of their noise would have withheld lies near
#: the border of what is shown: that it is shown tells of the noise in it.
BESIDE = 1.5
#: Whether a share of patients is shown is asked of one like this.
USUAL_SHARE = 0.8
#: A number of patients of no more than this is none: a sum without noise has whole ones.
NO_PATIENT = 0.5


def too_few(deviation: float) -> str:
    """Returns why a figure is withheld; without noise there is no epsilon to name.

    >>> too_few(2.0), too_few(0.0)
    ('too few patients for this epsilon', 'too few patients')
    """
    return TOO_FEW if deviation else "too few patients"
