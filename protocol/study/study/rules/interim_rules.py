"""Rules about interim evaluations, and about going back to the model that was best.

A run goes back to a *model*. So what a round depends on beside the model it begins with must not
stay behind: what a server remembers of earlier rounds, and what hospitals keep at home. Else the
rounds after it would go on from a mixture of two courses, and nobody could say of which.
"""

from collections.abc import Iterator

from protocol.study.strategies.registry import strategy_of
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord

#: Every interim evaluation is paid for, and hospitals are shown all of them at once.
MOST_INTERIM = 100


def interim_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of evaluations before the last one, and of going back by them."""
    every, worse = study.evaluation.every, study.evaluation.roll_back
    problems: list[Problem] = []
    if not study.trains:
        named = {"every": every, "roll_back": worse}
        return [
            (f"evaluation.{key}", "this study trains nothing: leave it out")
            for key, value in named.items()
            if value is not None
        ]
    if every is not None:
        problems += _every_problems(study, every)
    if worse is not None:
        problems += _roll_back_problems(study, worse)
    return problems


def _every_problems(study: StudyRecord, every: int) -> Iterator[Problem]:
    path, rounds = "evaluation.every", study.training.rounds
    if every >= rounds:
        yield (
            path,
            f"of {rounds} rounds the last is evaluated anyway: write fewer than {rounds}, or leave "
            "it out",
        )
    elif study.evaluations.interim > MOST_INTERIM:
        yield (
            path,
            f"{study.evaluations.interim} evaluations before the last one, each of which is paid "
            f"for: at most {MOST_INTERIM}; write a larger number",
        )


def _roll_back_problems(study: StudyRecord, worse: float) -> Iterator[Problem]:
    path, strategy = "evaluation.roll_back", strategy_of(study.training)
    name = study.training.strategy
    if study.evaluation.every is None:
        yield path, "no round but the last is evaluated: say after how many, evaluation.every"
    if worse >= 1 and not study.task.lower_is_better:
        yield path, f"no figure from 0 to 1 becomes worse by more than {worse:g}: write less than 1"
    if strategy.remembers(study.training):
        yield (
            path,
            f"the server of {name} remembers earlier rounds, which an earlier model does not take "
            "back: take a strategy whose server does not (fedavg, fedprox), or leave it out",
        )
    elif strategy.personal is not None or strategy.sends:
        yield (
            path,
            f"with {name} each hospital keeps what it learned in earlier rounds, which an earlier "
            "model does not take back: take another strategy, or leave it out",
        )
    if study.training.average_last > 1:
        yield (
            "training.average_last",
            "the last rounds' models are averaged, and a run that goes back has dropped some of "
            "them: leave average_last or evaluation.roll_back out",
        )
    if study.training.late_discount is not None:
        yield (
            "training.late_discount",
            "an update that comes late would be of rounds that the run went back behind: leave "
            "late_discount or evaluation.roll_back out",
        )
    if study.communication is not None and study.communication.coordinates < 1:
        yield (
            "communication.coordinates",
            "what a round does not send waits at the hospital, and would be of rounds that the run "
            "went back behind: send all, or leave evaluation.roll_back out",
        )
