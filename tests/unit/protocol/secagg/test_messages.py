"""The envelope and its one strict decoder: what passes, and every way not to."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.codec import (
    MAX_SITES,
    FieldCodec,
    base64_bytes,
    from_json,
    hex_bytes,
    integer,
    list_of,
    map_of,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import Json, canonical, parse_canonical
from protocol.errors import MessageRefused, OutOfOrder
from protocol.identity.roster import COORDINATOR, SigningKey
from protocol.log.entry import MAX_ENTRY_BYTES
from protocol.secagg.log_proof import MAX_NOTE_BYTES, LoggedResult, LogProof
from protocol.secagg.messages import (
    SIGNATURE_BYTES,
    Advertise,
    AdvertList,
    Complaint,
    Consistency,
    HeldHead,
    Masked,
    Message,
    Origin,
    Reveal,
    RoundOpen,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
    open_message,
    parse_entry,
    peek_type,
    pieces,
    sign_message,
)
from protocol.secagg.secret_sharing import OPENING_BYTES
from tests.support.simulated.contexts import context_of

KEY = SigningKey.from_bytes(bytes(32))
CTX = "c" * 64
ORIGIN = Origin(sender="lyon", public=KEY.public, context=CTX)
MASKED = Masked(blob="a" * 64, ledger_head="b" * 64)

#: The longest note, entry and paths that are read.
PROOF = LogProof(
    note=bytes(MAX_NOTE_BYTES),
    known=2**53 - 1,
    consistency=(bytes(32),) * 64,
    result=LoggedResult(index=2**53 - 1, entry=bytes(MAX_ENTRY_BYTES), path=(bytes(32),) * 64),
)

EVERY_MESSAGE: list[Message] = [
    RoundOpen(context=context_of(4), log=PROOF, own=b"what it signed"),
    Advertise(mask_public=bytes(32), share_public=b"\1" * 32, self_commitment=b"\2" * 32),
    AdvertList(adverts={"lyon": b"signed", "oslo": b""}),
    ShareHeader(adverts="d" * 64, entries=bytes(64)),
    SenderList(headers={"lyon": b"header", "oslo": b"header"}),
    MASKED,
    Complaint(against="oslo"),
    SurvivorList(blobs={"lyon": "e" * 64}),
    Consistency(adverts="1" * 64, senders="2" * 64, survivors="3" * 64),
    SignatureList(signatures={"lyon": b"signed"}),
    Reveal(self_shares=bytes(OPENING_BYTES), pair_shares=b"\1" * OPENING_BYTES),
    HeldHead(size=7, root="f" * 64),
]


def signed(message: Message = MASKED, **envelope: Any) -> bytes:
    """Signs an envelope of which some fields are changed."""
    fields: dict[str, Json] = {
        "v": 1,
        "type": message.type,
        "ctx": CTX,
        "from": "lyon",
        "body": to_json(message),
    }
    data = canonical(fields | envelope)
    return KEY.sign(message.type, data) + data


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: message.type)
def test_message_survives_the_wire(message: Message) -> None:
    wire = sign_message(message, context=CTX, sender="lyon", key=KEY)
    assert open_message(wire, type(message), ORIGIN) == message
    assert peek_type(wire) in (message.type, None)


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: message.type)
def test_unknown_and_missing_fields_are_refused(message: Message) -> None:
    body = to_json(message)
    first = sorted(body)[0]
    less = {name: value for name, value in body.items() if name != first}
    wrongs: tuple[Json, ...] = ({**body, "x": 1}, less, {}, [], None)
    for wrong in wrongs:
        with pytest.raises(MessageRefused, match="expected exactly the fields"):
            open_message(signed(message, body=wrong), type(message), ORIGIN)


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: message.type)
def test_field_of_another_type_is_refused(message: Message) -> None:
    valid = {"log": (None,), "own": (None,), "size": (1,)}
    for name in to_json(message):
        for wrong in (None, 1, "!", ["!"], {"!": 1}, True):
            if wrong in valid.get(name, ()) and wrong is not True:
                continue
            body = {**to_json(message), name: wrong}
            with pytest.raises(MessageRefused, match=f"{name}: "):
                open_message(signed(message, body=body), type(message), ORIGIN)


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"v": 2}, "protocol version 1"),
        ({"v": True}, "protocol version 1"),
        ({"type": "made-up"}, "an unknown type"),
        ({"type": ["masked"]}, "an unknown type"),
        ({"type": {}}, "an unknown type"),
        ({"ctx": "d" * 64}, "belongs to another context"),
        ({"from": "oslo"}, "is not from lyon"),
        ({"from": COORDINATOR}, "is not from lyon"),
        ({"extra": 1}, "not an envelope"),
    ],
)
def test_wrong_envelope_is_refused(envelope: dict[str, Any], message: str) -> None:
    with pytest.raises(MessageRefused, match=message):
        open_message(signed(**envelope), Masked, ORIGIN)


def test_message_of_another_step_is_out_of_order() -> None:
    wire = sign_message(Complaint(against="oslo"), context=CTX, sender="lyon", key=KEY)
    with pytest.raises(OutOfOrder, match="expected a masked message, got complaint"):
        open_message(wire, Masked, ORIGIN)


def test_signature_for_another_type_is_refused() -> None:
    data = signed()[SIGNATURE_BYTES:]
    with pytest.raises(MessageRefused, match="not valid for this key"):
        open_message(KEY.sign("reveal", data) + data, Masked, ORIGIN)


def test_message_signed_by_another_member_is_refused() -> None:
    wire = sign_message(MASKED, context=CTX, sender="lyon", key=SigningKey.generate())
    with pytest.raises(MessageRefused, match="not valid for this key"):
        open_message(wire, Masked, ORIGIN)


def test_body_is_not_read_before_the_signature_holds() -> None:
    data = signed(body={"nonsense": 1})[SIGNATURE_BYTES:]
    with pytest.raises(MessageRefused, match="not valid for this key"):
        open_message(bytes(64) + data, Masked, ORIGIN)


@pytest.mark.parametrize("place", [0, 63, 64, 100, -1])
def test_single_changed_bit_is_refused(place: int) -> None:
    wire = bytearray(signed())
    wire[place] ^= 1
    with pytest.raises(MessageRefused, match="signature|canonical|envelope"):
        open_message(bytes(wire), Masked, ORIGIN)


@pytest.mark.parametrize("length", [0, 1, 64, Masked.max_bytes + 1])
def test_message_of_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(MessageRefused, match="too short or too long"):
        open_message(bytes(length), Masked, ORIGIN)


def test_second_spelling_of_a_message_is_refused() -> None:
    data = signed()[SIGNATURE_BYTES:].replace(b'"v":1', b'"v": 1')
    with pytest.raises(MessageRefused, match="another canonical form"):
        open_message(KEY.sign("masked", data) + data, Masked, ORIGIN)


def test_opened_round_must_keep_the_rules() -> None:
    body = to_json(RoundOpen(context=context_of(4)))
    context = body["context"]
    assert isinstance(context, dict)
    wrong = {**body, "context": {**context, "threshold": 2}}
    with pytest.raises(MessageRefused, match="context: threshold 2 with 4 sites"):
        open_message(signed(RoundOpen(context=context_of(4)), body=wrong), RoundOpen, ORIGIN)


def test_largest_messages_fit_their_limits() -> None:
    names = [f"{number:03d}".ljust(63, "x") for number in range(MAX_SITES)]
    advert = sign_message(EVERY_MESSAGE[1], context=CTX, sender=names[0], key=KEY)
    header = ShareHeader(adverts="d" * 64, entries=bytes(32 * MAX_SITES))
    signed_header = sign_message(header, context=CTX, sender=names[0], key=KEY)
    half = MAX_SITES // 2
    largest = {"participants": tuple(names), "threshold": MAX_SITES, "ring_bits": 64}
    for message in (
        RoundOpen(context=context_of(4, **largest), log=PROOF, own=bytes(2048)),
        AdvertList(adverts=dict.fromkeys(names, advert)),
        header,
        SenderList(headers=dict.fromkeys(names, signed_header)),
        SurvivorList(blobs=dict.fromkeys(names, "e" * 64)),
        SignatureList(signatures=dict.fromkeys(names, advert)),
        Reveal(
            self_shares=bytes(half * OPENING_BYTES),
            pair_shares=bytes((MAX_SITES - half) * OPENING_BYTES),
        ),
    ):
        wire = sign_message(message, context=CTX, sender="lyon", key=KEY)
        assert open_message(wire, type(message), ORIGIN) == message


def test_map_of_too_many_sites_is_refused() -> None:
    blobs = {f"site-{number}": "e" * 64 for number in range(MAX_SITES + 1)}
    with pytest.raises(MessageRefused, match="blobs: expected a map of at most 256 sites"):
        open_message(signed(SurvivorList(blobs=blobs)), SurvivorList, ORIGIN)


@given(st.binary(max_size=300))
@example(b"")
@example(bytes(64) + b'{"a":1e999}')
@example(bytes(64) + b"[" * 200)
@example(bytes(64) + b'"\\ud800"')
@settings(max_examples=300)
def test_random_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for kind in (RoundOpen, Advertise, Masked, Reveal):
        with pytest.raises(MessageRefused):
            open_message(data, kind, ORIGIN)
    assert peek_type(data) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(EVERY_MESSAGE), JSON, st.data())
@settings(max_examples=300)
def test_signed_nonsense_is_refused_and_nothing_else(
    message: Message, nonsense: Json, data: st.DataObject
) -> None:
    body = dict(to_json(message))
    name = data.draw(st.sampled_from(sorted(body)))
    body[name] = nonsense
    try:
        opened = open_message(signed(message, body=body), type(message), ORIGIN)
    except MessageRefused:
        return
    assert to_json(opened) == body  # an empty map is a map


def test_entry_and_pieces_have_one_length() -> None:
    entry = parse_entry(bytes(range(256)) + bytes(20))
    assert entry.to_bytes() == bytes(range(256)) + bytes(20)
    assert pieces(b"aabb", 2, 2) == [b"aa", b"bb"]
    with pytest.raises(MessageRefused, match="an entry has 276 bytes, got 275"):
        parse_entry(bytes(275))
    with pytest.raises(MessageRefused, match="expected 2 pieces of 2 bytes, got 5 bytes"):
        pieces(b"aabbc", 2, 2)


@pytest.mark.parametrize(
    ("form", "value", "wrong"),
    [
        (integer(0, 9), 9, [10, -1, True, 1.0, "1", None]),
        (text("a+"), "aa", ["", "ab", "aa\n", 1, None]),
        (hex_bytes(2), b"\x0a\xff", ["0AFF", "0aff0", "0af", "0a f", 1, None]),
        (base64_bytes(3), b"abc", ["YWJjZA==", "YWI", "YW=I", "YWJ=", " YWI=", "YWI=\n", 1, None]),
        (list_of(integer(0, 9), 2), (1, 2), [[1, 2, 3], [10], "12", None]),
        (map_of(integer(0, 9), 1), {"a": 1}, [{"a": 1, "b": 1}, {"A": 1}, {"a": 10}, [], None]),
        (optional(integer(0, 9)), 1, [10, "1"]),
        (optional(integer(0, 9)), None, [False]),
    ],
)
def test_form_reads_what_it_writes_and_nothing_else(
    form: FieldCodec[Any], value: object, wrong: list[Json]
) -> None:
    assert form.read(parse_canonical(canonical(form.write(value)))) == value
    for other in wrong:
        with pytest.raises(MessageRefused, match="expected"):
            form.read(other)


@dataclass(frozen=True, kw_only=True)
class Formless:
    """A record of which one field names no form."""

    known: Annotated[int, integer(0, 9)]
    unknown: int


def test_record_without_forms_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="Formless.unknown names no form"):
        from_json(Formless, {})


def test_record_that_could_not_be_read_back_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Masked: ledger_head: expected text"):
        require_forms(Masked(blob="a" * 64, ledger_head="none"))
