"""The wire's records, the mailbox, the blobs on disk and the guard, each alone."""

import base64
import gzip
import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.delivery.blob_store import MAX_OF_ONE_SITE, BlobStore
from coordinator.delivery.deliveries import Mailbox
from coordinator.delivery.http_link import HttpLink
from coordinator.http.authentication import RequestAuthenticator, WrongClock, require_body
from protocol.encoding import blob_digest
from protocol.errors import LinkLost, MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.transport.requests import (
    MAX_SKEW_SECONDS,
    PROOF_HEADER,
    REPLY_HEADER,
    Answer,
    BlobName,
    Delivery,
    Proof,
    open_reply,
    parse_answer,
    parse_delivery,
    read_proof,
    sign_proof,
    sign_reply,
    to_bytes,
    verify_proof,
)
from protocol.transport.steps import Request
from silos.network import client as wire_module
from silos.network.client import CoordinatorClient, LineLimits
from tests.support.machine.patience import PATIENCE

KEY = SigningKey.from_bytes(bytes(32))
PROOF = Proof(
    site="east", method="GET", target="/v1/inbox?after=0&wait=0", body=blob_digest(b""),
    time=1_000_000, nonce=bytes(16),
)  # fmt: skip

NUMBERS = st.integers(0, 2**53 - 1)
BLOBS = st.none() | st.builds(
    BlobName,
    digest=st.binary(max_size=20).map(blob_digest),
    size=st.integers(0, 1 << 30),
)
DELIVERIES = st.builds(
    Delivery,
    number=NUMBERS,
    run_id=st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", fullmatch=True),
    kind=st.from_regex(r"[a-z][a-z-]{0,31}", fullmatch=True),
    message=st.binary(max_size=200),
    blob=BLOBS,
)
ANSWERS = st.builds(
    Answer,
    number=NUMBERS,
    message=st.binary(max_size=200),
    blob=BLOBS,
    refusal=st.none() | st.from_regex(r"[A-Za-z]{1,40}", fullmatch=True),
)


# --- records ---


@given(DELIVERIES, ANSWERS)
def test_records_are_read_as_they_were_written(delivery: Delivery, answer: Answer) -> None:
    assert parse_delivery(to_bytes(delivery)) == delivery
    assert parse_answer(to_bytes(answer)) == answer


@given(ANSWERS, st.data())
def test_changed_bytes_of_an_answer_are_refused_or_another_answer(
    answer: Answer, data: st.DataObject
) -> None:
    written = bytearray(to_bytes(answer))
    written[data.draw(st.integers(0, len(written) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = parse_answer(bytes(written))
    except MessageRefused:
        return
    assert read != answer
    assert to_bytes(read) == bytes(written)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"number":7', b'"number": 7', "another canonical form"),
        (b'"number":7', b'"number":7.0', "another canonical form"),
        (b'"number":7', b'"number":-1', "number: expected an integer"),
        (b'"number":7', b'"number":true', "number: expected an integer"),
        (b',"refusal":null', b"", "expected exactly the fields"),
        (b'"number":7', b'"number":7,"numbers":7', "expected exactly the fields"),
        (b'"refusal":null', b'"refusal":"../x"', "refusal: expected text"),
        (b'"message":""', b'"message":"QQ=B"', "message: expected"),
        (b'"blob":null', b'"blob":{"digest":"x","size":1}', "blob: digest: expected"),
        (b'"blob":null', b'"blob":[1,2,3,4,5,6,7,8,9]', "so many fields"),
    ],
)
def test_answer_of_another_form_is_refused(old: bytes, new: bytes, why: str) -> None:
    written = to_bytes(Answer(number=7))
    assert old in written
    with pytest.raises(MessageRefused, match=why):
        parse_answer(written.replace(old, new))


def test_every_changed_character_of_a_proof_is_refused() -> None:
    header = sign_proof(PROOF, KEY)
    verify_proof(header, KEY.public)
    assert read_proof(header) == PROOF
    for at, character in enumerate(header):
        changed = header[:at] + ("A" if character != "A" else "B") + header[at + 1 :]
        with pytest.raises(MessageRefused):
            read_proof(changed)
            verify_proof(changed, KEY.public)


@given(st.text(max_size=300))
def test_any_text_as_a_proof_is_refused(header: str) -> None:
    with pytest.raises(MessageRefused):
        read_proof(header)


def test_proof_of_another_spelling_is_refused() -> None:
    raw = base64.b64decode(sign_proof(PROOF, KEY))
    loose = raw[:64] + raw[64:].replace(b'"time":', b'"time": ')
    with pytest.raises(MessageRefused, match="canonical"):
        read_proof(base64.b64encode(loose).decode())


def test_proof_in_another_base64_of_the_same_bytes_is_refused() -> None:
    headers = (sign_proof(replace(PROOF, site="e" * length), KEY) for length in (1, 2, 3))
    header = next(header for header in headers if header.endswith("="))
    bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = header.rstrip("=")[-1]
    other = header.replace(last + "=", bits[bits.index(last) + 1] + "=")
    assert base64.b64decode(other) == base64.b64decode(header)
    with pytest.raises(MessageRefused, match="canonical spelling"):
        read_proof(other)


def test_reply_is_the_coordinators_for_one_request_status_and_body() -> None:
    request = sign_proof(PROOF, KEY)
    header = sign_reply(request, 200, b"open", 5_000, KEY)
    assert open_reply(header, request, 200, b"open", KEY.public).time == 5_000
    another = sign_proof(replace(PROOF, nonce=b"n" * 16), KEY)
    for wrong in [(another, 200, b"open"), (request, 204, b"open"), (request, 200, b"ended")]:
        with pytest.raises(MessageRefused, match="under another reply"):
            open_reply(header, *wrong, KEY.public)
    with pytest.raises(MessageRefused, match="not valid for this key"):
        open_reply(header, request, 200, b"open", SigningKey.from_bytes(b"k" * 32).public)
    for at, character in enumerate(header):
        changed = header[:at] + ("A" if character != "A" else "B") + header[at + 1 :]
        with pytest.raises(MessageRefused):
            open_reply(changed, request, 200, b"open", KEY.public)


# --- mailbox ---


def draft(kind: str = "masked") -> Delivery:
    return Delivery(number=0, run_id="run-1", kind=kind, message=b"please")


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def test_oldest_unanswered_delivery_comes_first(mailbox: Mailbox) -> None:
    first, second = (mailbox.post("east", draft()) for _ in range(2))
    mailbox.post("west", draft())
    assert [mailbox.next("east", after).number for after in (0, first)] == [first, second]  # type: ignore[union-attr]
    mailbox.answer("east", Answer(number=first))
    assert mailbox.next("east", 0).number == second  # type: ignore[union-attr]
    assert mailbox.next("east", second) is None


def test_first_answer_counts_and_may_come_again(mailbox: Mailbox) -> None:
    number = mailbox.post("east", draft())
    mailbox.answer("east", Answer(number=number, message=b"one"))
    mailbox.answer("east", Answer(number=number, message=b"one"))
    with pytest.raises(MessageRefused, match="another answer was given before"):
        mailbox.answer("east", Answer(number=number, message=b"two"))
    [(site, answer)] = mailbox.collect({number: "east"}, 1.0, threading.Event())
    assert (site, answer.message) == ("east", b"one")
    with pytest.raises(MessageRefused, match="nobody waits"):
        mailbox.answer("east", Answer(number=number, message=b"one"))


def test_answer_with_a_blob_beyond_what_was_asked_is_refused(mailbox: Mailbox) -> None:
    number = mailbox.post("east", draft(), max_blob=10)
    assert mailbox.expects_blob("east", 10)
    assert not mailbox.expects_blob("east", 11)
    assert not mailbox.expects_blob("west", 10)
    large = BlobName(digest=blob_digest(b""), size=11)
    with pytest.raises(MessageRefused, match="a blob that was not asked for"):
        mailbox.answer("east", Answer(number=number, blob=large))


def test_withdrawn_deliveries_leave_nothing_behind(mailbox: Mailbox) -> None:
    numbers = {mailbox.post(site, draft()): site for site in ("east", "west")}
    answered = next(iter(numbers))
    mailbox.answer("east", Answer(number=answered))
    assert [site for site, _ in mailbox.collect(numbers, 0.05, threading.Event())] == ["east"]
    assert (mailbox._waiting, mailbox._answers) == ({}, {})


def test_nobody_waits_for_a_run_that_was_stopped(mailbox: Mailbox) -> None:
    stop = threading.Event()
    stop.set()
    assert list(mailbox.collect({mailbox.post("east", draft()): "east"}, math.inf, stop)) == []


def test_answers_of_many_threads_come_once_each(mailbox: Mailbox) -> None:
    numbers = {mailbox.post(f"site-{at % 8}", draft()): f"site-{at % 8}" for at in range(200)}
    rung: list[str] = []
    mailbox.notify = rung.append

    def hospital(site: str) -> int:
        after, done = 0, 0
        while (delivery := mailbox.next(site, after)) is not None:
            mailbox.answer(site, Answer(number=delivery.number, message=site.encode()))
            after, done = delivery.number, done + 1
            mailbox.post(site, draft("late"))
            if done == 25:
                return done
        return done

    with ThreadPoolExecutor(8) as pool:
        done = pool.map(hospital, [f"site-{at}" for at in range(8)])
        came = list(mailbox.collect(numbers, PATIENCE, threading.Event()))
        assert sum(done) == 200
    assert sorted(site for site, _ in came) == sorted(numbers.values())
    assert all(answer.message == site.encode() for site, answer in came)
    assert len(rung) == 200


# --- blobs ---


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


BLOB = bytes(range(256)) * 4
NAME = blob_digest(BLOB)


def test_upload_goes_on_where_it_stopped(blobs: BlobStore) -> None:
    assert blobs.append("east", NAME, 0, BLOB[:600], len(BLOB)) == 600
    assert blobs.received("east", NAME) == 600
    assert not blobs.has("east", BlobName(digest=NAME, size=len(BLOB)))
    assert blobs.append("east", NAME, 500, BLOB[500:], len(BLOB)) == len(BLOB)
    assert blobs.take("east", NAME) == BLOB
    assert blobs.received("east", NAME) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1100), st.integers(0, 400), st.sampled_from([1024, 1024, 900]))
    ),
    st.booleans(),
)
def test_parts_in_any_order_end_whole_and_right_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int, int]], finish: bool
) -> None:
    blobs, here = BlobStore(tmp_path_factory.mktemp("blobs")), 0
    for offset, length, size in parts:
        part = BLOB[offset : offset + length]
        try:
            here = blobs.append("east", NAME, offset, part, size)
        except MessageRefused:
            here = blobs.received("east", NAME)
        assert here == blobs.received("east", NAME)
    if finish:
        while here < len(BLOB):
            here = blobs.append("east", NAME, here, BLOB[here : here + 300], len(BLOB))
    whole = blobs.has("east", BlobName(digest=NAME, size=len(BLOB)))
    assert whole or not finish
    if whole:
        assert blobs.take("east", NAME) == BLOB


def test_blob_with_another_digest_is_thrown_away(blobs: BlobStore) -> None:
    with pytest.raises(MessageRefused, match="another digest than its name"):
        blobs.append("east", NAME, 0, BLOB[::-1], len(BLOB))
    assert blobs.received("east", NAME) == 0


def test_blob_of_one_site_is_not_anothers(blobs: BlobStore) -> None:
    blobs.append("east", NAME, 0, BLOB, len(BLOB))
    assert blobs.received("west", NAME) == 0
    with pytest.raises(MessageRefused, match="has not arrived"):
        blobs.take("west", NAME)
    assert blobs.take("east", NAME) == BLOB


def test_site_that_begins_and_begins_loses_what_it_began_first(blobs: BlobStore) -> None:
    names = [blob_digest(bytes([at])) for at in range(MAX_OF_ONE_SITE + 3)]
    for name in names:
        blobs.append("east", name, 0, b"be", 9)
        time.sleep(0.01)
    assert [blobs.received("east", name) for name in names] == [0] * 3 + [2] * MAX_OF_ONE_SITE


def test_offered_blob_stays_until_the_last_one_lets_go(blobs: BlobStore) -> None:
    assert blobs.keep(BLOB) == blobs.keep(BLOB) == NAME
    blobs.drop(NAME)
    assert blobs.offered(NAME) is not None
    blobs.drop(NAME)
    assert blobs.offered(NAME) is None


def test_restarted_store_keeps_uploads_and_forgets_offers(tmp_path: Path) -> None:
    before = BlobStore(tmp_path)
    before.keep(b"a model")
    before.append("east", NAME, 0, BLOB[:9], len(BLOB))
    after = BlobStore(tmp_path)
    assert after.offered(blob_digest(b"a model")) is None
    assert after.received("east", NAME) == 9


def test_two_runs_with_one_model_do_not_take_it_from_each_other(
    mailbox: Mailbox, blobs: BlobStore
) -> None:
    first, second = (
        HttpLink(
            mailbox,
            blobs,
            joined=lambda: frozenset(["east"]),
            max_vector=9,
            stop=threading.Event(),
        )
        for _ in range(2)
    )
    asked = {"east": Request(run_id="run-1", step="advertise", message=b"", blob=BLOB)}
    for link in (first, second):
        assert list(link.exchange(asked, 0.01)) == []
    first.close()
    assert blobs.offered(NAME) is not None
    second.close()
    assert blobs.offered(NAME) is None


# --- guard ---


class Known:
    """A consortium of one."""

    def certificate_allowed(self, serial: str, site: str) -> bool:
        return (serial, site) == ("0A", "east")

    def identity_key(self, site: str) -> bytes | None:
        return KEY.public if site == "east" else None


CERTIFICATE = {"subjectAltName": (("URI", "collegium://silo/east"),), "serialNumber": "0A"}


@pytest.fixture
def now() -> list[float]:
    return [1_000.0]


@pytest.fixture
def admit(now: list[float]) -> Iterator[Callable[..., Proof]]:
    guard = RequestAuthenticator(Known(), clock=lambda: now[0], max_nonces=100)

    def admit(proof: Proof | None = None, certificate: dict[str, object] = CERTIFICATE) -> Proof:
        said = proof or replace(PROOF, time=int(now[0] * 1000), nonce=os.urandom(16))
        header = sign_proof(said, KEY)
        return guard.admit(certificate, header, method="GET", target=PROOF.target)

    yield admit
    assert len(guard._seen) <= 1


def test_proof_is_good_once(admit: Callable[..., Proof]) -> None:
    assert admit(PROOF) == PROOF
    require_body(PROOF, b"")
    with pytest.raises(MessageRefused, match="another body"):
        require_body(PROOF, b"x")
    with pytest.raises(MessageRefused, match="came before"):
        admit(PROOF)


def test_proof_is_refused_for_as_long_as_its_time_is_near(
    admit: Callable[..., Proof], now: list[float]
) -> None:
    ahead = replace(PROOF, time=int((now[0] + MAX_SKEW_SECONDS) * 1000))
    admit(ahead)
    for _ in range(20):
        now[0] += MAX_SKEW_SECONDS / 10
        admit()
        with pytest.raises(MessageRefused, match="came before"):
            admit(ahead)
    now[0] += 1
    with pytest.raises(WrongClock):
        admit(ahead)


def test_proof_from_before_this_process_is_too_old(admit: Callable[..., Proof]) -> None:
    """A process does not know what an earlier one has seen."""
    with pytest.raises(WrongClock, match="-1 s from ours"):
        admit(replace(PROOF, time=999_000))


def test_nonces_are_remembered_in_bounds(admit: Callable[..., Proof], now: list[float]) -> None:
    for _ in range(100):
        admit()
    with pytest.raises(MessageRefused, match="too many requests"):
        admit()
    now[0] += 2 * MAX_SKEW_SECONDS + 1
    admit()


@pytest.mark.parametrize(
    "certificate",
    [
        {},
        CERTIFICATE | {"serialNumber": "0B"},
        CERTIFICATE | {"subjectAltName": (("DNS", "collegium://silo/east"),)},
        CERTIFICATE | {"subjectAltName": (("URI", "collegium://silo/west"),)},
        CERTIFICATE | {"subjectAltName": (("URI", "https://silo/east"),)},
        CERTIFICATE | {"subjectAltName": CERTIFICATE["subjectAltName"] * 2},  # type: ignore[operator]
    ],
)
def test_certificate_must_be_this_sites_and_good(
    admit: Callable[..., Proof], certificate: dict[str, object]
) -> None:
    with pytest.raises(MessageRefused, match="no certificate|another request|revoked"):
        admit(certificate=certificate)


# --- the hospital's end ---


COORDINATOR = SigningKey.from_bytes(bytes(31) + b"c")


def said(status: int, body: bytes = b"", **headers: str) -> httpx2.Response:
    """A reply as it comes from a line; names of headers with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, stream=httpx2.ByteStream(body), headers=named)


Answering = Callable[[httpx2.Request], httpx2.Response]
ROOMY = LineLimits()


def signed(answer: Answering) -> Answering:
    """The same answers, signed as the coordinator signs them."""

    def answering(request: httpx2.Request) -> httpx2.Response:
        reply = answer(request)
        stream = reply.stream
        assert isinstance(stream, httpx2.ByteStream)
        reply.headers[REPLY_HEADER] = sign_reply(
            request.headers[PROOF_HEADER], reply.status_code, b"".join(stream), 5_000, COORDINATOR
        )
        return reply

    return answering


def line_to(answer: Answering, limits: LineLimits = ROOMY) -> CoordinatorClient:
    """A hospital's line to a coordinator that answers like this."""
    wire = CoordinatorClient(
        "east",
        "https://coordinator.test",
        KEY,
        ssl.create_default_context(),
        coordinator=COORDINATOR.public,
        limits=limits,
    )
    wire.close()
    wire._http = httpx2.Client(
        base_url="https://coordinator.test", transport=httpx2.MockTransport(answer)
    )
    return wire


def test_hospital_unpacks_nothing() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    wire = line_to(lambda _: said(200, bomb, content_encoding="gzip"))
    with pytest.raises(MessageRefused, match="a compressed reply"):
        wire.document("statements")
    with pytest.raises(MessageRefused, match="a compressed reply"):
        wire.fetch(BlobName(digest=NAME, size=len(BLOB)))
    wire.close()


def test_hospital_reads_no_endless_reply() -> None:
    wire = line_to(lambda _: said(200, bytes(1001)), LineLimits(reply=1000))
    with pytest.raises(MessageRefused, match="reply is too long"):
        wire.next(0, 0)
    with pytest.raises(MessageRefused, match="more bytes than it named"):
        wire.fetch(BlobName(digest=NAME, size=1000))
    wire.close()


def test_hospital_takes_no_other_bytes_than_were_named() -> None:
    wire = line_to(lambda _: said(206, BLOB[::-1]))
    with pytest.raises(MessageRefused, match="other bytes than it named"):
        wire.fetch(BlobName(digest=NAME, size=len(BLOB)))
    wire.close()


def test_hospital_does_not_fetch_for_ever() -> None:
    """From a coordinator that sends nothing, and says that this is all."""
    wire = line_to(lambda _: said(206))
    with pytest.raises(MessageRefused, match="fewer bytes than it named"):
        wire.fetch(BlobName(digest=NAME, size=len(BLOB)))
    wire.close()


def test_hospital_does_not_send_for_ever() -> None:
    """To a coordinator that says each time that nothing has come."""
    wire = line_to(signed(lambda _: said(200, collegium_received="0")))
    with pytest.raises(MessageRefused, match="loses what it was sent"):
        wire.send(BLOB)
    wire.close()


def test_parts_become_smaller_on_a_line_that_is_cut_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire_module, "_pause", lambda _tried: 0.0)
    blob, here = bytes(1 << 20), bytearray()

    def coordinator(request: httpx2.Request) -> httpx2.Response:
        if len(request.content) > 300_000:
            raise httpx2.WriteError("the line does not last so long")
        here.extend(request.content)
        return said(200, collegium_received=str(len(here)))

    wire = line_to(signed(coordinator))
    assert wire.send(blob).size == len(here) == len(blob)
    wire.close()


@pytest.mark.parametrize("status", [200, 204, 404, 409, 401])
def test_hospital_believes_no_reply_that_the_coordinator_has_not_signed(status: int) -> None:
    wire = line_to(lambda _: said(status))
    for ask in (
        lambda: wire.next(0, 0),
        lambda: wire.document("statements"),
        lambda: wire.answer(Answer(number=1)),
        lambda: wire.hand_in("renew", b""),
        lambda: wire.send(BLOB),
    ):
        with pytest.raises(MessageRefused, match="not signed by this consortium's coordinator"):
            ask()
    wire.close()


def test_hospital_takes_the_time_that_the_coordinator_has_signed_and_no_other() -> None:
    times: list[int] = []

    def coordinator(request: httpx2.Request) -> httpx2.Response:
        times.append(read_proof(request.headers[PROOF_HEADER]).time)
        return said(401 if len(times) == 1 else 204, date="Thu, 01 Jan 2015 00:00:00 GMT")

    wire = line_to(signed(coordinator))
    assert wire.next(0, 0) is None
    assert abs(times[1] - 5_000) < 1_000
    wire.close()


@pytest.mark.parametrize(
    ("status", "error"), [(403, PolicyRefused), (401, PolicyRefused), (503, LinkLost)]
)
def test_hospital_tells_refusal_from_trouble(status: int, error: type[Exception]) -> None:
    wire = line_to(signed(lambda _: said(status)))
    with pytest.raises(error, match="does not admit this hospital|cannot serve"):
        wire.next(0, 0)
    wire.close()


ELSEWHERE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("header", "taken"),
    [(ELSEWHERE, ELSEWHERE), (ELSEWHERE + ELSEWHERE, ""), ("run=1; drop", ""), ("", "")],
)
def test_hospital_takes_the_name_of_a_trace_in_its_one_form(header: str, taken: str) -> None:
    body = to_bytes(replace(draft(), number=7))
    wire = line_to(signed(lambda _request: said(200, body, traceparent=header)))
    assert wire.next(0, 0) == replace(draft(), number=7)
    assert wire.asked_by == taken
    wire.close()


@pytest.mark.parametrize("own", ["", ELSEWHERE])
def test_hospital_names_its_own_trace_or_none_whatever_it_was_sent(own: str) -> None:
    asked: list[str | None] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("traceparent"))
        return said(204, traceparent=ELSEWHERE)

    wire = line_to(signed(answer))
    wire.trace = own
    wire.next(0, 0)
    assert asked == [own or None]
    wire.close()
