"""The frozen vectors: the implementation agrees with every one, and they are what it makes now."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol import errors
from protocol.secagg.server import Step
from tests.make_vectors.contents import COUNTING, TRAINING, contents
from tests.make_vectors.operations import MESSAGES, OPERATIONS
from tests.make_vectors.recorded_round import Exchange, Recorded
from tests.make_vectors.sheet import VECTORS, expanded, placeholders, read, written
from tests.support.reference.second_reading import SecondReading

KEPT = sorted((VECTORS / "kept").glob("*.json"))
FILES = sorted(path.name for path in VECTORS.glob("*.json"))
ROUNDS = [TRAINING, COUNTING]
SHEETS = [name for name in FILES if name not in ROUNDS]
#: Small enough to be read and carried along.
MOST_BYTES = 400_000


def vectors(kind: str) -> list[Any]:
    """Every vector with an ``output``, or every one that is ``refused``."""
    return [
        pytest.param(name, vector, id=f"{name.removesuffix('.json')}-{place}-{vector['name']}")
        for name in SHEETS
        for place, vector in enumerate(read(name)["vectors"])
        if kind in vector
    ]


def given_of(name: str, vector: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a vector's whole input, every placeholder replaced."""
    file = read(name)
    given: dict[str, Any] = file["given"] | expanded(vector["input"], file.get("names", {}))
    if "round" in given:
        recorded = read(given["round"])
        given = expanded(given, placeholders(recorded)) | {"recorded": recorded}
    return given


def output_of(name: str, vector: Mapping[str, Any]) -> Any:
    """Returns a vector's output, every placeholder replaced."""
    file = read(name)
    names = file.get("names", {})
    if "round" in file["given"]:
        names = placeholders(read(file["given"]["round"]))
    return expanded(vector["output"], names)


@pytest.mark.parametrize(("name", "vector"), vectors("output"))
def test_accepted_vector_gives_its_output(name: str, vector: dict[str, Any]) -> None:
    assert OPERATIONS[vector["operation"]](given_of(name, vector)) == output_of(name, vector)


#: What undoes an operation: the output and the input in, what the input said out.
UNDONE: Mapping[str, Callable[[Any, Mapping[str, Any]], tuple[Any, Any]]] = {
    "canonical": lambda output, given: (_run("parse_canonical", text=output), given["value"]),
    "mask": lambda output, given: (
        _run("mask", **{**given, "vector": output}, swap=True),
        given["vector"],
    ),
    "seal": lambda output, given: (_run("unseal", **{**given, "data": output}), given["data"]),
    "split": lambda output, given: (
        _run("combine", shares=dict(list(output.items())[-given["threshold"] :])),
        given["secret"],
    ),
    "parse_opening": lambda output, given: (output["share"] + output["salt"], given["hex"]),
    "parse_entry": lambda output, given: ("".join(output.values()), given["hex"]),
    "encode_counts": lambda output, given: (_run("decode_counts", words=output), given["counts"]),
    "context": lambda output, given: (
        _run("parse_context", context=_run("parse_canonical", text=output["text"])),
        output["digest"],
    ),
    "roster": lambda output, given: (
        _run("parse_roster", text=output["text"])["members"],
        given["members"],
    ),
    "sign_message": lambda output, given: (
        _run("open_message", **{**given, "message": output}),
        given["body"],
    ),
    "encode_tensors": lambda output, given: (_run("decode_tensors", hex=output), given["tensors"]),
}


def _run(operation: str, *, swap: bool = False, **given: Any) -> Any:
    if swap:
        given |= {"add": given["subtract"], "subtract": given["add"]}
    return OPERATIONS[operation](given)


@pytest.mark.parametrize("operation", sorted(UNDONE))
def test_inverse_of_an_operation_gives_back_what_went_in(operation: str) -> None:
    tried = 0
    for name in SHEETS:
        for vector in read(name)["vectors"]:
            if vector["operation"] == operation and "output" in vector:
                undone, was = UNDONE[operation](output_of(name, vector), given_of(name, vector))
                assert undone == was, vector["name"]
                tried += 1
    assert tried


@pytest.mark.parametrize(("name", "vector"), vectors("refused"))
def test_refused_vector_is_refused_with_its_kind(name: str, vector: dict[str, Any]) -> None:
    kind = getattr(errors, vector["refused"], ValueError)
    with pytest.raises(kind, match=re.escape(vector["because"])) as refusal:
        OPERATIONS[vector["operation"]](given_of(name, vector))
    assert type(refusal.value).__name__ == vector["refused"]


@pytest.mark.parametrize("name", ROUNDS)
def test_silos_answer_the_recorded_requests_with_the_recorded_bytes(name: str) -> None:
    frozen = read(name)
    recorded = Recorded.from_json(frozen)
    for site in recorded.context.participants:
        silo = recorded.silo(site)
        for step in Step:
            exchange = Exchange.from_json(frozen["steps"][step.value])
            if recorded.is_silent(step, site):
                break
            answer = silo.answer(step, exchange.request, exchange.beside.get(site))
            assert answer == exchange.answers[site], f"{site} {step.value}"


@pytest.mark.parametrize("name", ROUNDS)
def test_coordinator_sums_the_recorded_answers(name: str) -> None:
    frozen = read(name)
    machine = Recorded.from_json(frozen).sum_round()
    for step in Step:
        exchange = Exchange.from_json(frozen["steps"][step.value])
        for site in machine.asked(step):
            assert machine.request(step, site) == exchange.request
            assert machine.attachment(step, site) == exchange.beside.get(site)
        for site, answer in exchange.answers.items():
            machine.receive(step, site, *answer)
        machine.close(step)
    assert machine.total().tobytes().hex() == frozen["total"]
    assert list(machine.survivors) == frozen["survivors"]


@pytest.mark.parametrize("name", ROUNDS)
def test_recorded_sum_is_that_of_the_survivors_vectors(name: str) -> None:
    frozen = read(name)
    bits = frozen["context"]["ring_bits"]
    vectors = [_integers(frozen["sites"][s]["vector"], bits) for s in frozen["survivors"]]
    total = [sum(column) % 2**bits for column in zip(*vectors, strict=True)]
    assert _integers(frozen["total"], bits) == total
    unit = 2 ** frozen["context"]["frac_bits"]
    signed = [word - 2**bits if word >> (bits - 1) else word for word in total]
    assert [float(value) * unit for value in frozen["sum"]] == signed


@pytest.mark.parametrize("name", ROUNDS)
def test_second_reading_of_the_page_comes_to_the_same_bytes(name: str) -> None:
    frozen = read(name)
    again = SecondReading(frozen)
    assert again.ctx == frozen["context_digest"]
    for step in Step:
        exchange = Exchange.from_json(frozen["steps"][step.value])
        assert again.requests[step.value] == exchange.request, step
        assert again.beside[step.value] == exchange.beside, step
        assert again.answers[step.value] == exchange.answers, step
    assert again.total() == _integers(frozen["total"], frozen["context"]["ring_bits"])


def _integers(words: str, bits: int) -> list[int]:
    data, size = bytes.fromhex(words), bits // 8
    return [
        int.from_bytes(data[place : place + size], "little") for place in range(0, len(data), size)
    ]


def test_vectors_name_every_operation_and_every_message() -> None:
    named = {vector["operation"] for name in SHEETS for vector in read(name)["vectors"]}
    assert named == set(OPERATIONS)
    types = {
        vector["input"]["type"]
        for vector in read("messages.json")["vectors"]
        if vector["operation"] == "sign_message"
    }
    assert types == set(MESSAGES)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_signed_once_is_still_read_and_verified(path: Path) -> None:
    """Kept as they were written: no generator makes them, and no new form replaces them."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    for vector in kept["vectors"]:
        found = OPERATIONS[vector["operation"]]({**kept["given"], **vector["input"]})
        assert found == vector["output"], vector["name"]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """What the generator makes now."""
    return {name: written(content) for name, content in contents().items()}


@pytest.mark.parametrize("name", FILES)
def test_frozen_file_is_what_the_generator_makes(name: str, made: dict[str, str]) -> None:
    frozen = (VECTORS / name).read_text(encoding="utf-8")
    assert frozen == made[name], "the protocol has changed: python -m tests.make_vectors"


def test_generator_makes_all_files_and_no_others(made: dict[str, str]) -> None:
    assert sorted(made) == FILES


def test_vectors_stay_small() -> None:
    assert sum(path.stat().st_size for path in VECTORS.iterdir()) < MOST_BYTES
