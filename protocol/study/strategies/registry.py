"""The strategies that a study may name, and the section ``training`` that each one reads."""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from protocol.study.strategies.algorithms.fed_adam import FED_ADAM
from protocol.study.strategies.algorithms.fed_avg import FED_AVG
from protocol.study.strategies.algorithms.fed_exp import FED_EXP
from protocol.study.strategies.algorithms.fed_sgd import FED_SGD
from protocol.study.strategies.averaging import averaged
from protocol.study.strategies.strategy import Mean, ServerState, Strategy, Training
from protocol.vectors.adaptive_clip import bounded_log_clip

#: The scalar of a mean that says by how much an adaptive clip moves, where it is the server's work.
CLIP_MOVES = "clip_moves"
#: Every strategy by the name that stands in a study.
STRATEGIES: Mapping[str, Strategy] = {
    "fedavg": FED_AVG,
    "fedexp": FED_EXP,
    "fedsgd": FED_SGD,
    "fedadam": FED_ADAM,
}


def strategy_of(training: Training) -> Strategy:
    """Returns the strategy that a study's section ``training`` names."""
    return STRATEGIES[training.strategy]


def next_state(training: Training, state: ServerState, mean: Mean) -> ServerState:
    """Returns the server's state after a round: the strategy's step, and the mean of models.

    An adaptive clip, the last parameter, moves as the mean says.
    """
    after = strategy_of(training).apply(training, state, mean)
    if CLIP_MOVES in mean.scalars:
        parameters = after.parameters.copy()
        parameters[-1] = bounded_log_clip(float(parameters[-1]) + mean.scalars[CLIP_MOVES])
        after = replace(after, parameters=parameters)
    return averaged(training, state, after)


def needs_more_than_its_model(training: Training, number: int) -> bool:
    """Returns whether a round's result, counted from 0, needs more than its model and its sum."""
    last = number == training.rounds - 1
    return strategy_of(training).remembers(training) or (last and training.average_last > 1)


def changed(training: Training, **update: object) -> Training:
    """Returns the section with other values; keys that another strategy does not have are left out.

    Raises:
        ValidationError: a value is out of its range.
    """
    values = training.model_dump() | update
    keys = STRATEGIES[str(values["strategy"])].keys
    return keys.model_validate({name: values[name] for name in keys.model_fields if name in values})


def _usual(section: Any) -> Any:
    """Returns the section with the usual strategy where it names none."""
    return {"strategy": "fedavg", **section} if isinstance(section, dict) else section


if TYPE_CHECKING:
    TrainingSection: TypeAlias = Training
else:
    TrainingSection = Annotated[
        reduce(or_, (strategy.keys for strategy in STRATEGIES.values())),
        Field(discriminator="strategy"),
        BeforeValidator(_usual),
    ]
