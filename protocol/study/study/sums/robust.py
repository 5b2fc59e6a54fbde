"""A robust rule: how the sums of groups of hospitals become one update.

Under secure aggregation nobody sees a single update, so none can be judged. With groups whose
membership is fixed in the study, each summed by itself, a rule over the groups' means bounds what
the hospitals of few groups can do to the model.
"""

from typing import Literal

from pydantic import Field

from protocol.study.frozen_model import FrozenModel
from protocol.study.study.sums.participation import SiteNames

#: Fewer groups have no middle.
LEAST_GROUPS = 3
#: So many hospitals make as many groups of the smallest secure sum.
LEAST_HOSPITALS = 9


class RobustRule(FrozenModel):
    """The coordinate-wise ``median``, or ``trimmed_mean``, of the groups' weighted means.

    ``trim`` groups are left out at either end of each coordinate of a trimmed mean. Each group
    counts alike in the rule, whatever its number of patients.
    """

    rule: Literal["median", "trimmed_mean"]
    groups: tuple[SiteNames, ...] = Field(max_length=85)
    trim: int | None = Field(default=None, ge=1, le=42, exclude_if=lambda trim: trim is None)

    @property
    def bears(self) -> int:
        """The number of groups that may hold wrong updates without ruling any coordinate."""
        return self.trim or (len(self.groups) - 1) // 2

    @property
    def least_groups(self) -> int:
        """The fewest groups' sums that make a round: the rule still leaves out wrong ones."""
        return max(LEAST_GROUPS, 2 * (self.trim or 1) + 1)

    def trimmed(self, groups: int) -> int:
        """Returns how many of so many groups are left out at either end of a coordinate."""
        return self.trim or (groups - 1) // 2
