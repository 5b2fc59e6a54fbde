"""Strangers and faithless members: refused, logged, nothing else affected."""

import contextlib
import gzip
import logging
import os
import resource
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from collegium.output.telemetry.metrics_page import metrics_shown
from compliance.storage.clock import utc_now
from coordinator.delivery.deliveries import Mailbox
from coordinator.http import protocol_limits as gate
from coordinator.http.api import BodyLimits, HttpLimits
from coordinator.http.connection_limits import (
    ConnectionLimits,
    ConnectionTable,
    LimitedConnection,
)
from coordinator.http.enrolment import EnrolmentLimits
from coordinator.http.protocol_limits import RequestLimits
from coordinator.http.rate_limits import RateCounter, UnprovenLog
from coordinator.membership.authority import Authority
from coordinator.membership.directory import open_members
from protocol.encoding import blob_digest
from protocol.errors import WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.transport.enrolment import INVITATION_LIFE, EnrolmentInvitation, request_enrolment
from protocol.transport.enrolment import to_bytes as written
from protocol.transport.requests import Answer, BlobName, Delivery, to_bytes
from silos.config.credentials import Credentials
from silos.network.client import CoordinatorClient
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, until
from tests.support.networked.proxy import Proxy
from tests.support.networked.unproven_peers import (
    Caller,
    enrolled,
    newcomer,
    stranger,
    with_certificate_of,
)
from tests.support.simulated.studies import small_study

INBOX = "/v1/inbox?after=0&wait=0"
Logged = Callable[[str], None]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A served coordinator and four enrolled hospitals whose supervisors are not started."""
    network = Network(tmp_path_factory.mktemp("strangers"), small_study())
    with network.serving():
        invite_nobody(network)
        yield network


#: Limits that a test reaches soon.
TIGHT = HttpLimits(
    connections=ConnectionLimits(connections=12),
    requests=RequestLimits(header_seconds=1.0, silent_seconds=1.0),
    bodies=BodyLimits(body_seconds=1.0),
    enrolment=EnrolmentLimits(body_seconds=2.0),
)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Another such consortium, whose coordinator's limits are soon reached."""
    network = Network(tmp_path_factory.mktemp("tight"), small_study(), limits=TIGHT)
    with network.serving():
        invite_nobody(network)
        yield network


def invite_nobody(network: Network) -> None:
    """Opens the port for enrolments for somebody who never comes.

    The one that was open for the hospitals is closed first: seen open in its last moment, it
    would be gone when a test connects.
    """
    until(lambda: not is_open(network.port + 1))
    with open_members(network.home) as members:
        members.invite("nobody", f"https://127.0.0.1:{network.port}")
    until(lambda: is_open(network.port + 1))


def is_open(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        return True
    return False


@pytest.fixture
def mailbox(network: Network) -> Mailbox:
    return network.service._resources.mailbox


@pytest.fixture
def east(network: Network) -> Caller:
    return enrolled(network, "east")


@pytest.fixture(autouse=True)
def fresh_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests did from this address does not count."""
    monkeypatch.setattr(gate.UNPROVEN_LOG, "_lines", RateCounter())


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Logged]:
    """Waits until the coordinator's log says something; nothing unexpected stands in it."""
    caplog.set_level(logging.INFO, "collegium.coordinator")
    yield lambda text: until(lambda: text in caplog.text)
    for record in caplog.get_records("call"):
        assert record.levelno < logging.ERROR, record.getMessage()
        assert not record.name.startswith("uvicorn"), record.getMessage()  # it counts nothing


def posted(mailbox: Mailbox, site: str, *, max_blob: int = 0, blob: BlobName | None = None) -> int:
    """Leaves a delivery for a site; returns its number."""
    draft = Delivery(number=0, run_id="run-1", kind="masked", message=b"please", blob=blob)
    return mailbox.post(site, draft, max_blob)


def put(caller: Caller, blob: bytes, offset: int, part: bytes, size: int | None = None) -> int:
    target = f"/v1/blobs/{blob_digest(blob)}?offset={offset}&size={size or len(blob)}"
    return caller.hears("PUT", target, part)


# --- who are you? ---


@pytest.mark.parametrize("target", [INBOX, "/healthz", "/metrics", "/v1/enrol", "/"])
def test_stranger_without_a_certificate_gets_no_tls_where_hospitals_are_served(
    network: Network, target: str, logged: Logged
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        replace(stranger(network), port=network.port).asks("GET", target)
    logged("127.0.0.1: no TLS was agreed: PEER_DID_NOT_RETURN_A_CERTIFICATE")


@pytest.mark.parametrize("target", [INBOX, "/healthz", "/metrics", "/v1/documents/words", "/"])
def test_where_hospitals_enrol_nothing_else_is_served(
    network: Network, east: Caller, target: str, logged: Logged
) -> None:
    until(lambda: is_open(network.port + 1))  # it opens a moment after the invitation
    for caller in (stranger(network), replace(east, port=network.port + 1)):
        status, said, headers = caller.asks("GET", target)
        assert (status, said, headers["connection"]) == (403, b"refused", "close")
    logged(f"127.0.0.1: refused GET {target.partition('?')[0]}: ")


def test_port_for_enrolments_refuses_connections_while_no_invitation_is_open(
    tmp_path: Path, logged: Logged
) -> None:
    network = Network(tmp_path, small_study())
    with network.serving():  # four hospitals have enrolled
        until(lambda: not is_open(network.port + 1))
        with open_members(network.home) as members:
            invitation = members.invite("late", f"https://127.0.0.1:{network.port}")
        until(lambda: is_open(network.port + 1))
        with open_members(network.home) as members:
            members.revoke("late", "it was a trial")
        until(lambda: not is_open(network.port + 1))
        assert invitation.enrol_url == f"https://127.0.0.1:{network.port + 1}"
        logged("an invitation is open: enrolments are taken")
        logged("no invitation is open: no enrolments are taken")
        assert newcomer(network, tmp_path, "later").hears("GET", INBOX) == 204
        until(lambda: not is_open(network.port + 1))  # its invitation is used


def test_an_expired_invitation_keeps_no_port_open(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    members = network.service._backend._members
    with open_members(network.home) as others:
        others.invite("late", "https://127.0.0.1:1")
    assert members.is_anybody_invited()
    later = utc_now() + INVITATION_LIFE
    members._authority.clock = lambda: later
    assert not members.is_anybody_invited()
    network.service.close()


def test_certificate_of_another_authority_gets_no_tls(
    network: Network, tmp_path: Path, logged: Logged
) -> None:
    Authority.create(tmp_path / "other", ["127.0.0.1"], bytes(32))
    forger = with_certificate_of(network, tmp_path, tmp_path / "other", "east")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        forger.asks("GET", INBOX)
    logged("no TLS was agreed: unable to get local issuer certificate")


def test_expired_certificate_gets_no_tls(network: Network, tmp_path: Path, logged: Logged) -> None:
    late = with_certificate_of(network, tmp_path, network.home, "east", age=timedelta(days=30))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        late.asks("GET", INBOX)
    logged("no TLS was agreed: certificate")


def test_certificate_that_the_register_does_not_know_is_refused(
    network: Network, tmp_path: Path, logged: Logged
) -> None:
    """Even one that the consortium's own issuing key made."""
    forger = with_certificate_of(network, tmp_path, network.home, "east")
    assert forger.hears("GET", INBOX) == 403
    logged("the certificate or the member is revoked")


def test_revoked_hospital_is_refused(network: Network, tmp_path: Path, logged: Logged) -> None:
    gone = newcomer(network, tmp_path, "gone")
    assert gone.hears("GET", INBOX) == 204
    with open_members(network.home) as members:
        members.revoke("gone", "it left the consortium")
    until(lambda: gone.hears("GET", INBOX) == 403)
    logged("the certificate or the member is revoked")


def test_tls_1_2_is_not_spoken(network: Network, logged: Logged) -> None:
    old = stranger(network)
    old.context.minimum_version = ssl.TLSVersion.TLSv1_2
    old.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        old.connect()
    logged("no TLS was agreed: UNSUPPORTED_PROTOCOL")


def test_plain_http_gets_no_answer(network: Network, logged: Logged) -> None:
    with socket.create_connection(("127.0.0.1", network.port), 20) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in line.recv(1000)
    logged("no TLS was agreed: HTTP_REQUEST")


# --- proofs ---


@pytest.mark.parametrize(
    "changes",
    [{"method": "POST"}, {"target": "/v1/inbox?after=1&wait=0"}, {"site": "west"}],
    ids=["method", "target", "site"],
)
def test_proof_for_another_request_is_refused(
    east: Caller, changes: dict[str, str], logged: Logged
) -> None:
    assert east.hears("GET", INBOX, proof=east.proof("GET", INBOX, **changes)) == 403
    logged("the proof is for another request")


def test_proof_for_another_body_is_refused(east: Caller, logged: Logged) -> None:
    body = to_bytes(Answer(number=1))
    proof = east.proof("POST", "/v1/answers", body)
    assert east.hears("POST", "/v1/answers", to_bytes(Answer(number=2)), proof=proof) == 403
    logged("the proof is for another body")


def test_hospital_cannot_sign_as_another(network: Network, east: Caller, logged: Logged) -> None:
    west = enrolled(network, "west")
    assert east.hears("GET", INBOX, proof=west.proof("GET", INBOX)) == 403
    logged("the proof is for another request")
    west.site = "east"
    assert east.hears("GET", INBOX, proof=west.proof("GET", INBOX)) == 403
    logged("signature")


def test_replayed_request_is_refused(east: Caller, logged: Logged) -> None:
    proof = east.proof("GET", INBOX)
    assert [east.hears("GET", INBOX, proof=proof) for _ in range(2)] == [204, 403]
    logged("the request came before")


@pytest.mark.parametrize("seconds", [-400, 400, -3600 * 24 * 365])
def test_proof_of_another_time_hears_that_its_clock_is_wrong(east: Caller, seconds: int) -> None:
    proof = east.proof("GET", INBOX, time=int((time.time() + seconds) * 1000))
    status, said, headers = east.asks("GET", INBOX, proof=proof)
    assert (status, said) == (401, b"clock")
    assert headers["date"]


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_hospital_with_a_wrong_clock_takes_the_coordinators_and_goes_on(
    network: Network, east: Caller, seconds: int
) -> None:
    url = f"https://127.0.0.1:{network.port}"
    wire = CoordinatorClient(
        "east",
        url,
        east.key,
        east.context,
        clock=lambda: time.time() + seconds,
        coordinator=network.coordinator.key,
    )
    with contextlib.closing(wire):
        assert wire.next(0, 0) is None
        assert wire.send(b"") == BlobName(digest=blob_digest(b""), size=0)


@pytest.mark.parametrize("header", ["", "?", "A" * 5000, "QUJD" * 30, "e30=" * 40])
def test_forged_proofs_are_refused(east: Caller, header: str) -> None:
    assert east.hears("GET", INBOX, proof=header) == 403


# --- what is asked ---


@pytest.mark.parametrize(
    "target",
    [
        "/v1/blobs/..%2f..%2fcollegium.db",
        "/v1/blobs/../../collegium.db",
        "/v1/blobs/" + "A" * 64,
        "/v1/blobs/" + "a" * 63,
        "/v1/blobs/" + "a" * 64 + "%00",
        "/v1/blobs/" + "a" * 64 + ".part",
        "/v1/documents/../../coordinator.key",
        "/v1/documents/rosters%2f..%2f..",
        "/v1/documents//etc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_no_path_leads_out_of_the_folder(
    network: Network, east: Caller, method: str, target: str
) -> None:
    before = {path for path in network.home.rglob("*") if path.is_file()}
    assert east.hears(method, target, b"" if method == "GET" else b"x") in (403, 409)
    new = {path for path in network.home.rglob("*") if path.is_file()} - before
    assert [path for path in new if "-wal" not in path.name and "-shm" not in path.name] == []


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/"), ("GET", "/v2/inbox"), ("GET", "/v1/inbox/"), ("DELETE", "/v1/inbox"),
     ("TRACE", "/healthz"), ("PUT", "/v1/enrol"), ("GET", "/.env")],
)  # fmt: skip
def test_unknown_endpoints_are_refused_and_logged(
    network: Network, method: str, target: str, logged: Logged
) -> None:
    status, said, _ = stranger(network).asks(method, target)
    assert (status, said) == (403, b"refused")
    logged(f"refused {method} {target}")


@pytest.mark.parametrize(
    "query",
    ["x=1", "after=-1&wait=0", "after=0", "wait=0", "after=9999999999999999&wait=0",
     "after=&wait=0", "after=0&wait=56", "after=0&wait=1e9", "after=%D9%A1&wait=0",
     f"after={'1' * 400}&wait=0"],
)  # fmt: skip
def test_inbox_takes_whole_numbers_in_range_only(east: Caller, query: str) -> None:
    assert east.hears("GET", f"/v1/inbox?{query}") == 409


def test_answer_to_another_sites_delivery_is_not_taken(
    east: Caller, mailbox: Mailbox, logged: Logged
) -> None:
    number = posted(mailbox, "west")
    assert east.hears("POST", "/v1/answers", to_bytes(Answer(number=number))) == 409
    logged("nobody waits for this answer")
    assert mailbox.next("west", 0) is not None
    mailbox.withdraw({number: "west"})


def test_answer_with_a_blob_that_never_came_is_not_taken(
    east: Caller, mailbox: Mailbox, logged: Logged
) -> None:
    number = posted(mailbox, "east", max_blob=100)
    blob = BlobName(digest=blob_digest(b"never"), size=5)
    body = to_bytes(Answer(number=number, blob=blob))
    assert east.hears("POST", "/v1/answers", body) == 409
    logged("names a blob that has not arrived")
    mailbox.withdraw({number: "east"})


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"\xff", b'{"number":1}', b"[" * 99])
def test_unknown_messages_are_not_taken(east: Caller, body: bytes) -> None:
    assert east.hears("POST", "/v1/answers", body) == 409


def test_answer_of_a_million_values_costs_no_more_than_its_bytes(east: Caller) -> None:
    body = b"[" + b"0," * (5 << 20) + b"0]"
    began = time.process_time()
    assert east.hears("POST", "/v1/answers", body) == 409
    assert time.process_time() - began < 2.0


# --- blobs ---


@pytest.fixture
def expected(mailbox: Mailbox) -> Iterator[bytes]:
    """A blob that east is expected to send."""
    number = posted(mailbox, "east", max_blob=1000)
    yield os.urandom(1000)
    mailbox.withdraw({number: "east"})


def test_upload_with_a_gap_or_beyond_its_size_is_not_taken(east: Caller, expected: bytes) -> None:
    assert put(east, expected, 10, expected[10:]) == 409
    assert put(east, expected, 0, expected + b"x", 1000) == 409
    assert put(east, expected, 0, expected[:600]) == 200
    assert put(east, expected, 601, expected[601:]) == 409
    assert put(east, expected, 500, expected[500:]) == 200


def test_upload_of_a_size_that_nobody_waits_for_is_not_taken(
    east: Caller, expected: bytes, logged: Logged
) -> None:
    assert put(east, expected, 0, b"x", 1001) == 409
    assert put(east, expected, 0, b"", 2**30) == 409
    assert east.hears("PUT", f"/v1/blobs/{blob_digest(b'')}?offset=0&size=0") == 409
    logged("nobody waits for a blob of this size")


def test_upload_with_another_digest_is_thrown_away(east: Caller, expected: bytes) -> None:
    assert put(east, expected, 0, bytes(1000)) == 409
    assert put(east, expected, 0, expected) == 200


def test_two_uploads_of_one_blob_at_once_end_in_one_blob(east: Caller, expected: bytes) -> None:
    def send(_: int) -> set[int]:
        return {put(east, expected, at, expected[at : at + 100]) for at in range(0, 1000, 100)}

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(send, range(4))) == {200}
    status, _, headers = east.asks("HEAD", f"/v1/blobs/{blob_digest(expected)}")
    assert (status, headers["collegium-received"]) == (200, "1000")


def test_hospital_cannot_see_touch_or_name_what_another_has_sent(
    network: Network, east: Caller, mailbox: Mailbox, expected: bytes
) -> None:
    west, name = enrolled(network, "west"), blob_digest(expected)
    assert put(east, expected, 0, expected) == 200
    number = posted(mailbox, "west", max_blob=1000)
    assert west.hears("GET", f"/v1/blobs/{name}") == 404
    assert west.asks("HEAD", f"/v1/blobs/{name}")[2]["collegium-received"] == "0"
    body = to_bytes(Answer(number=number, blob=BlobName(digest=name, size=1000)))
    assert west.hears("POST", "/v1/answers", body) == 409
    mailbox.withdraw({number: "west"})


def test_uploads_that_nobody_asked_to_finish_do_not_fill_the_disk(
    network: Network, east: Caller, expected: bytes
) -> None:
    for _ in range(12):
        assert put(east, os.urandom(1000), 0, b"begun") == 200
    assert len(list((network.home / "blobs" / "east").iterdir())) <= 4


@pytest.mark.parametrize(
    "asked", ["bytes=-5", "bytes=5-1", "bytes=a-", "bytes=0-0,2-3", "bits=0-", "bytes=" + "9" * 99]
)
def test_nonsense_ranges_are_not_served(
    network: Network, east: Caller, mailbox: Mailbox, asked: str
) -> None:
    name = network.service._resources.blobs.keep(b"a model")
    number = posted(mailbox, "east", blob=BlobName(digest=name, size=7))
    target = f"/v1/blobs/{name}"
    assert east.hears("GET", target, headers={"range": asked}) == 409
    assert east.hears("GET", target, headers={"range": "bytes=9-"}) == 416
    assert east.asks("GET", target, headers={"range": "bytes=2-"})[1] == b"model"
    mailbox.withdraw({number: "east"})
    network.service._resources.blobs.drop(name)


# --- HTTP ---


def raw(caller: Caller, more: str = "", *, method: str = "GET", target: str = INBOX) -> bytes:
    """Returns a request's header, with a good proof for no body, still open at its end."""
    proof = caller.proof(method, target)
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\ncollegium-proof: {proof}\r\n{more}".encode()


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(network: Network, said: bytes, logged: Logged) -> None:
    assert stranger(network).says(said)[9:12] in (b"400", b"403")
    logged("127.0.0.1: ")


def test_huge_headers_end_the_connection(network: Network, logged: Logged) -> None:
    huge = b"GET /healthz HTTP/1.1\r\nHost: x\r\nx: " + b"x" * (1 << 16) + b"\r\n\r\n"
    assert b"200" not in stranger(network).says(huge)
    logged("cut off: a header")


def test_endless_headers_end_the_connection(network: Network, logged: Logged) -> None:
    lines = (b"x: " + b"x" * 4000 + b"\r\n" for _ in range(10_000))
    assert stranger(network).says(b"GET /healthz HTTP/1.1\r\n", *lines) == b""
    logged("cut off: a header")


def test_trickled_header_ends_the_connection(tight: Network, logged: Logged) -> None:
    bits = (bytes([byte]) for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    assert stranger(tight).says(*bits, pause=0.5) == b""
    logged("cut off: nothing came within 1 s")


def test_trickled_body_of_an_enrolment_ends(tight: Network, logged: Logged) -> None:
    head = b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    assert b"403" in stranger(tight).says(head, *[b"x"] * 20, pause=0.2)[:20]
    logged("enrolment: TimeoutError")


def test_trickled_body_of_a_hospital_ends(tight: Network, logged: Logged) -> None:
    east = enrolled(tight, "east")
    head = raw(east, "Content-Length: 1000\r\n\r\n", method="POST", target="/v1/answers")
    assert b"400" in east.says(head, *[b"x"] * 20, pause=0.2)[:20]
    logged("the body of /v1/answers did not come: TimeoutError")


def test_stopped_body_ends_the_connection(tight: Network, logged: Logged) -> None:
    head = b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
    assert stranger(tight).says(head) == b""
    logged("cut off: nothing came within 1 s")


@pytest.mark.parametrize("length", [(128 << 10) + 1, 1 << 40])
def test_long_enrolment_is_refused_before_it_is_read(
    network: Network, length: int, logged: Logged
) -> None:
    head = f"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    assert b"403" in stranger(network).says(head.encode())[:20]
    logged(f"enrolment: a body of {length} bytes")


def test_chunked_body_without_length_is_read_no_further_than_allowed(
    network: Network, logged: Logged
) -> None:
    head = b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 20
    stranger(network).says(head, *chunks)
    logged("enrolment: a body longer than 131072 bytes")


def test_chunked_body_of_a_hospital_is_read(east: Caller) -> None:
    head = raw(east, "Transfer-Encoding: chunked\r\n\r\n", method="POST", target="/v1/answers")
    said = east.says(head, b"0\r\n\r\n", b"GET /none HTTP/1.1\r\n\r\n")
    assert b"409" in said[:20]


def test_body_is_not_read_before_the_proof_is_checked(network: Network, logged: Logged) -> None:
    """So that a thief of a certificate cannot make the coordinator hold bodies."""
    east = enrolled(network, "east")
    east.key = SigningKey.from_bytes(os.urandom(32))
    head = raw(east, f"Content-Length: {12 << 20}\r\n\r\n", method="POST", target="/v1/answers")
    assert b"403" in east.says(head)[:20]
    logged("signature")


def test_compression_bomb_is_not_unpacked(network: Network, east: Caller, logged: Logged) -> None:
    bomb = gzip.compress(bytes(50 << 20))
    packed = {"content-encoding": "gzip"}
    assert stranger(network).hears("POST", "/v1/enrol", bomb, headers=packed) == 403
    assert east.hears("POST", "/v1/answers", bomb, headers=packed) == 403
    logged("compressed bodies are not read")


def test_body_longer_than_declared_is_no_second_request(network: Network, logged: Logged) -> None:
    said = b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /healthz"
    heard = stranger(network).says(said)
    assert heard.count(b"HTTP/1.1") == 1
    assert b"403" in heard[:20]


def test_pipelined_requests_are_answered_one_by_one(network: Network, east: Caller) -> None:
    heard = east.says(*[raw(east, "\r\n") for _ in range(20)], b"GET /none HTTP/1.1\r\n\r\n")
    assert heard.count(b"204 No Content") == 20


def test_http_1_0_is_answered_and_closed(east: Caller) -> None:
    heard = east.says(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert heard.endswith(b"ok")


def test_upgrades_and_odd_headers_change_nothing(network: Network) -> None:
    said = (
        b"GET /v1/inbox?after=0&wait=0 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
        b"Upgrade: websocket\r\nX-Forwarded-For: 127.0.0.1\r\nX-HTTP-Method-Override: PUT\r\n\r\n"
    )
    assert b"403" in stranger(network).says(said)[:20]


def test_metrics_are_shown_on_this_machine_only(network: Network, east: Caller) -> None:
    assert east.hears("GET", "/metrics") == 403
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with metrics_shown(network.service.counts, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as page:
            assert b"collegium_refused_total" in page.read()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), PATIENCE)
        taken = pytest.raises(WorkspaceRefused, match=f"--metrics-port {port} cannot be listened")
        with taken, metrics_shown(network.service.counts, port):
            pass
    with metrics_shown(network.service.counts, None):
        assert not is_open(port)


def test_log_takes_no_line_that_a_stranger_writes(network: Network, logged: Logged) -> None:
    stranger(network).says(b"GET /%0a2026:%20all%20is%20well HTTP/1.1\r\nHost: x\r\n\r\n")
    logged(r"refused GET /\n2026: all is well")


# --- enrolment ---


def attempt(
    network: Network, site: str = "east", source: str = "127.0.0.1"
) -> tuple[Caller, bytes]:
    """A well-formed enrolment with a token that nobody gave out."""
    caller = stranger(network, source)
    invitation = EnrolmentInvitation(
        site="east",
        url="https://127.0.0.1:1",
        enrol_url="https://127.0.0.1:2",
        root=(network.home / "tls" / "root.pem").read_text(),
        token=os.urandom(32),
        expires="2999-01-01T00:00:00.000Z",
    )
    request = Credentials(network.sites["east"].home / "tls", "east").request()
    return caller, written(request_enrolment(invitation, request, caller.key))


def test_wrong_tokens_open_nothing_and_keep_nobody_out(
    network: Network, tmp_path: Path, logged: Logged
) -> None:
    before = enrolled(network, "east")
    for _ in range(30):
        caller, body = attempt(network, source="127.0.0.3")
        assert caller.hears("POST", "/v1/enrol", body) == 403
    logged("127.0.0.3: refused POST /v1/enrol: enrolment: the invitation is unknown")
    assert before.hears("GET", INBOX) == 204
    assert newcomer(network, tmp_path, "late").hears("GET", INBOX) == 204  # from another address


def test_tally_forgets_after_a_minute_and_is_bounded() -> None:
    now = [0.0]
    tally = RateCounter(clock=lambda: now[0])
    assert [tally.count("2001:db8::1"), tally.count("2001:db8::2")] == [1, 2]
    assert tally.count("2001:db9::3") == 1  # another network
    now[0] = 61.0
    assert tally.count("2001:db8::1") == 1
    for number in range(11_000):
        tally.count(f"10.0.{number // 250}.{number % 250}")
    assert len(tally._counts) == 10_000


def test_log_about_one_address_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = UnprovenLog(most=5)
    for number in range(50):
        log.tell("192.0.2.1", f"line {number}")
    log.tell("192.0.2.2", "another")
    assert len(caplog.records) == 5 + 1 + 1


# --- connections ---


def guests(table: ConnectionTable, *addresses: str) -> list[LimitedConnection]:
    """Connections that knocked, in this order; whoever was not admitted is closed."""
    made = []
    for address in addresses:
        one, other = socket.socketpair()
        other.close()
        connection = LimitedConnection(fileno=one.detach())
        connection.table, connection.address, connection.block = table, address, address
        if not table.admit(connection):
            connection.close()
        made.append(connection)
    return made


def test_house_takes_so_many_from_one_address() -> None:
    """So that a hospital behind an attacker's address gets in too, if it is quick."""
    table = ConnectionTable(ConnectionLimits(of_one_address=2))
    other, *made = guests(table, "10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1")
    assert made[0].reason == "the place was needed"
    assert list(table._unproven) == [other, *made[1:]]
    for connection in made[1:]:
        table.mark_proven(connection, "east")
    [late] = guests(table, "10.0.0.1")
    assert (late.fileno(), late.reason) == (-1, "too many connections")
    for connection in (other, *made):
        connection.close()
    assert (len(table), dict(table._from)) == (0, {})


def test_full_house_shows_the_oldest_stranger_out_and_no_hospital() -> None:
    table = ConnectionTable(ConnectionLimits(connections=3))
    known, first, second = guests(table, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    table.mark_proven(known, "east")
    [third] = guests(table, "10.0.0.4")
    assert first.reason == "the place was needed"
    assert {known, second, third} == {*table._unproven, *table._known}
    for connection in (known, first, second, third):
        connection.close()


def test_hospital_that_comes_again_and_again_keeps_its_newest_connections() -> None:
    table = ConnectionTable()
    made = guests(table, *["10.0.0.1"] * (ConnectionLimits().of_one_site + 2))
    for connection in made:
        table.mark_proven(connection, "east")
    assert list(table._known) == made[2:]
    for connection in made:
        connection.close()


@pytest.mark.long
def test_idle_connections_of_one_address_harm_nobody_and_end(
    network: Network, east: Caller, logged: Logged
) -> None:
    """Two addresses take every place there is; hospitals and newcomers are served all the same."""
    with contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(
                socket.create_connection(
                    ("127.0.0.1", network.port), 20, source_address=(source, 0)
                )
            )
            for source in ("127.0.0.4", "127.0.0.5")
            for _ in range(ConnectionLimits().of_one_address + 10)
        ]
        logged("127.0.0.4: no TLS was agreed: the place was needed")
        assert east.hears("GET", INBOX) == 204
        assert replace(east, source="127.0.0.6").hears("GET", "/healthz") == 200
        for line in idle:
            line.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionError):
                assert line.recv(1) == b""


def test_strangers_who_agree_on_tls_and_say_nothing_give_way(
    tight: Network, logged: Logged
) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(stranger(tight, "127.0.0.8").connect()) for _ in range(20)]
        late = [attempt(tight) for _ in range(5)]
        assert [caller.hears("POST", "/v1/enrol", body) for caller, body in late] == [403] * 5
        assert silent[0].recv(1) == b""
    logged("127.0.0.8: closed: the place was needed")


# --- nothing else affected ---


def nuisance(network: Network, stop: threading.Event) -> int:
    """Does what the tests above do, again and again; returns how often."""
    caller, done = stranger(network, "127.0.0.7"), 0
    thief = enrolled(network, "east")
    thief.key = SigningKey.from_bytes(os.urandom(32))
    acts: list[Callable[[], object]] = [
        lambda: caller.hears("GET", INBOX),
        lambda: thief.hears("POST", "/v1/answers", bytes(1 << 20)),
        lambda: caller.says(b"GET / HTTP/1.1\r\nx: " + b"x" * 100_000 + b"\r\n\r\n"),
        lambda: caller.says(b"\x00" * 1000),
        lambda: caller.hears("POST", "/v1/enrol", attempt(network)[1]),
        lambda: caller.hears("POST", "/v1/enrol", bytes(1 << 20)),
        lambda: caller.connect().close(),
        lambda: replace(caller, port=network.port).connect().close(),
        lambda: socket.create_connection(("127.0.0.1", network.port), 5).close(),
    ]
    while not stop.is_set():
        with contextlib.suppress(OSError):
            acts[done % len(acts)]()
        done += 1
        stop.wait(0.05)
    return done


def test_honest_run_finishes_while_strangers_knock(tmp_path: Path, logged: Logged) -> None:
    network = Network(tmp_path, small_study())
    stop = threading.Event()
    with network.serving(), ThreadPoolExecutor(3) as pool:
        with open_members(network.home) as members:
            members.invite("nobody", f"https://127.0.0.1:{network.port}")
        until(lambda: is_open(network.port + 1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pests = [pool.submit(nuisance, network, stop) for _ in range(3)]
        try:
            network.start_sites()
            row = network.row(network.run())
        finally:
            stop.set()
        done = sum(pest.result(PATIENCE) for pest in pests)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert row.state == "finished", row.failure
    assert done >= 24
    assert grown < 300 << 10, f"{grown >> 10} MiB more after {done} acts"
    assert not [site.failures for site in network.sites.values() if site.failures]


# --- the line ---


def test_bytes_replayed_on_the_line_are_worth_nothing(
    network: Network, east: Caller, logged: Logged
) -> None:
    with Proxy(network.port) as line:
        through = replace(east, port=line.port)
        assert through.hears("GET", INBOX) == 204
        assert len(line.log.first[0]) > 1000
        assert b"HTTP" not in line.again(0)
    logged("no TLS was agreed")


def test_frozen_line_holds_and_goes_on(network: Network, east: Caller) -> None:
    with Proxy(network.port) as line, ThreadPoolExecutor(1) as pool:
        line.freeze()
        asked = pool.submit(replace(east, port=line.port).hears, "GET", INBOX)
        time.sleep(0.5)
        assert not asked.done()
        line.thaw()
        assert asked.result(PATIENCE) == 204


def test_closed_door_refuses_until_it_opens(network: Network, east: Caller) -> None:
    with Proxy(network.port) as line:
        through = replace(east, port=line.port)
        line.close_door()
        with pytest.raises(ConnectionError):
            through.connect()
        line.open_door()
        assert through.hears("GET", INBOX) == 204
        assert (line.log.refused, line.log.connections) == (1, 1)


def test_slow_line_is_slow(network: Network, east: Caller) -> None:
    with Proxy(network.port) as line:
        line.delay(0.2)
        line.throttle(20_000)
        began = time.monotonic()
        assert replace(east, port=line.port).hears("GET", INBOX) == 204
        assert time.monotonic() - began > 0.8
