"""The parts that reports of all kinds share: what stands first and last, and prose with its basis.

Rules:

1. Every sentence of a report stands in ``Claims`` with its basis, but for those of ``banner`` and
   footer, which sum up or warn, and notes that say how a table is read.
2. A table or drawing follows statements that name the entries it was made from.
"""

from compliance.reports.kinds.parts.preregistration import outcome_claims, preregistration_sections
from compliance.reports.kinds.parts.prose import all_entries, of_the_method, with_basis
from compliance.reports.kinds.parts.report import SUPPORTS, KindText, report

#: What the kinds of report use.
__all__ = [
    "SUPPORTS",
    "KindText",
    "all_entries",
    "of_the_method",
    "outcome_claims",
    "preregistration_sections",
    "report",
    "with_basis",
]
