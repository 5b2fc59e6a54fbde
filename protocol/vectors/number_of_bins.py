"""The number of bins that an evaluation's scores are counted in, where the study says ``auto``.

Few bins hide the order of many pairs of patients; many hold more noise together. The number is the
one of ``NUMBERS`` at which half the 95 % interval of an AUROC of 0.8, and what the bins hide of it,
are least. It follows from the study alone, so hospitals and coordinator agree on it.
"""

import math
from collections.abc import Iterable

#: What is chosen among.
NUMBERS = (4, 8, 16, 32, 64)
_Z95 = 1.96
#: Of the variance of an AUROC of 0.8, over the healthy and over the ill patients drawn.
_BY_HEALTHY, _BY_ILL = 0.027, 0.071
#: How far from 0.8 the part of the others lies that a patient in a bin is above, squared, in the
#: mean over the bins: the noise of each count moves the AUROC by so much.
_BY_NOISE = 0.15
#: An AUROC counted in n bins is wider by up to this over n squared, by what the bins hide.
_HIDDEN = 0.5


def number_of_bins(patients: float, prevalence: float, deviation: float, rows: int = 1) -> int:
    """Returns the number of bins for so many test patients.

    Args:
        patients: of all hospitals, as the study leads one to expect.
        prevalence: the share of them who are ill, in (0, 1).
        deviation: of the noise in each pooled count, in patients; 0 where there is none.
        rows: in how many counts a class of patients is counted at each score.

    >>> number_of_bins(300, 0.5, 5.0), number_of_bins(5000, 0.3, 5.0), number_of_bins(300, 0.5, 0)
    (4, 16, 64)

    Source: Hanley and McNeil 1982, Radiology 143 (the patients' part of the variance).
    """
    healthy, ill = patients * (1 - prevalence), patients * prevalence
    drawn = _BY_HEALTHY / healthy + _BY_ILL / ill
    noise = _BY_NOISE * rows * deviation**2 * (1 / healthy**2 + 1 / ill**2)

    def width(bins: int) -> float:
        return _Z95 * math.sqrt(drawn + noise * bins) + _HIDDEN / bins**2

    return min(NUMBERS, key=width)


def roughly_noised(
    epsilons: Iterable[float], delta: float, releases: int, site_share: float
) -> float:
    """Returns the deviation of pooled counts to be expected of hospitals with these epsilons.

    It is that of the classical Gaussian mechanism, which for an epsilon of about one is a third
    more than what a hospital adds; to choose a number of bins that is near enough.

    Source: Dwork and Roth 2014, Algorithmic Foundations of Differential Privacy, theorem A.1.
    """
    one = math.sqrt(2 * math.log(1.25 / delta) * releases / (1 - site_share))
    return one * math.sqrt(sum(1 / epsilon**2 for epsilon in epsilons))
