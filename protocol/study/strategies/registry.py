"""The strategies that a study may name, and the section ``training`` that each one reads."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from protocol.study.strategies.algorithms.fed_adagrad import FED_ADAGRAD
from protocol.study.strategies.algorithms.fed_adam import FED_ADAM
from protocol.study.strategies.algorithms.fed_avg import FED_AVG
from protocol.study.strategies.algorithms.fed_avgm import FED_AVGM
from protocol.study.strategies.algorithms.fed_exp import FED_EXP
from protocol.study.strategies.algorithms.fed_nova import FED_NOVA
from protocol.study.strategies.algorithms.fed_prox import FED_PROX
from protocol.study.strategies.algorithms.fed_sgd import FED_SGD
from protocol.study.strategies.algorithms.fed_yogi import FED_YOGI
from protocol.study.strategies.algorithms.scaffold import SCAFFOLD
from protocol.study.strategies.averaging import averaged
from protocol.study.strategies.local_steps import (
    Floats,
    LocalEnd,
    LocalStart,
    OwnState,
    ended,
    with_unsent,
)
from protocol.study.strategies.personal.ditto import DITTO
from protocol.study.strategies.personal.fed_per import FED_PER
from protocol.study.strategies.personal.fed_rep import FED_REP
from protocol.study.strategies.personal.fine_tuning import FINE_TUNING
from protocol.study.strategies.personal.interpolation import INTERPOLATION
from protocol.study.strategies.personal.mr_mtl import MR_MTL
from protocol.study.strategies.personal.per_fed_avg import PER_FED_AVG
from protocol.study.strategies.sent_slots import slots_of, with_slots, without_slots
from protocol.study.strategies.strategy import Mean, ServerState, Strategy
from protocol.study.strategies.training import Training
from protocol.vectors.adaptive_clip import bounded_log_clip, without_clip
from protocol.vectors.tensors import Layout, Tensors, flatten, layout_of, unflatten

#: The scalar of a mean that says by how much an adaptive clip moves, where it is the server's work.
CLIP_MOVES = "clip_moves"
#: Every strategy by the name that stands in a study.
STRATEGIES: Mapping[str, Strategy] = {
    "fedavg": FED_AVG,
    "fedavgm": FED_AVGM,
    "fedprox": FED_PROX,
    "scaffold": SCAFFOLD,
    "fednova": FED_NOVA,
    "fedexp": FED_EXP,
    "fedsgd": FED_SGD,
    "fedadam": FED_ADAM,
    "fedyogi": FED_YOGI,
    "fedadagrad": FED_ADAGRAD,
    "mrmtl": MR_MTL,
    "ditto": DITTO,
    "interpolation": INTERPOLATION,
    "finetuning": FINE_TUNING,
    "perfedavg": PER_FED_AVG,
    "fedper": FED_PER,
    "fedrep": FED_REP,
}


def strategy_of(training: Training) -> Strategy:
    """Returns the strategy that a study's section ``training`` names."""
    return STRATEGIES[training.strategy]


def begun(training: Training, model: Tensors, rounds: int = 0) -> ServerState:
    """Returns the server's state that a round's model brings, after so many rounds."""
    slots = slots_of(model, strategy_of(training).sends)
    return ServerState(parameters=flatten(without_slots(model)), rounds=rounds, slots=slots)


def model_of(training: Training, layout: Layout, state: ServerState) -> Tensors:
    """Returns the model that a state sends into the next round; after the last, the final one."""
    parameters = unflatten(layout, state.parameters)
    sent = strategy_of(training).sends if state.rounds < training.rounds else ()
    return with_slots(layout, parameters, state.slots, sent)


def local_end(
    training: Training, start: LocalStart, gradient: Callable[[int, Floats], Floats]
) -> LocalEnd:
    """Returns the end of a hospital's round by the strategy's local rule.

    Args:
        training: the study's section.
        start: how the round begins here.
        gradient: gives the gradient at parameters; it is given the number of the asking, from 0.
    """
    strategy = strategy_of(training)
    end = ended(strategy.local(training, start), gradient)
    return with_unsent(start, end) if strategy.carries else end


def personal_model(training: Training, model: Tensors, own: OwnState) -> Tensors | None:
    """Returns the model that a hospital uses in place of the final global one, if it has its own.

    None where the strategy has one model for all, and where the hospital kept nothing.
    """
    rule = strategy_of(training).personal
    if rule is None or not own:
        return None
    parameters = without_clip(without_slots(model))
    layout = layout_of(parameters)
    found = rule(training, layout, flatten(parameters).astype(np.float64), own)
    return unflatten(layout, found)


def next_state(training: Training, state: ServerState, mean: Mean) -> ServerState:
    """Returns the server's state after a round: the strategy's step, and the mean of models.

    An adaptive clip, the last parameter, moves as the mean says, whatever the strategy makes of an
    update: hospitals refuse a clip that moved further. Of a round that sends some
    coordinates only, the step is taken among these: a parameter that was not sent stays where it
    is, and so does all that the server remembers of it.
    """
    strategy, moves = strategy_of(training), mean.scalars.get(CLIP_MOVES)
    if mean.moves_clip:
        moves = float(mean.update[-1])
        mean = replace(mean, update=np.append(mean.update[:-1], 0.0))
    after = _spread(state, mean.coordinates, strategy.apply(training, _within(state, mean), mean))
    for slot in strategy.sends:  # as hospitals will read it
        sent = after.slots[slot].astype(np.float32).astype(np.float64)
        after = replace(after, slots={**after.slots, slot: sent})
    if moves is not None:
        parameters = after.parameters.copy()
        parameters[-1] = bounded_log_clip(float(parameters[-1]) + moves)
        after = replace(after, parameters=parameters)
    return averaged(training, state, after)


def _within(state: ServerState, mean: Mean) -> ServerState:
    """Returns the state of the coordinates that were sent."""
    sent = mean.coordinates
    if sent is None:
        return state
    slots = {name: slot[sent] for name, slot in state.slots.items()}
    return replace(state, parameters=state.parameters[sent], slots=slots)


def _spread(state: ServerState, sent: NDArray[np.int64] | None, within: ServerState) -> ServerState:
    """Returns the state in which the coordinates that were sent are those of ``within``."""
    if sent is None:
        return within
    parameters, slots = state.parameters.copy(), {}
    parameters[sent] = within.parameters
    for name, moved in within.slots.items():
        slots[name] = state.slots.get(name, np.zeros(parameters.size)).copy()
        slots[name][sent] = moved
    return replace(within, parameters=parameters, slots=slots)


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
