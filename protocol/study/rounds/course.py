"""The course of a run: from which model it goes on after each evaluation.

A study with ``evaluation.roll_back`` takes back rounds that made the model worse. The rule:

1. After an evaluation the run goes on from the model that was evaluated, unless its figure is worse
   by more than ``roll_back`` than the best one before it. Then it goes on from the model that had
   the best figure; of equal ones from the latest.
2. A figure that was withheld takes nothing back, and is no best one.
3. The run ends with the model from which a further round would begin.

The figure is the task's headline, as it was released, in millionths: whole numbers, so that all who
compute this compare the same. The log holds, after each evaluation, the digest of all evaluations
until then. Hospitals are shown them with the next round, and refuse one that begins elsewhere.
What follows from released figures costs no patient more than these did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from protocol.codec import (
    Digest,
    from_json,
    integer,
    list_of,
    nested,
    optional,
    require_forms,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused
from protocol.study.study import Study
from protocol.study.study.rules.interim_rules import MOST_INTERIM

#: What an evaluation of a study that rolls back yields in the log: ``payload`` names its course.
COURSE = "course"
#: A figure is compared in units of this part.
MILLIONTHS = 10**6
#: The largest magnitude of a figure, in millionths.
MOST_FIGURE = 10**15
#: Bytes enough for every course.
MAX_COURSE_BYTES = 1 << 15


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """One evaluation: after how many training rounds, of which model, and what was released.

    ``figure`` is the headline in millionths; None where it is withheld.
    """

    rounds: Annotated[int, integer(1, 10_000)]
    model: Digest
    figure: Annotated[int | None, optional(integer(-MOST_FIGURE, MOST_FIGURE))]


@dataclass(frozen=True, kw_only=True)
class Course:
    """All evaluations of a run until now, in order: one at least.

    Raises:
        ValueError: there is none, or they are not in order.
    """

    evaluations: Annotated[
        tuple[EvaluatedModel, ...], list_of(nested(EvaluatedModel), MOST_INTERIM + 1)
    ]

    def __post_init__(self) -> None:
        require_forms(self)
        rounds = [one.rounds for one in self.evaluations]
        if not rounds or rounds != sorted(set(rounds)):
            raise ValueError("a course has evaluations, in order, each once")

    @property
    def last(self) -> EvaluatedModel:
        """The newest evaluation."""
        return self.evaluations[-1]

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that are shown to hospitals; the inverse is ``parse_course``."""
        return canonical(to_json(self))

    @property
    def digest(self) -> str:
        """The digest that stands in the log."""
        return digest(self.canonical_bytes)


def parse_course(data: bytes) -> Course:
    """Returns the course held in canonical bytes.

    Raises:
        MessageRefused: it is malformed.
    """
    return from_json(Course, parse_canonical(data))


def figure_in_millionths(value: float | None) -> int | None:
    """Returns a released figure as it is compared; None where it is withheld."""
    if value is None:
        return None
    return min(MOST_FIGURE, max(-MOST_FIGURE, round(value * MILLIONTHS)))


def goes_on_from(study: Study, course: Course) -> EvaluatedModel:
    """Returns the evaluation whose model a run goes on from after the last one of its course.

    That is the last one itself, unless ``evaluation.roll_back`` takes it back.
    """
    *before, last = course.evaluations
    worse = study.evaluation.roll_back
    best = best_of(study, before)
    if worse is None or best is None or last.figure is None or best.figure is None:
        return last
    lost = last.figure - best.figure if study.task.lower_is_better else best.figure - last.figure
    return best if lost > round(worse * MILLIONTHS) else last


def best_of(study: Study, evaluations: Sequence[EvaluatedModel]) -> EvaluatedModel | None:
    """Returns the evaluation with the best figure, of equal ones the latest; None without any."""
    sign = -1 if study.task.lower_is_better else 1
    known = [(sign * one.figure, one.rounds, one) for one in evaluations if one.figure is not None]
    return max(known, key=lambda found: found[:2])[2] if known else None


def require_whole(study: Study, course: Course, rounds: int) -> None:
    """Checks that a course has every evaluation of a run until after so many training rounds.

    Raises:
        MessageRefused: one is missing, or is after other rounds.
    """
    due = [
        after
        for number in study.evaluations.numbers
        if (after := study.evaluations.rounds_before("evaluation", number)) <= rounds
    ]
    if [one.rounds for one in course.evaluations] != due:
        raise MessageRefused("the course of the run is not of the evaluations that its study names")


def rolled_back_text(after: int, to: int) -> str:
    """Returns that a run went back, in words: after so many rounds, to the model after others.

    >>> rolled_back_text(10, 5)
    'rolled back after round 10, to the model after round 5, which was better'
    """
    return f"rolled back after round {after}, to the model after round {to}, which was better"
