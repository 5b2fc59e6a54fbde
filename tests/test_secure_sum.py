"""The secure sum as a whole: exact for every drop-out, and uniform to whoever looks on."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare

from protocol.encoding import blob_digest
from protocol.errors import QuorumLost
from protocol.keystream import Words
from protocol.sum_round import Step
from tests.contexts import site_names
from tests.reference.secure_sum import plain_sum
from tests.sum_federation import FIRST, LEDGER_HEAD, STEPS, Federation

SUMMED = (Step.CONSISTENCY, Step.UNMASK)  # who is lost here is in the sum already


def outcome_of(
    count: int, lost: Mapping[str, Step], vectors: Mapping[str, Words], bits: int
) -> list[int] | None:
    """Returns what must come out: the survivors' sum, or None when a threshold is missed."""
    threshold = 2 * count // 3 + 1
    if count - len(lost) < threshold:
        return None
    inside = [vectors[s] for s in site_names(count) if lost.get(s, Step.UNMASK) in SUMMED]
    return plain_sum([vector.tolist() for vector in inside], bits)


def check_outcome(count: int, lost: Mapping[str, Step], bits: int = 32) -> None:
    federation = Federation(count, {"ring_bits": bits})
    vectors = federation.vectors(seed=count)
    expected = outcome_of(count, lost, vectors, bits)
    if expected is None:
        with pytest.raises(QuorumLost, match="sites are left"):
            federation.run(vectors, lost=lost)
        return
    assert federation.run(vectors, lost=lost).tolist() == expected
    assert not federation.coordinator.culprits
    dropped = {site for site, step in lost.items() if step not in SUMMED}
    assert set(federation.coordinator.dropped) == dropped


@pytest.mark.parametrize("count", [3, 4, 5, 6])
@pytest.mark.parametrize("bits", [32, 64])
def test_sum_is_exact_when_everybody_stays(count: int, bits: int) -> None:
    check_outcome(count, {}, bits)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.value)
@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_sum_is_exact_or_refused_for_every_single_drop_out(count: int, step: Step) -> None:
    for site in site_names(count):
        check_outcome(count, {site: step})


@given(st.integers(3, 8), st.data())
@settings(max_examples=40, deadline=None)
def test_sum_is_exact_or_refused_for_random_drop_outs(count: int, data: st.DataObject) -> None:
    most = max(1, count - 2 * count // 3)  # one more than the threshold forgives
    sites = data.draw(st.sets(st.sampled_from(site_names(count)), max_size=most))
    lost = {site: data.draw(st.sampled_from(STEPS)) for site in sorted(sites)}
    check_outcome(count, lost, data.draw(st.sampled_from([32, 64])))


def test_coordinator_learns_hashes_and_ledger_heads_of_the_survivors() -> None:
    federation = Federation(4)
    federation.run(federation.vectors(), lost={FIRST: Step.MASKED})
    coordinator = federation.coordinator
    assert coordinator.survivors == site_names(4)[1:]
    assert coordinator.blob_hashes == {s: blob_digest(b) for s, b in federation.blobs.items()}
    assert coordinator.ledger_heads == dict.fromkeys(coordinator.survivors, LEDGER_HEAD)


def test_every_repeated_message_changes_nothing() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    expected = outcome_of(4, {}, vectors, 32)
    for step in STEPS:
        for site in federation.coordinator.asked(step):
            request = federation.coordinator.request(step, site)
            assert request == federation.coordinator.request(step, site)
            message, blob = federation.answer(step, site, request, vectors[site])
            if step is not Step.MASKED:
                assert federation.answer(step, site, request, vectors[site])[0] == message
            federation.coordinator.receive(step, site, message, blob)
            federation.coordinator.receive(step, site, message, blob)
        federation.coordinator.close(step)
    assert federation.coordinator.total().tolist() == expected


# --- what leaves a silo is uniform -----------------------------------------------------------


def byte_counts(blob: bytes) -> NDArray[np.int64]:
    return np.bincount(np.frombuffer(blob, dtype=np.uint8), minlength=256)


@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_blob_of_a_constant_vector_is_uniform(word: int) -> None:
    federation = Federation(3, {"dim": 65536})
    vector = np.full(65536, word, dtype=np.uint32)
    federation.run(dict.fromkeys(federation.sites, vector))
    for blob in federation.blobs.values():
        assert chisquare(byte_counts(blob)).pvalue > 1e-6
        assert chisquare(np.bincount(np.frombuffer(blob, "<u4") >> 24)).pvalue > 1e-6


def test_same_vector_in_another_attempt_gives_an_unrelated_blob() -> None:
    federation = Federation(3, {"dim": 65536})
    vectors = federation.vectors()
    federation.run(vectors)
    first = dict(federation.blobs)
    federation.begin(attempt=1)
    federation.run(vectors)
    for site, blob in federation.blobs.items():
        difference = np.frombuffer(blob, "<u4") - np.frombuffer(first[site], "<u4")
        assert chisquare(byte_counts(difference.tobytes())).pvalue > 1e-6


def test_sum_of_all_blobs_is_uniform_until_it_is_unmasked() -> None:
    federation = Federation(3, {"dim": 65536})
    vectors = dict.fromkeys(federation.sites, np.zeros(65536, dtype=np.uint32))
    federation.run_until(Step.UNMASK, vectors)
    total = sum(np.frombuffer(blob, "<u4").astype(np.uint64) for blob in federation.blobs.values())
    assert chisquare(byte_counts((total % 2**32).astype("<u4").tobytes())).pvalue > 1e-6  # type: ignore[union-attr]


def test_every_context_has_fresh_public_keys() -> None:
    federation = Federation(3)
    adverts = set()
    for attempt in range(50):
        federation.begin(attempt=attempt)
        adverts |= {silo.advertise()[64:] for silo in federation.silos.values()}
    assert len(adverts) == 150
