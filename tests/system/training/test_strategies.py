"""Strategies through whole runs: masked sums, hospitals' own states, audits, restarts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.study.rounds.mean import mean_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.local_steps import LocalEnd, LocalStart
from protocol.study.strategies.registry import STRATEGIES, local_end, strategy_of
from protocol.study.strategies.sent_slots import slots_of, with_slots, without_slots
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from protocol.vectors.tensors import (
    Tensors,
    flatten,
    layout_of,
    model_digest,
    unflatten,
)
from silos.training.randomness import Entropy, RoundInput
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import changed

PRIVATE = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
SECTION = "{rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}"
#: Every strategy of updates, with a key of its own where it has one.
KEYS = {
    "fedavg": "", "fedavgm": "", "fedprox": ", mu: 0.5", "scaffold": "", "fednova": "",
    "fedexp": "", "fedadam": ", server_learning_rate: 0.1", "fedyogi": ", server_momentum: 0.5",
    "fedadagrad": "", "mrmtl": ", pull: 0.3", "ditto": "", "interpolation": "", "finetuning": "",
    "perfedavg": "", "fedper": ", own_layers: [bias]",
    "fedrep": ", own_layers: [bias]",
}  # fmt: skip


def study_with(strategy: str, rounds: int = 3) -> Study:
    keys = f"rounds: {rounds}, local_steps: 2, learning_rate: 0.5{KEYS[strategy]}"
    text = changed(PRIVATE, "{mode: none, sampling_rate: 1.0}")
    assert SECTION in text
    return read_study(text.replace(SECTION, f"{{strategy: {strategy}, {keys}}}"))


class Descending(LinearTrainer):
    """Takes the strategy's own local steps, along whole gradients without noise."""

    def initial_model(self) -> Tensors:
        own = super().initial_model()
        return with_slots(layout_of(own), own, {}, strategy_of(self._study.training).sends)

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        training, model = self._study.training, without_slots(given.model)
        start = LocalStart(
            layout=layout_of(model),
            round=given.number,
            parameters=flatten(model).astype(np.float64),
            steps=training.local_steps,
            bound=self._study.aggregation.bound,
            own=given.own,
            sent=slots_of(given.model, strategy_of(training).sends),
            coordinates=round_vector(self._study, given.model, given.number).coordinates,
        )
        return local_end(
            training,
            start,
            lambda _, parameters: self._mean_gradient(unflatten(layout_of(model), parameters)),
        )

    def _mean_gradient(self, model: Tensors) -> NDArray[np.float64]:
        return -self._gradients(model).sum(axis=0) / self._study.site(self._site).patients


def in_the_clear(federation: Federation) -> Iterator[Tensors]:
    """The models after each round, of the same trainers without a mask or a message."""
    study = federation.study
    trainers = {site: silo.simulated_part("run-1") for site, silo in federation.silos.items()}
    training, initial = study.training, next(iter(trainers.values())).initial_model()
    layout, state = layout_of(without_slots(initial)), begun(training, initial)
    kept = dict.fromkeys(trainers, {})
    for number in range(training.rounds):
        model, encoded = model_of(training, layout, state), []
        for site, trainer in trainers.items():
            given = RoundInput(model=model, number=number, noise_multiplier=None, own=kept[site])
            end = trainer.update(given, None)  # type: ignore[arg-type]
            kept[site] = dict(end.own)
            encoded.append(round_vector(study, model, number).encode(site, end.update))
        total = np.sum(encoded, axis=0, dtype=encoded[0].dtype)
        mean = mean_of(study, model, number, tuple(trainers), total)
        state = next_state(training, state, mean)
        yield model_of(training, layout, state)


@pytest.mark.parametrize("strategy", short_form(KEYS, 4))
def test_a_run_is_bit_for_bit_the_same_training_in_the_clear(strategy: str, tmp_path: Path) -> None:
    federation = Federation(tmp_path, study_with(strategy), trainer=Descending)
    outcome = federation.run()
    *_, last = in_the_clear(federation)
    assert model_digest(last) == outcome.model_digest
    assert not [name for name in outcome.model if name.startswith("~")]


def test_every_strategy_of_updates_is_run_here() -> None:
    assert set(KEYS) == {name for name, one in STRATEGIES.items() if "updates" in one.takes}


@pytest.mark.parametrize("strategy", ["scaffold", "fednova"])
def test_every_round_is_recomputed_from_the_archive(strategy: str, tmp_path: Path) -> None:
    study = study_with(strategy)
    study = study.replaced(aggregation=study.aggregation.model_copy(update={"keep_rounds": 4}))
    federation = Federation(tmp_path, study, trainer=Descending)
    federation.run()
    for number in range(3):
        assert federation.recomputed(number).model is not None


class OwnNumbers(Descending):
    """Remembers the own state that each round began with."""

    began: dict[tuple[str, int], float]

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        self.began = getattr(self, "began", {})
        own = given.own.get("control")
        self.began[self._site, given.number] = 0.0 if own is None else float(np.abs(own).sum())
        return super().update(given, entropy)


def test_a_hospitals_own_state_counts_from_the_round_that_it_was_summed_in(
    tmp_path: Path,
) -> None:
    """West's masked vector of the second round is lost: its third begins as its second did."""
    federation = Federation(tmp_path, study_with("scaffold"), trainer=OwnNumbers)
    seen = 0

    def lost(site: str, request: Request) -> bool:
        nonlocal seen
        if site != "west" or request.step != "masked":
            return False
        seen += 1
        return seen == 2

    federation.link.lost = lost
    federation.run()
    began = federation.silos["west"].simulated_part("run-1").began  # type: ignore[attr-defined]
    assert began["west", 0] == 0.0
    assert ("west", 1) not in began
    assert began["west", 2] > 0
    east = federation.silos["east"].simulated_part("run-1").began  # type: ignore[attr-defined]
    assert len({east["east", number] for number in range(3)}) == 3


def test_own_states_survive_a_restart_and_go_with_the_run(tmp_path: Path) -> None:
    federation = Federation(tmp_path, study_with("scaffold"), trainer=Descending)
    federation.run()
    folder = federation.workspace.silos / "east" / "hospital-own-states"
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["run-1-1.safetensors", "run-1-2.safetensors"]
    federation.silos["east"].leave("run-1")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("strategy", short_form(["mrmtl", "fedper", "finetuning"], 2))
def test_a_hospital_counts_its_test_patients_by_its_own_model(
    strategy: str, tmp_path: Path
) -> None:
    class Counting(Descending):
        counted_by: Tensors | None = None

        def counts(
            self, model: Tensors, own: Tensors | None = None
        ) -> tuple[NDArray[np.int64], ...]:
            self.counted_by = own
            return super().counts(model, own)

    federation = Federation(tmp_path, study_with(strategy), trainer=Counting)
    outcome = federation.run()
    own = {}
    for site, silo in federation.silos.items():
        found = silo.personal_model("run-1", outcome.model)
        trainer = silo.simulated_part("run-1")
        assert found is not None
        assert model_digest(found) == model_digest(trainer.counted_by)  # type: ignore[attr-defined]
        own[site] = model_digest(found)
    assert len({*own.values(), outcome.model_digest}) == 5


def test_with_one_model_for_all_no_hospital_has_another(tmp_path: Path) -> None:
    federation = Federation(tmp_path, study_with("scaffold"), trainer=Descending)
    outcome = federation.run()
    for silo in federation.silos.values():
        assert silo.personal_model("run-1", outcome.model) is None
