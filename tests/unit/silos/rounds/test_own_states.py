"""Own states of a hospital: which draw begins with what, and what is carried of a late update."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from protocol.errors import StoreBroken
from protocol.secagg.context import RoundContext, round_context
from protocol.study.strategies.local_steps import UNSENT, LocalEnd
from silos.rounds.own_states import OwnStates
from tests.support.simulated.studies import small_study


def context(number: int, draw: int = 0, kind: str = "training") -> RoundContext:
    return round_context(
        small_study(), run_id="run", roster_digest="0" * 64, round_kind=kind, number=number,
        attempt=0, draw=draw, log_size=0, log_root="0" * 64,
        model={"weight": np.zeros(2, np.float32)},
    )  # fmt: skip


def end_of(*update: float) -> LocalEnd:
    return LocalEnd(update=np.array(update))


def missing_round_1(folder: Path, discount: float | None, *, paid: bool = True) -> OwnStates:
    states = OwnStates(folder, "run", discount)
    states.made(context(1), end_of(4.0, -2.0))
    if paid:
        states.paid(context(1))
    states.missed(1)
    return states


def test_every_draw_of_a_round_begins_with_the_same_late_update(tmp_path: Path) -> None:
    states = missing_round_1(tmp_path, 0.5)
    first = states.before(context(2))[UNSENT]
    states.made(context(2), end_of(9.0, 9.0))
    again = states.before(context(2, draw=1))[UNSENT]
    assert first.tolist() == again.tolist() == [2.0, -1.0]


def test_each_round_in_between_discounts_once_more(tmp_path: Path) -> None:
    assert missing_round_1(tmp_path, 0.5).before(context(3))[UNSENT].tolist() == [1.0, -0.5]


def test_what_was_not_paid_for_or_not_missed_is_not_carried(tmp_path: Path) -> None:
    assert missing_round_1(tmp_path, 0.5, paid=False).before(context(2)) == {}
    states = OwnStates(tmp_path, "run", 0.5)
    states.made(context(1), end_of(1.0))
    states.paid(context(1))
    assert states.before(context(2)) == {}


def test_an_evaluation_carries_nothing_and_neither_does_a_study_without_discount(
    tmp_path: Path,
) -> None:
    assert missing_round_1(tmp_path, 0.5).before(context(2, kind="evaluation")) == {}
    states = missing_round_1(tmp_path, None)
    assert states.before(context(2)) == {}
    assert states._made is not None and states._made[1].update.size == 0  # nor is it held


def keeping(states: OwnStates, number: int, **own: float) -> None:
    """A round of which the hospital revealed its part, and the state after it."""
    arrays = {name: np.array([value]) for name, value in own.items()}
    states.made(context(number), LocalEnd(update=np.ones(1), own=arrays))
    states.keep(context(number))


def test_another_draw_begins_where_the_first_did_though_the_round_before_was_missed(
    tmp_path: Path,
) -> None:
    states = OwnStates(tmp_path, "run")
    for number in range(2):
        keeping(states, number, model=number)
    first = states.before(context(4))
    keeping(states, 4, model=4)
    assert states.before(context(4, draw=1)) == first == {"model": np.array([1.0])}
    assert states.newest() == {"model": np.array([4.0])}
    assert len([*tmp_path.iterdir()]) == 2


def test_what_waited_and_was_sent_waits_no_more_where_nothing_else_is_kept(tmp_path: Path) -> None:
    states = OwnStates(tmp_path, "run")
    keeping(states, 0)
    assert not [*tmp_path.iterdir()]
    keeping(states, 0, unsent=3.0)
    keeping(states, 1)
    assert states.before(context(2)) == {}


def test_a_vector_that_arrived_is_not_carried_whoever_is_said_to_be_in_the_sum(
    tmp_path: Path,
) -> None:
    states = missing_round_1(tmp_path, 0.5)
    states.arrived(context(1))
    assert states.before(context(2)) == {}


def another_run(folder: Path) -> bytes:
    """The file of a state of another run, of the same round."""
    keeping(OwnStates(folder, "other"), 0, model=1.0)
    return (folder / "other-0.safetensors").read_bytes()


@pytest.mark.parametrize(
    "put",
    [
        lambda kept, _: kept[:-1] + bytes([kept[-1] ^ 1]),  # one bit of a number
        lambda _, folder: another_run(folder),
        lambda kept, _: save(load(kept)),
        lambda *_: save({}),
        lambda *_: save({"model": np.full(1, np.nan)}),
        lambda *_: b"",
    ],
    ids=["damaged", "another run's", "without a digest", "none", "not finite", "empty"],
)
def test_a_state_that_was_damaged_or_replaced_is_refused(
    put: Callable[[bytes, Path], bytes], tmp_path: Path
) -> None:
    states = OwnStates(tmp_path, "run")
    keeping(states, 0, model=1.0)
    assert states.newest() == {"model": np.ones(1)}
    file = tmp_path / "run-0.safetensors"
    file.write_bytes(put(file.read_bytes(), tmp_path))
    with pytest.raises(StoreBroken, match="own state after round 1 is missing or damaged"):
        states.before(context(1))


def test_a_state_of_another_round_is_refused(tmp_path: Path) -> None:
    states = OwnStates(tmp_path, "run")
    for number in range(2):
        keeping(states, number, model=1.0)
    (tmp_path / "run-0.safetensors").replace(tmp_path / "run-1.safetensors")
    with pytest.raises(StoreBroken, match="after round 2 is missing or damaged"):
        states.newest()
