"""The evaluations of a run, and which of its rounds were taken back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show
from protocol.counted import counted
from protocol.study.study import EvaluationSchedule


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts:
    """One evaluation: after how many rounds, of which model, and the headline that it released.

    ``goes_on`` is the number of rounds after which the model was made that the run went on from:
    the same, unless rounds were taken back.
    """

    rounds: int
    model_digest: str
    released: Interval
    survivors: tuple[str, ...]
    goes_on: int

    @property
    def is_taken_back(self) -> bool:
        """Whether the run went back to an earlier model after it."""
        return self.goes_on != self.rounds


@dataclass(frozen=True, kw_only=True)
class CourseFacts:
    """The evaluations of a run that has interim ones, in order; ``planned`` of them were planned.

    ``roll_back`` is by how much a figure may be worse than the best one; None where nothing is
    taken back. ``is_priced`` is False of a run without noise.
    """

    figure: FigureKind
    planned: int
    rounds: int
    roll_back: float | None
    is_priced: bool
    evaluations: tuple[EvaluationFacts, ...]

    @property
    def taken_back(self) -> tuple[EvaluationFacts, ...]:
        """The evaluations after which the run went back."""
        return tuple(one for one in self.evaluations if one.is_taken_back)

    @property
    def final(self) -> EvaluationFacts | None:
        """The evaluation of the model that the run ended with; None before its end."""
        ends = next((one for one in self.evaluations if one.rounds == self.rounds), None)
        known = {one.rounds: one for one in self.evaluations}
        return None if ends is None else known.get(ends.goes_on)

    @property
    def earlier_end(self) -> str | None:
        """The statement that the run ended with an earlier model; None where it did not."""
        final = self.final
        if final is None or final.rounds == self.rounds:
            return None
        return (
            f"The run ended with the model after round {final.rounds}, and its figures are "
            "those that were released then: the best of several, so rather too good."
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """The course in sentences: what was evaluated, taken back, and stands for the run."""
        priced = "; each was paid for" if self.is_priced else ""
        said = [f"{counted(len(self.evaluations), 'evaluation')} of {self.planned}{priced}."]
        for one in self.taken_back:
            said.append(
                f"Rolled back after round {one.rounds}: {self.figure.title} "
                f"{show(one.released, self.figure.form)} was worse by more than "
                f"{self.roll_back:g} than after round {one.goes_on}, whose model the run went on "
                "from."
            )
        if self.roll_back is not None and not self.taken_back:
            said.append("No round was taken back.")
        return (*said, *(() if self.earlier_end is None else (self.earlier_end,)))

    def to_json(self) -> dict[str, Any]:
        """Returns the course as ``--json`` shows it."""
        return {
            "figure": self.figure.name,
            "roll_back": self.roll_back,
            "planned": self.planned,
            "sentences": list(self.sentences),
            "evaluations": [
                {
                    "after_round": one.rounds,
                    "model_digest": one.model_digest,
                    "sites": list(one.survivors),
                    "released": asdict(one.released),
                    "rolled_back_to": one.goes_on if one.is_taken_back else None,
                }
                for one in self.evaluations
            ],
        }


def course_facts(
    study: Mapping[str, Any], figure: FigureKind, evaluations: tuple[EvaluationFacts, ...]
) -> CourseFacts | None:
    """Returns the course of a run; None of a study that is evaluated at its end alone.

    Args:
        study: the study's document.
        figure: the headline of its task.
        evaluations: those that were released.
    """
    every = study.get("evaluation", {}).get("every")
    if every is None:
        return None
    rounds = study["training"]["rounds"]
    return CourseFacts(
        figure=figure,
        planned=EvaluationSchedule(rounds=rounds, every=every).interim + 1,
        rounds=rounds,
        roll_back=study["evaluation"].get("roll_back"),
        is_priced=study["privacy"]["mode"] != "none",
        evaluations=evaluations,
    )
