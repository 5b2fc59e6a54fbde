"""A witness's decision: each answer of C2SP tlog-witness, and its request's form."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from protocol.errors import LogForked, MessageRefused
from protocol.identity.roster import SigningKey
from protocol.log.merkle import leaf_hash
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import Checkpoint, checkpoint_text, sign_note
from protocol.log.witness import (
    HeadToCosign,
    WitnessRefusal,
    WitnessRequest,
    decide,
    origin_of,
    parse_witness_request,
    require_cosigned,
    split_event,
    with_event,
)

ORIGIN = "example.org/log"
KEY, OTHER = SigningKey.from_bytes(bytes(32)), SigningKey.from_bytes(b"o" * 32)
TRUSTED = {ORIGIN: [(ORIGIN, KEY.public)]}
#: The example of the specification.
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501  (as it is published)


def tree(size: int, salt: bytes = b"") -> Tree:
    return Tree(leaf_hash(salt + number.to_bytes(2, "big")) for number in range(size))


TREE, FORK = tree(300), tree(300, b"fork")


def head(size: int, of: Tree = TREE) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=of.root(size))


def request(
    old: int, size: int, of: Tree = TREE, key: SigningKey = KEY, origin: str = ORIGIN
) -> WitnessRequest:
    note = sign_note(checkpoint_text(origin, size, of.root(size)), origin, key)
    proof = of.consistency(old, size) if 0 < old <= size else ()
    return WitnessRequest(old=old, proof=proof, note=note)


def refused(asked: WitnessRequest, newest: Checkpoint | None) -> WitnessRefusal:
    found = decide(asked, TRUSTED, newest)
    assert isinstance(found, WitnessRefusal)
    return found


def test_the_example_of_the_specification_is_read_to_the_byte() -> None:
    found = parse_witness_request(EXAMPLE)
    assert (found.old, len(found.proof)) == (20852014, 4)
    assert origin_of(found.note) == "example.com/behind-the-sofa"
    assert found.to_bytes == EXAMPLE


def test_a_first_head_and_each_later_one_is_cosigned() -> None:
    newest: Checkpoint | None = None
    for size in (1, 2, 3, 3, 64, 65, 300):
        asked = request(newest.size if newest else 0, size)
        found = decide(asked, TRUSTED, newest)
        assert found == HeadToCosign(
            checkpoint=head(size), text=checkpoint_text(ORIGIN, size, TREE.root(size)),
            note=asked.note, before=newest,
        )  # fmt: skip
        newest = head(size)


def test_each_refusal_has_the_status_of_the_specification() -> None:
    newest = head(10)
    assert refused(request(10, 20, origin="example.org/unknown"), newest).status == 404
    assert refused(request(10, 20, key=OTHER), newest).status == 403
    assert refused(request(20, 10), newest).status == 400
    assert refused(request(9, 20), newest) == WitnessRefusal(
        status=409, reason="the old size is not that of the head cosigned last", size=10
    )
    assert refused(request(0, 20), newest).size == 10
    assert refused(request(5, 20), None).size == 0
    forked = refused(request(10, 20, of=FORK), newest)
    assert (forked.status, forked.contradicts) == (422, newest)
    same = refused(replace(request(10, 10, of=FORK), proof=()), newest)
    assert (same.status, same.size, same.contradicts) == (409, 10, newest)


def test_which_fault_is_told_first_is_that_of_the_specification() -> None:
    """Whoever has no key of the log learns nothing of what was cosigned."""
    assert refused(request(3, 20, key=OTHER), head(10)).status == 403
    assert refused(request(30, 20), head(10)).status == 400


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_nothing_is_proven_from_an_empty_tree(size: int) -> None:
    asked = replace(request(0, size), proof=(bytes(32),))
    assert refused(asked, None) == WitnessRefusal(
        status=422, reason="nothing is proven from an empty tree"
    )
    assert isinstance(decide(request(0, size), TRUSTED, None), HeadToCosign)


def test_an_empty_tree_has_one_root() -> None:
    empty = request(0, 0)
    assert isinstance(decide(empty, TRUSTED, None), HeadToCosign)
    note = sign_note(checkpoint_text(ORIGIN, 0, bytes(32)), ORIGIN, KEY)
    assert refused(replace(empty, note=note), None).status == 422
    assert isinstance(decide(request(0, 5), TRUSTED, head(0)), HeadToCosign)


@given(
    old=some.integers(0, 300),
    size=some.integers(1, 300),
    held=some.integers(0, 300),
    spoil=some.sampled_from(["", "proof", "fork"]),
)
@settings(max_examples=300, deadline=None)
def test_only_what_extends_the_head_cosigned_last_is_cosigned(
    old: int, size: int, held: int, spoil: str
) -> None:
    newest = head(held) if held else None
    asked = request(old, size, of=FORK if spoil == "fork" else TREE)
    if spoil == "proof":
        asked = replace(asked, proof=(*asked.proof, bytes(32)))
    found = decide(asked, TRUSTED, newest)
    extends = old == held <= size and spoil != "proof" and (spoil != "fork" or held == 0)
    assert isinstance(found, HeadToCosign) == extends


def test_a_contradiction_is_told_from_a_refusal() -> None:
    with pytest.raises(LogForked, match="the first 10 leaves were changed"):
        require_cosigned(decide(request(10, 20, of=FORK), TRUSTED, head(10)))
    with pytest.raises(MessageRefused, match="no key that is trusted"):
        require_cosigned(decide(request(10, 20, key=OTHER), TRUSTED, head(10)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data.replace(b"old 20852014", b"old 020852014"),
        lambda data: data.replace(b"old 20852014", b"old -1"),
        lambda data: data.replace(b"old 20852014", b"old 9223372036854775808"),
        lambda data: data.replace(b"old ", b"new "),
        lambda data: data.replace(b"old 20852014", "old ٣".encode()),
        lambda data: data.replace(b"PlRN", b"PlR"),
        lambda data: data.replace(b"kaw=", b"kax="),
        lambda data: data.replace(b"\n\n", b"\n", 1),
        lambda data: data.replace(b"\nPlRN", b"\r\nPlRN"),
        lambda data: data.replace(b"old 20852014\n", b"old 20852014\n" + b"A" * 43 + b"=\n"),
        lambda data: b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + data.split(b"\n\n", 1)[1],
        lambda data: data + bytes(1 << 19),
    ],
)
def test_a_malformed_request_is_refused(spoil: object) -> None:
    spoilt = spoil(EXAMPLE)  # type: ignore[operator]
    if spoilt.count(b"A" * 43 + b"=") == 1:  # a proof line more is a form that can be right
        assert len(parse_witness_request(spoilt).proof) == 5
        return
    with pytest.raises(MessageRefused):
        parse_witness_request(spoilt)


@given(data=some.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(MessageRefused):
        assert parse_witness_request(data).to_bytes == data


def test_a_hospital_asks_for_its_own_event_in_a_last_line() -> None:
    for answer in (b"12\n", b"\xe2\x80\x94 name AAAA\n"):
        assert split_event(with_event(answer, "ab" * 32)) == (answer, "ab" * 32)
        assert split_event(with_event(answer, None)) == (answer, None)
    assert split_event(b"event " + b"G" * 64 + b"\n") == (b"event " + b"G" * 64 + b"\n", None)
