"""The secure sum as a whole: what is repeated changes nothing, and all else is uniform."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from protocol.secagg.server import Step
from tests.support.reference.secure_sum import plain_sum
from tests.support.simulated.sum_federation import STEPS, Federation


def test_every_repeated_message_changes_nothing() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    expected = plain_sum([vector.tolist() for vector in vectors.values()], 32)
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
