"""The Study: the plan that hospitals agree to, as one frozen record.

Rules that every record keeps:

1. At least three sites, named once each; threshold t and colluders C obey
   2t > n + C, t > C and t - C >= 2 (``docs/protocol.md``).
2. epsilon is finite and above zero, delta lies in (0, 1) and below 1/n for
   every declared patient count.
3. The masked sum cannot wrap a ring of 64 bits (``ring_bounds``).
4. Canonical bytes (RFC 8785) and their SHA-256 name the study; any change
   makes another study.
"""

from protocol.study.study.agreed.preregistration import Preregistration, SuccessCriterion
from protocol.study.study.names import BUNDLED, NAME, Digest, Name, RelativePath, Seed, nearest
from protocol.study.study.schedule import EvaluationSchedule
from protocol.study.study.sites import PartitionByColumn, PartitionBySkew, Partitioning, Site
from protocol.study.study.splits import ColumnSplit, FileSplit, KeyedHashSplit, Split
from protocol.study.study.study import Study
from protocol.study.study.sums.aggregation import Aggregation, Seeds
from protocol.study.study.sums.communication import Communication
from protocol.study.study.sums.participation import SiteBatches, SumOfSites
from protocol.study.study.sums.robust import RobustRule

__all__ = [
    "BUNDLED",
    "NAME",
    "Aggregation",
    "ColumnSplit",
    "Communication",
    "Digest",
    "EvaluationSchedule",
    "FileSplit",
    "KeyedHashSplit",
    "Name",
    "PartitionByColumn",
    "PartitionBySkew",
    "Partitioning",
    "Preregistration",
    "RelativePath",
    "RobustRule",
    "Seed",
    "Seeds",
    "Site",
    "SiteBatches",
    "Split",
    "Study",
    "SuccessCriterion",
    "SumOfSites",
    "nearest",
]
