"""The context: one digest for everything agreed, and rules it cannot be built without."""

from dataclasses import fields, replace
from typing import Any

import pytest

from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.secagg.context import RoundContext
from tests.support.simulated.contexts import context_of, site_names

CONTEXT = context_of(4)

#: For every field another valid value.
OTHERS: dict[str, Any] = {
    "study_digest": "a" * 64,
    "run_id": "another",
    "round_kind": "evaluation",
    "round": 1,
    "attempt": 1,
    "draw": 1,
    "log_size": 8,
    "log_root": "a" * 64,
    "roster_digest": "a" * 64,
    "participants": site_names(3),
    "threshold": 4,
    "colluders": 0,
    "model_hash": "a" * 64,
    "layout_hash": "a" * 64,
    "dim": 6,
    "ring_bits": 64,
    "frac_bits": 19,
    "bound": "8.5",
    "weights_hash": "a" * 64,
    "dp_event_hash": "a" * 64,
}


def test_every_field_changes_the_digest() -> None:
    changed = {name: replace(CONTEXT, **{name: value}) for name, value in OTHERS.items()}
    assert set(changed) | {"proto", "suite"} == {field.name for field in fields(CONTEXT)}
    digests = {context.digest for context in changed.values()}
    assert len(digests) == len(OTHERS)
    assert CONTEXT.digest not in digests


def test_digest_is_the_frozen_one() -> None:
    # SHA-256 of the JSON with sorted keys, computed without this code.
    assert CONTEXT.digest == "863bf41307c1fc6789d45c5b29518e3c8ba430d3f2eb9405d4b4f988bacdaac9"


def test_context_survives_its_json() -> None:
    data = canonical(CONTEXT.to_json())
    again = RoundContext.from_json(parse_canonical(data))
    assert again == CONTEXT
    assert again.digest == CONTEXT.digest


def test_json_holds_no_floating_point_number() -> None:
    values = [CONTEXT.to_json()[name] for name in ("bound", "frac_bits", "dim")]
    assert values == ["16.0", 20, 5]


@pytest.mark.parametrize(
    ("count", "threshold", "colluders"),
    [(3, 3, 1), (4, 3, 1), (5, 4, 2), (8, 6, 3), (10, 7, 3), (100, 67, 33), (3, 2, 0)],
)
def test_thresholds_of_the_design_are_accepted(count: int, threshold: int, colluders: int) -> None:
    context = context_of(count, threshold=threshold, colluders=colluders)
    assert context.threshold - context.colluders >= 2


@pytest.mark.parametrize(
    ("count", "threshold", "colluders"),
    [(3, 3, 2), (4, 3, 2), (5, 3, 1), (6, 3, 0), (8, 6, 4), (3, 4, 1), (10, 7, 4)],
)
def test_threshold_that_allows_two_survivor_sets_is_refused(
    count: int, threshold: int, colluders: int
) -> None:
    with pytest.raises(ValueError, match="2t > n \\+ C and t - C >= 2 must hold"):
        context_of(count, threshold=threshold, colluders=colluders)


@pytest.mark.parametrize("participants", [("a", "b"), ("b", "a", "c"), ("a", "a", "b"), ()])
def test_participants_that_are_few_unsorted_or_doubled_are_refused(
    participants: tuple[str, ...],
) -> None:
    with pytest.raises(ValueError, match="at least three participants, sorted"):
        context_of(4, participants=participants, threshold=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proto": "sa2"}, "proto: expected text"),
        ({"suite": 2}, "suite: expected an integer"),
        ({"study_digest": "A" * 64}, "study_digest: expected text"),
        ({"run_id": "../run"}, "run_id: expected text"),
        ({"round_kind": "statistics"}, "round_kind: expected text"),
        ({"round": -1}, "round: expected an integer"),
        ({"round": True}, "round: expected an integer"),
        ({"attempt": 1.0}, "attempt: expected an integer"),
        ({"dim": 0}, "dim: expected an integer"),
        ({"dim": 10**8 + 1}, "dim: expected an integer"),
        ({"ring_bits": 48}, "16, 32 or 64 bits, not 48"),
        ({"bound": "16"}, "not the canonical spelling"),
        ({"bound": "nan"}, "bound: expected text"),
        ({"bound": "1e999"}, "not the canonical spelling|finite"),
        ({"bound": "e"}, "could not convert"),
        ({"bound": 16.0}, "bound: expected text"),
        ({"bound": "2048.0"}, "could wrap 32 bits"),
        ({"participants": list(site_names(4))}, "participants has another type"),
    ],
)
def test_field_out_of_its_form_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        context_of(4, **changes)


def test_wider_ring_allows_what_the_narrow_one_refuses() -> None:
    assert context_of(4, bound="2048.0", ring_bits=64).blob_bytes == 40


def test_counts_need_no_bound() -> None:
    assert (
        context_of(4, round_kind="evaluation", bound="counts", frac_bits=0, ring_bits=64).bound
        == "counts"
    )


@pytest.mark.parametrize("change", [{"x": 1}, {"dim": None}, {"suite": "1"}, {"threshold": 2}])
def test_damaged_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MessageRefused, match="expected|must hold"):
        RoundContext.from_json(CONTEXT.to_json() | change)


def test_json_without_a_field_is_refused() -> None:
    value = {name: part for name, part in CONTEXT.to_json().items() if name != "model_hash"}
    with pytest.raises(MessageRefused, match="expected exactly the fields"):
        RoundContext.from_json(value)
