"""Second opinion on a hospital's gradients and price, asked once at joining.

The training process asks (``Trainer.second_opinion``), for the network is there; nothing of
it depends on records. The hospital signs what was found in its summary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import rounded_up
from protocol.errors import StudyRefused

#: The error that Opacus' accountant is asked for; its upper bound lies up to twice that too high.
EPSILON_ERROR = 0.01


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """The gradients' distances from others' (of their norm), the versions compared, and the price.

    ``engine_distance`` is to one backward per record, ``opacus_distance`` to Opacus' hooks,
    ``opacus_epsilon`` an upper bound of what training costs, by Opacus' accountant. None where
    nothing was compared: gradients that an auditor chose, a study without privacy.
    """

    torch: str = ""
    opacus: str = ""
    engine_distance: float | None = None
    opacus_distance: float | None = None
    opacus_epsilon: float | None = None


class OpinionSource(Protocol):
    """A trainer, as far as it is asked here."""

    def second_opinion(
        self, event: SampledGaussian | None, delta: float
    ) -> Mapping[str, str | float | None]:
        """Returns the fields of a ``SecondOpinion``; see ``Trainer.second_opinion``."""


def second_opinion_of(trainer: OpinionSource, plan: PrivacyPlan | None) -> SecondOpinion:
    """Returns what is found of a trainer's network and of a plan.

    Raises:
        StudyRefused: the network is unfit, its gradients differ, or the plan claims less than
            Opacus' accountant finds.
    """
    event, delta = (plan.training, plan.delta) if plan else (None, 0.0)
    found = SecondOpinion(**trainer.second_opinion(event, delta))  # type: ignore[arg-type]
    if plan is not None and found.opacus_epsilon is not None:
        require_not_cheaper(plan.epsilon, found.opacus_epsilon)
    return found


def require_not_cheaper(claimed: float, found: float) -> None:
    """Refuses a claim that is below what Opacus' accountant finds at least.

    Raises:
        StudyRefused: it is.
    """
    if claimed < found - 2.1 * EPSILON_ERROR:
        raise StudyRefused(
            f"privacy: training is priced at epsilon {rounded_up(claimed, 4):g}, and Opacus' "
            f"accountant finds {rounded_up(found, 4):g}: one of the two is wrong, and nothing is "
            "trained at this price"
        )
