"""The outcome of a preregistration: which criteria were met, and what was done otherwise.

A function of one dossier: released figures, rounds, the log, acts of people. Rules:

1. A criterion is decided by released figures alone, never by the exact ones of a simulation.
2. By its interval a criterion is met where the whole 95 % interval reaches the threshold, not met
   where it does not; by its estimate the value alone counts.
3. What is withheld, or was never released, decides nothing: the criterion cannot be decided, unless
   what is known decides it whatever the rest may be.
4. Deviations are those that records show, and those that people declared; software does not know
   any others.
"""

from compliance.facts.dossier.preregistration.criteria import CriterionResult, CriterionVerdict
from compliance.facts.dossier.preregistration.deviations import FoundDeviation
from compliance.facts.dossier.preregistration.outcome import (
    HypothesisResult,
    PreregistrationOutcome,
    preregistration_outcome,
)
from compliance.facts.dossier.preregistration.releasable import require_releasable

__all__ = [
    "CriterionResult",
    "FoundDeviation",
    "HypothesisResult",
    "PreregistrationOutcome",
    "CriterionVerdict",
    "preregistration_outcome",
    "require_releasable",
]
