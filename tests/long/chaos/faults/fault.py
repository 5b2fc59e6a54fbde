"""A fault: what is done, when, to whom, and how a run may end that meets it."""

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.runs.resources import RunTimeouts
from protocol.study.study import Study
from silos.rounds.silo import MakeTrainer
from tests.long.chaos.stage import PATIENT, PER_SITE, Stage
from tests.support.simulated.federation import LinearTrainer


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One line of the table.

    Args:
        what: what is done.
        whom: to whom.
        when: at which step, before or after which message.
        play: makes it happen, and waits until the run has ended.
        ends: the states in which the run may end.
        same_model: the model must be that of a run without a fault wherever all
            hospitals were in every round, at its first attempt; false where a
            hospital forgot its noise.
        same_update: and in later attempts too: the same update is masked again.
        nothing_open: every hospital's reservation is closed at the end.
        short: belongs to the short form, which every `make test` runs.
    """

    what: str
    whom: str
    when: str
    play: Callable[[Stage], None]
    ends: tuple[str, ...] = ("finished",)
    study: Study = PER_SITE
    pace: RunTimeouts = PATIENT
    trainer: MakeTrainer = LinearTrainer
    same_model: bool = True
    same_update: bool = False
    nothing_open: bool = True
    short: bool = False

    @property
    def name(self) -> str:
        """One name for one fault, as a test is called."""
        return "-".join(f"{self.whom} {self.what} {self.when}".lower().replace(",", "").split())
