"""The evaluations of one run as they were released, and the run's course that follows from them.

Each evaluation releases its figures and the sites' signed tables, under names of their own; the
last one under ``evaluation`` and ``site-tables``. The figures of a run are those of the model that
it ends with: of the last evaluation, or of an earlier one that the run went back to.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.facts.figures import TASK_FIGURES
from coordinator.database.store import RoundRow, evaluation_of
from coordinator.rounds.evaluation.released import Figures, Released, released_from
from protocol.encoding import parse_canonical
from protocol.secagg.context import RoundContext
from protocol.study.rounds.course import (
    Course,
    EvaluatedModel,
    figure_in_millionths,
    goes_on_from,
)
from protocol.study.study import Study

#: The kind of a run's last figures.
EVALUATION = "evaluation"
#: The kind of the record of signed tables, beside the figures.
TABLES = "site-tables"


@dataclass(frozen=True, kw_only=True)
class ReleasedEvaluation:
    """One evaluation of a run: its round's number, and the digest of the model; its headline.

    ``rounds`` of training came before it. ``goes_on`` is the number of rounds after which the model
    was made that the run went on from: the same, unless rounds were taken back.
    """

    number: int
    rounds: int
    model: str
    headline: Interval
    survivors: tuple[str, ...]
    goes_on: int


def kinds_of(study: Study, number: int) -> tuple[str, str]:
    """Returns the names under which the figures and the tables of an evaluation are released."""
    if number == study.training.rounds:
        return EVALUATION, TABLES
    rounds = study.evaluations.rounds_before("evaluation", number)
    return f"{EVALUATION}-after-{rounds}", f"{TABLES}-after-{rounds}"


def headline_of(study: Study, figures: Figures) -> Interval:
    """Returns the figure of an evaluation by which a run's course is decided."""
    return figures[TASK_FIGURES[study.task.kind].headline.name]


def course_with(
    study: Study, before: Course | None, rounds: int, model: str, released: Released
) -> Course:
    """Returns a run's course with one more evaluation: of a model, after so many rounds."""
    value = headline_of(study, released.figures).value
    one = EvaluatedModel(rounds=rounds, model=model, figure=figure_in_millionths(value))
    return Course(evaluations=(*(before.evaluations if before else ()), one))


def evaluations_of(session: Session, run_id: str, study: Study) -> Iterator[ReleasedEvaluation]:
    """Yields a run's evaluations that were released, in order.

    Raises:
        StoreBroken: an evaluation was released more than once.
    """
    query = select(RoundRow).filter_by(run_id=run_id, round_kind=EVALUATION, state="finished")
    rows = {row.number: row for row in session.scalars(query)}
    course: Course | None = None
    for number in study.evaluations.numbers:
        if number not in rows:
            continue
        payload = evaluation_of(session, run_id, kinds_of(study, number)[0])
        if payload is None:
            continue
        released = released_from(json.loads(payload))
        context = RoundContext.from_json(parse_canonical(rows[number].context_json.encode()))
        rounds = study.evaluations.rounds_before(EVALUATION, number)
        if rounds:
            course = course_with(study, course, rounds, context.model_hash, released)
        yield ReleasedEvaluation(
            number=number,
            rounds=rounds,
            model=context.model_hash,
            headline=headline_of(study, released.figures),
            survivors=tuple(json.loads(rows[number].survivors_json)),
            goes_on=goes_on_from(study, course).rounds if course is not None else rounds,
        )


def course_of(session: Session, run_id: str, study: Study) -> Course | None:
    """Returns a run's course until now, from what was released; None before any evaluation."""
    found = [
        EvaluatedModel(
            rounds=one.rounds, model=one.model, figure=figure_in_millionths(one.headline.value)
        )
        for one in evaluations_of(session, run_id, study)
        if one.rounds
    ]
    return Course(evaluations=tuple(found)) if found else None


def released_at_end(session: Session, run_id: str, study: Study) -> str | None:
    """Returns the figures of the model that a run ends with, as JSON; None before its end."""
    last = evaluation_of(session, run_id, EVALUATION)
    if last is None or study.evaluation.roll_back is None:
        return last
    course = course_of(session, run_id, study)
    if course is None or course.last.rounds != study.training.rounds:
        return last
    number = study.evaluations.number_after(goes_on_from(study, course).rounds)
    return last if number is None else evaluation_of(session, run_id, kinds_of(study, number)[0])
