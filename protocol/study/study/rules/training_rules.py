"""Rules about a study's strategy, and the local steps and rounds that it has."""

from collections.abc import Iterator

from protocol.study.privacy import DistributedPrivacy
from protocol.study.strategies.registry import STRATEGIES, strategy_of
from protocol.study.strategies.server_state import needs_more_than_its_model
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord


def training_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of the strategy, in this mode of noise and with these keys."""
    strategy = strategy_of(study.training)
    return [
        *_mode_problems(study),
        *strategy.problems(study.training, study.privacy),
        *_step_problems(study),
    ]


def _step_problems(study: StudyRecord) -> Iterator[Problem]:
    """Yields the problems of rounds that are averaged, and of hospitals' own local steps."""
    training = study.training
    if training.average_last > max(1, training.rounds):
        yield (
            "training.average_last",
            f"{training.average_last} rounds are averaged, of {training.rounds}",
        )
    yield from _late_problems(study)
    for site in study.sites:
        if site.local_steps is None:
            continue
        if training.strategy != "fednova":
            yield (
                "sites",
                f"{site.name} takes local_steps of its own: with {training.strategy} "
                "hospitals that take more would count for more; write strategy: fednova, or leave "
                "them out",
            )
        elif site.local_steps > training.local_steps:
            yield (
                "sites",
                f"{site.name} takes {site.local_steps} local steps, and training.local_steps "
                f"{training.local_steps} is the most that is paid for",
            )


def _late_problems(study: StudyRecord) -> Iterator[Problem]:
    """Yields why late updates cannot be carried."""
    if study.training.late_discount is None:
        return
    name = study.training.strategy
    if isinstance(study.privacy, DistributedPrivacy):
        yield (
            "training.late_discount",
            "with distributed noise a vector is noised enough in the sum that it was made for, and "
            "in no other: leave it out, or take privacy.mode per_site",
        )
    elif study.communication is None or study.partial_sums:
        yield (
            "training.late_discount",
            "a hospital must be told which hospitals are in a round's sum: write communication: "
            "{ring_bits: auto}, and neither groups nor batches",
        )
    elif needs_more_than_its_model(study.training, 0):
        yield (
            "training.late_discount",
            f"the server of {name} remembers, so hospitals are sent models and not sums, and do "
            "not know what they missed: leave it out, or take another strategy",
        )
    elif not strategy_of(study.training).carries:
        yield (
            "training.late_discount",
            f"an update of {name} says more than where it leads, so an earlier one cannot be added "
            "to it: leave it out, or take another strategy",
        )


def _mode_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of distributed noise: one step a round, and a fitting server."""
    name, takes = study.training.strategy, strategy_of(study.training).takes
    if not isinstance(study.privacy, DistributedPrivacy):
        if "updates" not in takes:
            return [("training.strategy", f"{name} needs privacy.mode distributed")]
        return []
    problems = []
    if "gradients" not in takes:
        fit = " or ".join(name for name, one in STRATEGIES.items() if "gradients" in one.takes)
        problems.append(("training.strategy", f"distributed noise needs the strategy {fit}"))
    if study.training.local_steps != 1:
        problems.append(
            (
                "training.local_steps",
                "distributed noise allows one step a round: noise that goes through further steps "
                "protects nobody",
            )
        )
    return problems
