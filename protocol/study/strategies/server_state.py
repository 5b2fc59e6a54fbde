"""The server's state from round to round: a model in, the strategy's step, a model out.

What is released in the end may be the mean of the last rounds' models in place of the last one.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protocol.study.strategies.registry import strategy_of
from protocol.study.strategies.sent_slots import slots_of, with_slots, without_slots
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.strategies.training import Training
from protocol.vectors.adaptive_clip import bounded_log_clip
from protocol.vectors.tensors import Layout, Tensors, flatten, unflatten

#: The scalar of a mean that says by how much an adaptive clip moves, where it is the server's work.
CLIP_MOVES = "clip_moves"
#: The slot of the sum of the models so far, of those whose mean is released.
SUM = "model_sum"


def begun(training: Training, model: Tensors, rounds: int = 0) -> ServerState:
    """Returns the server's state that a round's model brings, after so many rounds."""
    slots = slots_of(model, strategy_of(training).sends)
    return ServerState(parameters=flatten(without_slots(model)), rounds=rounds, slots=slots)


def model_of(training: Training, layout: Layout, state: ServerState) -> Tensors:
    """Returns the model that a state sends into the next round; after the last, the final one."""
    parameters = unflatten(layout, state.parameters)
    sent = strategy_of(training).sends if state.rounds < training.rounds else ()
    return with_slots(layout, parameters, state.slots, sent)


def next_state(training: Training, state: ServerState, mean: Mean) -> ServerState:
    """Returns the server's state after a round: the strategy's step, and the mean of models.

    An adaptive clip, the last parameter, moves as the mean says, whatever the strategy makes of an
    update: hospitals refuse a clip that moved further. Of a round that sends some coordinates only,
    the step is taken among these: a parameter that was not sent stays where it is, and so does all
    that the server remembers of it.
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
    return _averaged(training, state, after)


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


def _averaged(training: Training, before: ServerState, after: ServerState) -> ServerState:
    """Returns the state after a round, with the mean of the last rounds' models in the end.

    Every hospital has received each of them, and epsilon pays for all: a mean of them is
    post-processing.

    Args:
        training: says over how many rounds (``average_last``).
        before: the state that the round began with.
        after: the state that the strategy's server step gave.

    Source: Rakhlin, Shamir and Sridharan 2012, arXiv 1109.5647 (suffix averaging).
    """
    count = training.average_last
    if count == 1 or after.rounds <= training.rounds - count:
        return after
    summed = before.slots.get(SUM, 0.0) + after.parameters.astype(np.float64)
    if after.rounds < training.rounds:
        return replace(after, slots={**after.slots, SUM: summed})
    return replace(after, parameters=(summed / count).astype(np.float32))


def needs_more_than_its_model(training: Training, number: int) -> bool:
    """Whether the result of a round, counted from 0, needs more than its model and its sum."""
    last = number == training.rounds - 1
    return strategy_of(training).remembers(training) or (last and training.average_last > 1)
