"""The released model is the mean of the last rounds' models, where the study says so."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import coordinator.rounds.training as training_rounds
from coordinator.database.server_state import ServerStates
from protocol.errors import StoreBroken, StudyRefused
from protocol.study.strategies.registry import STRATEGIES
from protocol.study.strategies.server_state import needs_more_than_its_model, next_state
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.strategies.training import Training
from protocol.study.study_file import read_study
from protocol.study.variants import as_distributed
from protocol.vectors.tensors import flatten
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study


def section(strategy: str, **more: Any) -> Training:
    values = {"strategy": strategy, "rounds": 5, "local_steps": 1, "learning_rate": 0.5} | more
    keys = STRATEGIES[strategy].keys
    if "own_layers" in keys.model_fields:
        values["own_layers"] = ["head"]
    return keys.model_validate(values)


def models(training: Training, folder: Path | None = None) -> list[NDArray[np.float32]]:
    """Each round's parameters; with a folder, of a server that is started anew in every round."""
    random = np.random.default_rng(4)
    state, found = ServerState(parameters=np.zeros(3, dtype=np.float32)), []
    scalars = dict.fromkeys(STRATEGIES[training.strategy].scalars, 0.5)
    for _ in range(training.rounds):
        mean = Mean(update=random.normal(size=3), scalars=scalars, bound=10.0)
        state = next_state(training, state, mean)
        found.append(state.parameters)
        if folder is not None:
            states = ServerStates(folder)
            states.keep("run-1", state)
            state = states.read("run-1", state.rounds)
    return found


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_last_model_is_the_mean_of_the_last_and_the_others_are_as_without(
    strategy: str, count: int, tmp_path: Path
) -> None:
    plain, found = models(section(strategy)), models(section(strategy, average_last=count))
    assert all(np.array_equal(a, b) for a, b in zip(plain[:-1], found[:-1], strict=True))
    expected = np.mean([each.astype(np.float64) for each in plain[-count:]], axis=0)
    np.testing.assert_allclose(found[-1], expected, rtol=1e-6)
    resumed = models(section(strategy, average_last=count), tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(found, resumed, strict=True))


def test_a_study_that_averages_nothing_is_the_study_that_it_was() -> None:
    written = changed("rounds: 2,", "rounds: 2, average_last: 1,")
    assert read_study(written).canonical_bytes == small_study().canonical_bytes
    assert b"average_last" not in small_study().canonical_bytes
    averaged = read_study(changed("rounds: 2,", "rounds: 2, average_last: 2,"))
    assert b'"average_last":2' in averaged.canonical_bytes
    assert as_distributed(averaged).training.average_last == 3  # of two steps a round
    assert as_distributed(small_study()).training.average_last == 1


def test_more_rounds_than_there_are_cannot_be_averaged() -> None:
    with pytest.raises(StudyRefused, match=r"average_last: 3 rounds are averaged, of 2"):
        read_study(changed("rounds: 2,", "rounds: 2, average_last: 3,"))


def test_hospitals_evaluate_the_mean_and_the_last_round_is_recomputed(
    tmp_path: Path,
) -> None:
    ends = []
    for rounds, count in ((1, 1), (2, 1), (2, 2)):
        text = changed(
            "privacy: {mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
            "privacy: {mode: none, sampling_rate: 1.0}",
        ).replace("rounds: 2,", f"rounds: {rounds}, average_last: {count},")
        folder = tmp_path / f"{rounds}-{count}"
        folder.mkdir()
        federation = Federation(folder, read_study(text))
        ends.append((flatten(federation.run().model), federation))
    first, second, mean = (end.astype(np.float64) for end, _ in ends)
    np.testing.assert_allclose(mean, (first + second) / 2, rtol=1e-5, atol=1e-6)
    assert not np.allclose(first, second, atol=1e-3)
    training = ends[2][1].study.training
    assert [needs_more_than_its_model(training, number) for number in range(2)] == [False, True]
    for _, federation in ends[1:]:
        assert federation.recomputed(1).model is not None  # the last round began with one of two


@pytest.mark.parametrize("keep", short_form([2, 3], 2))
def test_the_mean_is_recomputed_where_the_averaged_models_are_kept(
    tmp_path: Path, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed("rounds: 2,", "rounds: 3, average_last: 3,").replace(
        "colluders: 1}", f"colluders: 1, keep_rounds: {keep}}}"
    )
    for swapped in (False, True):
        folder = tmp_path / f"swapped-{swapped}"
        folder.mkdir()
        federation = Federation(folder, read_study(text))
        if swapped:
            monkeypatch.setattr(training_rounds, "next_state", _swapping)
        federation.run()
        monkeypatch.undo()
        if swapped and keep == 3:
            with pytest.raises(StoreBroken, match="it was swapped"):
                federation.recomputed(2)
        else:
            assert (federation.recomputed(2).model is not None) == (keep == 3)


def _swapping(training: Training, state: ServerState, mean: Mean) -> ServerState:
    """A dishonest coordinator's server step: another model in the last round."""
    found = next_state(training, state, mean)
    if found.rounds < training.rounds:
        return found
    return replace(found, parameters=np.full_like(found.parameters, 7.0))


@pytest.mark.parametrize(
    ("keys", "more", "said"),
    [
        ("local_steps: 2, late_discount: 0.5", "communication: {}\n", "training.late_discount"),
        ("local_steps: 6000", "", "rounds: Input should be less than or equal to 10000"),
    ],
)
def test_a_study_without_an_equivalent_of_shared_noise_is_refused(
    keys: str, more: str, said: str
) -> None:
    study = read_study(changed("local_steps: 2", keys) + more)
    with pytest.raises(StudyRefused, match=f"no such study of mode distributed: {said}"):
        as_distributed(study)
