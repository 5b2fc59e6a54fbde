"""Updates that came too late for their round's sum are added to the next ones, discounted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import StudyRefused
from protocol.study.rounds.mean import mean_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.local_steps import UNSENT
from protocol.study.strategies.registry import changed
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.study import Communication, Study
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from protocol.vectors.tensors import Tensors, layout_of, model_digest
from silos.training.randomness import RoundInput
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import TABLE_STUDY
from tests.system.training.test_strategies import Descending, study_with


def late_study(discount: float | None, strategy: str = "fedavg", **keys: Any) -> Study:
    study = study_with(strategy, rounds=4)
    return study.replaced(
        training=changed(study.training, late_discount=discount),
        communication=Communication.model_validate({"ring_bits": 32} | keys),
    )


def run_without_west_in(federation: Federation, late: set[int]) -> Tensors:
    """West computes and sends its masked vector in these rounds; it comes after the step's end."""
    opened = -1

    def lost(site: str, request: Request) -> bool:
        nonlocal opened
        if site != "west":
            return False
        opened += request.step == "advertise"
        if request.step == "masked" and opened in late:
            federation.silos[site].answer(request)
            return True
        return False

    federation.link.lost = lost
    return federation.run().model


def in_the_clear(federation: Federation, late: set[int], discount: float) -> Tensors:
    study = federation.study
    trainers = {site: silo.simulated_part("run-1") for site, silo in federation.silos.items()}
    training, initial = study.training, next(iter(trainers.values())).initial_model()
    layout, state = layout_of(without_slots(initial)), begun(training, initial)
    carried: dict[str, Any] = {}
    for number in range(training.rounds):
        model = model_of(training, layout, state)
        vector, encoded = round_vector(study, model, number), {}
        for site, trainer in trainers.items():
            own = {UNSENT: carried.pop(site)} if site in carried else {}
            given = RoundInput(model=model, number=number, noise_multiplier=None, own=own)
            update = trainer.update(given, None).update  # type: ignore[arg-type]
            if site == "west" and number in late:
                carried[site] = update * discount
            else:
                encoded[site] = vector.encode(site, update)
        total = np.sum(list(encoded.values()), axis=0, dtype=vector.encode("east", update).dtype)
        mean = mean_of(study, model, number, tuple(encoded), total)
        state = next_state(training, state, mean)
    return model_of(training, layout, state)


@pytest.mark.parametrize("late", [{1}, {0, 1}], ids=["one round", "two rounds after each other"])
def test_a_late_update_is_added_to_the_next_and_discounted(late: set[int], tmp_path: Path) -> None:
    federation = Federation(tmp_path, late_study(0.5), trainer=Descending)
    model = run_without_west_in(federation, late)
    assert model_digest(model) == model_digest(in_the_clear(federation, late, 0.5))
    assert federation.watch.rounds[1][2] == ("east", "north", "south")


def test_an_evaluation_in_between_neither_pays_for_a_late_update_nor_loses_it(
    tmp_path: Path,
) -> None:
    study = late_study(0.5)
    evaluation = study.evaluation.model_copy(update={"every": 2})
    federation = Federation(tmp_path, study.replaced(evaluation=evaluation), trainer=Descending)
    model = run_without_west_in(federation, {1})
    assert [number for _, number, _ in federation.watch.rounds] == [0, 1, 5, 2, 3, 4]
    assert "west" in federation.watch.rounds[2][2]
    assert model_digest(model) == model_digest(in_the_clear(federation, {1}, 0.5))


def test_without_a_discount_it_is_lost(tmp_path: Path) -> None:
    federation = Federation(tmp_path, late_study(None), trainer=Descending)
    model = run_without_west_in(federation, {1})
    assert model_digest(model) == model_digest(in_the_clear(federation, {1}, 0.0))


def test_a_vector_that_is_in_the_sum_is_not_added_again_though_its_site_revealed_nothing(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, late_study(0.5), trainer=Descending)
    federation.link.lost = lambda site, request: site == "west" and request.step == "unmask"
    model = federation.run().model
    assert federation.watch.rounds[0][2] == ("east", "north", "south", "west")
    assert model_digest(model) == model_digest(in_the_clear(federation, set(), 0.5))


def test_a_vector_that_arrived_is_not_added_again_whatever_the_coordinator_says(
    tmp_path: Path,
) -> None:
    """West is told of each round before that it is not in its sum."""
    federation = Federation(tmp_path, late_study(0.5), trainer=Descending)
    masked = 0

    def denying(site: str, request: Request) -> bool:
        nonlocal masked
        if site == "west" and request.step == "masked":
            federation.silos[site]._joined("run-1")._own.missed(masked - 1)
            masked += 1
        return False

    federation.link.lost = denying
    model = federation.run().model
    assert model_digest(model) == model_digest(in_the_clear(federation, set(), 0.5))


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ({"strategy": "scaffold"}, "says more than where it leads"),
        ({"strategy": "fedadam"}, "the server of fedadam remembers"),
    ],
)
def test_what_cannot_be_carried_is_refused(study: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        late_study(0.5, **study)


def test_a_hospital_must_be_told_who_is_in_a_sum() -> None:
    text = TABLE_STUDY.replace("local_steps: 2", "local_steps: 2, late_discount: 0.5")
    with pytest.raises(StudyRefused, match="training.late_discount: a hospital must be told"):
        read_study(text)
