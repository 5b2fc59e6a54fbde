"""Mutated honest inputs: only the named refusals leave a decoder, in bounded time and memory.

Longer runs by hand: ``python -m tests.long.fuzz --inputs N --seed S``.
"""

import tracemalloc
from collections.abc import Callable
from random import Random

import pytest

from protocol.encoding import parse_canonical
from protocol.errors import FederationError, MessageRefused
from protocol.secagg.messages import SenderList
from protocol.secagg.secret_sharing import parse_opening
from tests.long.fuzz.__main__ import shares
from tests.long.fuzz.engine import WATCHED, Attempt, Report, Target, fuzz
from tests.long.fuzz.findings import KNOWN, Known, passed_over
from tests.long.fuzz.mutations import spoil_bytes, spoil_text, spoil_tree
from tests.long.fuzz.targets.every import BY_NAME, TARGETS
from tests.support.machine.short_form import short_form

SEED = 20
INPUTS, FEWER = 110_000, 22_000
COUNTS = {inputs: shares(TARGETS, inputs) for inputs in (INPUTS, FEWER)}


def given(act: Callable[[], object], *, seconds: float = 1.0, number: int = 1) -> Report:
    """Returns what the engine says of one act."""
    target = Target(
        name="act",
        prepare=lambda: lambda _random: Attempt(data=b"input", act=act),
        refusals=(FederationError,),
        seconds=seconds,
    )
    return fuzz(target, SEED, [number])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("inputs", [FEWER, pytest.param(INPUTS, marks=pytest.mark.long)])
@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_nothing_but_refusals_leaves_a_decoder(target: Target, inputs: int) -> None:
    report = fuzz(target, SEED, range(COUNTS[inputs][target.name]))
    assert [str(finding) for finding in report.findings if not passed_over(finding)] == []
    assert report.inputs == COUNTS[inputs][target.name]
    assert report.refused > report.inputs / 4
    assert report.accepted > 0 or inputs == FEWER  # few of them may all be spoilt


def test_there_are_a_hundred_thousand_inputs() -> None:
    assert sum(COUNTS[INPUTS].values()) >= INPUTS
    assert min(COUNTS[INPUTS].values()) >= 100


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(
            known,
            id=known.name,
            marks=[pytest.mark.xfail(strict=True, reason=known.name)] if known.open else [],
        )
        for known in KNOWN
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_found_is_mended(known: Known) -> None:
    number = WATCHED if known.escaped == "MemoryError" else 1
    assert [str(finding) for finding in given(known.show, number=number).findings] == []


@pytest.mark.parametrize("name", ["message-masked", "message-reveal", "silo-share", "sum-unmask"])
def test_bodies_behind_the_signature_are_reached(name: str) -> None:
    report = fuzz(BY_NAME[name], SEED, range(300))
    unsigned = sum(count for said, count in report.said.items() if "signature" in said)
    assert unsigned < report.inputs / 4
    assert len(report.said) > 8


def test_an_input_is_made_again_from_its_seed_and_number() -> None:
    for target in TARGETS:
        if target.name != "hospital":
            make, again = target.prepare(), target.prepare()
            for number in range(5):
                one, other = (m(Random(f"{SEED}/{number}")) for m in (make, again))
                assert one.data == other.data


def test_same_seed_spoils_alike_and_another_does_not() -> None:
    def spoilt(seed: int) -> list[object]:
        random = Random(seed)
        tree = {"a": [1, "text"], "b": {"c": None}}
        return [
            [spoil_bytes(random, b"some bytes", [b"others"]) for _ in range(20)],
            [spoil_tree(random, tree, [tree]) for _ in range(20)],
            [spoil_text(random, "a: 1\nb: 2\n", ["~"]) for _ in range(20)],
        ]

    assert spoilt(1) == spoilt(1)
    assert spoilt(1) != spoilt(2)


def test_another_error_than_a_refusal_is_a_finding_that_names_seed_and_number() -> None:
    def leaks() -> None:
        parse_opening(None)  # type: ignore[arg-type]

    [finding] = given(leaks).findings
    assert (finding.escaped, finding.where) == ("TypeError", "secret_sharing.parse_opening")
    assert f"--seed {SEED} --number 1;" in str(finding)
    assert "b'input'" in str(finding)


def test_a_decoder_that_does_not_return_is_a_finding() -> None:
    def hangs() -> None:
        while True:
            pass

    [finding] = given(hangs, seconds=0.02).findings
    assert finding.escaped == "TookTooLong"


def test_a_decoder_that_takes_too_much_memory_is_a_finding() -> None:
    [finding] = given(lambda: bytes(30 << 20), number=WATCHED).findings
    assert finding.escaped == "MemoryError"


def test_a_refusal_is_none() -> None:
    def refuses() -> None:
        raise MessageRefused("no")

    report = given(refuses)
    assert (report.refused, report.findings) == (1, [])


@pytest.mark.parametrize(
    "part", short_form([b"[]", b"{}", b"0", b'""', b'{"a":0}', b"0.5", b'"\xc3\xa9"'], 3)
)
def test_the_largest_message_takes_a_bounded_multiple_of_its_size(part: bytes) -> None:
    """Before the signature is checked: anybody can send such bytes."""
    most = SenderList.max_bytes // 16
    data = b"[" + b",".join([part] * (most // (len(part) + 1))) + b"]"
    tracemalloc.start()
    try:
        parse_canonical(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(data)
