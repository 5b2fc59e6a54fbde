"""Shorter rounds: narrow rings, some coordinates, sums in place of models; the same training."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.privacy.noise import DiscreteGaussian
from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.views.one_run.rows import rounds_of
from protocol.study.rounds.noise_shares import units_of
from protocol.study.rounds.round_vector import round_vector
from protocol.study.rounds.sent_sum import is_sum
from protocol.study.study import Communication, Study
from protocol.transport.steps import Request, Traffic
from protocol.vectors.tensors import decode_tensors, model_digest
from silos.training.randomness import Entropy, RoundInput
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.system.training.test_distributed_noise import distributed
from tests.system.training.test_strategies import KEYS, Descending, in_the_clear, study_with

NARROW = {"ring_bits": 16, "coordinates": 0.5}
#: One of each kind: plain, with scalars, with sent slots, with memory, with own layers.
FEW = ("fedavg", "fedexp", "scaffold", "fedadam", "fedper", "mrmtl")


def communicating(strategy: str, rounds: int = 3, **keys: Any) -> Study:
    study = study_with(strategy, rounds)
    aggregation = study.aggregation.model_copy(update={"keep_rounds": rounds + 1})
    return study.replaced(
        communication=Communication.model_validate(NARROW | keys), aggregation=aggregation
    )


@pytest.mark.parametrize(
    "strategy", [*FEW, *(pytest.param(s, marks=pytest.mark.long) for s in set(KEYS) - set(FEW))]
)
def test_a_run_of_16_bits_and_half_the_coordinates_is_the_same_training_in_the_clear(
    strategy: str, tmp_path: Path
) -> None:
    federation = Federation(tmp_path, communicating(strategy), trainer=Descending)
    outcome = federation.run()
    *_, last = in_the_clear(federation)
    assert model_digest(last) == outcome.model_digest


@pytest.mark.parametrize("step", ["consistency", "unmask"])
@pytest.mark.parametrize("strategy", ["fedavg", "mrmtl"])
def test_what_a_hospital_keeps_counts_where_it_is_in_the_sum_though_it_fell_silent(
    strategy: str, step: str, tmp_path: Path
) -> None:
    """West's vectors arrive, so they are in all sums: what of them was sent waits no more."""
    federation = Federation(tmp_path, communicating(strategy), trainer=Descending)
    federation.link.lost = lambda site, request: site == "west" and request.step == step
    outcome = federation.run()
    assert all("west" in survivors for _, _, survivors in federation.watch.rounds)
    *_, last = in_the_clear(federation)
    assert model_digest(last) == outcome.model_digest


@pytest.mark.parametrize("strategy", ["fedavg", "scaffold"])
def test_a_run_with_a_drop_out_is_recomputed_by_an_auditor(strategy: str, tmp_path: Path) -> None:
    """West's masked vector of the second round is lost."""
    federation = Federation(tmp_path, communicating(strategy), trainer=Descending)
    masked = 0

    def lost(site: str, request: Request) -> bool:
        nonlocal masked
        masked += site == "west" and request.step == "masked"
        return site == "west" and request.step == "masked" and masked == 2

    federation.link.lost = lost
    federation.run()
    assert all(federation.recomputed(number).model for number in range(3))
    with federation.store.read() as session:
        dropped = [row.dropped_json for row in rounds_of(session, "run-1")]
    assert dropped == ["[]", '["west"]', "[]", "[]"]


def openings(federation: Federation) -> list[tuple[str, bytes | None]]:
    """What was sent with each opening of a round, by site."""
    found: list[tuple[str, bytes | None]] = []

    def look(site: str, request: Request) -> bool:
        if request.step == "advertise":
            found.append((site, request.blob))
        return False

    federation.link.lost = look
    federation.run()
    return found


def test_hospitals_are_sent_the_first_model_not_at_all_and_then_sums(tmp_path: Path) -> None:
    found = openings(Federation(tmp_path, communicating("fedavg"), trainer=Descending))
    assert [blob is None for _, blob in found[:4]] == [True] * 4
    assert len(found) == 16 and all(is_sum(blob or b"") for _, blob in found[4:])


def test_without_the_section_hospitals_are_sent_whole_models(tmp_path: Path) -> None:
    found = openings(Federation(tmp_path, study_with("fedavg"), trainer=Descending))
    assert len(found) == 16
    assert all(decode_tensors(blob or b"") for _, blob in found)


def test_a_hospital_that_lacks_the_model_before_is_sent_the_whole_one(tmp_path: Path) -> None:
    """West does not hear of the second round, so in the third a sum says nothing to it."""
    federation = Federation(tmp_path, communicating("fedavg"), trainer=Descending)
    found: list[bytes | None] = []

    def lost(site: str, request: Request) -> bool:
        if site == "west" and request.step == "advertise":
            found.append(request.blob)
            return len(found) == 2
        return False

    federation.link.lost = lost
    federation.run()
    sums = [blob is not None and is_sum(blob) for blob in found]
    assert sums == [False, True, True, False, True]  # opened again, with the model
    with federation.store.read() as session:
        dropped = [row.dropped_json for row in rounds_of(session, "run-1")]
    assert dropped == ["[]", '["west"]', "[]", "[]"]


def test_a_server_with_a_memory_sends_models_from_the_second_round_on(tmp_path: Path) -> None:
    found = openings(Federation(tmp_path, communicating("fedadam"), trainer=Descending))
    assert [blob is None for _, blob in found[:4]] == [True] * 4
    assert not any(is_sum(blob or b"") for _, blob in found[4:])


def test_a_sum_that_leads_to_another_model_is_not_believed(tmp_path: Path) -> None:
    """A coordinator that sends false sums is asked for models, which the context names."""
    federation = Federation(tmp_path, communicating("fedavg"), trainer=Descending)
    exchange, asked = federation.link.exchange, 0

    def lying(requests: Mapping[str, Request], timeout: float) -> Any:
        nonlocal asked
        changed = dict(requests)
        for site, request in requests.items():
            if request.step == "advertise" and request.blob and is_sum(request.blob):
                changed[site] = replace(request, blob=request.blob[:-2] + b"\x01\x01")
            elif request.step == "advertise" and request.blob:
                asked += 1
        return exchange(changed, timeout)

    federation.link.exchange = lying  # type: ignore[method-assign]
    outcome = federation.run()
    *_, last = in_the_clear(federation)
    assert asked == 12 and model_digest(last) == outcome.model_digest


def test_both_ends_count_the_same_bytes(tmp_path: Path) -> None:
    federation = Federation(tmp_path, communicating("fedavg"), trainer=Descending)
    ends: dict[str, Traffic] = {}

    def look(site: str, _request: Request) -> bool:
        ends[site] = federation.silos[site]._joined("run-1").traffic
        return False

    federation.link.lost = look
    federation.run()
    with federation.store.read() as session:
        rows = [conduct_from(row.conduct_json).traffic for row in rounds_of(session, "run-1")]
    for site, end in ends.items():
        assert np.sum([row[site] for row in rows], axis=0).tolist() == [end.received, end.sent]


@pytest.mark.parametrize(
    ("field", "value"), [("ring_bits", 32), ("layout_hash", "0" * 64), ("frac_bits", 7), ("dim", 3)]
)
def test_a_coordinator_that_names_another_ring_or_other_coordinates_is_refused(
    field: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import coordinator.rounds.training as runner
    from protocol.errors import QuorumLost

    honest = runner.round_context

    def hostile(*given: Any, **more: Any) -> Any:
        return replace(honest(*given, **more), **{field: value})

    monkeypatch.setattr(runner, "round_context", hostile)
    federation = Federation(tmp_path, communicating("fedavg"), trainer=Descending)
    with pytest.raises(QuorumLost, match="PolicyRefused"):
        federation.run()
    reasons = {silo.reason("run-1") for silo in federation.silos.values()}
    assert all(field in (reason or "") for reason in reasons)


def test_own_layers_are_not_sent_whatever_the_study_says_of_communication(tmp_path: Path) -> None:
    federation = Federation(tmp_path, study_with("fedper"), trainer=Descending)
    model = federation.run().model
    vector = round_vector(federation.study, model, 0)
    shared = sum(tensor.size for name, tensor in model.items() if name != "bias")
    assert vector.size == shared == model["weight"].size
    everything = round_vector(study_with("fedavg"), model, 0)
    assert everything.coordinates is None and everything.digest == vector.update.parameters.digest


class Sharing(LinearTrainer):
    """Clips to the units of the study's ring, and adds its share of noise in them."""

    def noised_sum(self, given: RoundInput, entropy: Entropy) -> NDArray[np.int64]:
        units = units_of(self._study, 5)
        assert given.noise_multiplier is not None
        clipped = np.trunc(-self._gradients(given.model) * units).astype(np.int64)
        assert (clipped.astype(object) ** 2).sum(axis=1).max() <= units**2  # exact, in integers
        noise = DiscreteGaussian(given.noise_multiplier * units)
        stream = entropy.stream(self._draw_context("noise", given))
        return np.asarray(clipped.sum(axis=0) + noise.sample(stream, clipped.shape[1]))


@pytest.mark.long
def test_shared_noise_fits_16_bits_and_an_auditor_finds_the_same_models(tmp_path: Path) -> None:
    study = distributed()
    aggregation = study.aggregation.model_copy(update={"keep_rounds": 4})
    communication = Communication.model_validate(NARROW)
    study = study.replaced(communication=communication, aggregation=aggregation)
    federation = Federation(tmp_path, study, trainer=Sharing)
    model = federation.run().model
    vector = round_vector(study, model, 0)
    assert (vector.ring_bits, vector.size, vector.is_shared) == (16, 2, True)
    assert units_of(study, 5) < units_of(distributed(), 5)
    assert all(federation.recomputed(number).model for number in range(3))
