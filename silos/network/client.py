"""The hospital's line to the coordinator: outbound only, resumable, proven.

Rules:

1. Only certificates of the consortium's own root are trusted, whatever the
   machine trusts. A proxy is taken from the environment; one that opens TLS
   makes the handshake fail, as it should.
2. Every request carries a fresh proof (``protocol.transport.requests``). Where the clock is
   off by more than the coordinator accepts, its time is used for proofs.
   Every reply must carry the coordinator's signature for that very request:
   another that holds its TLS key can keep replies back, not make them.
3. A transfer that was cut goes on where it stopped, in both directions.
4. Nothing that the coordinator sends is read beyond a limit, nor unpacked.

One ``CoordinatorClient`` is used by one thread.
"""

import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
from blake3 import blake3

from protocol.encoding import blob_digest
from protocol.errors import LinkLost, MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.transport.requests import (
    CHUNK_BYTES,
    PROOF_HEADER,
    REPLY_HEADER,
    UNSIGNED_STATUSES,
    Answer,
    BlobName,
    Delivery,
    Proof,
    open_reply,
    parse_delivery,
    sign_proof,
    to_bytes,
)
from protocol.transport.tracing import TRACE_HEADER, traceparent_of

_CONNECT_SECONDS = 10.0
_SECONDS = 60.0
#: On a line that is cut again and again parts become as small as this.
_MIN_PART = 256 << 10
#: A transfer ends when it was cut so often in a row without a byte of progress.
_TRIES = 8


@dataclass(frozen=True, kw_only=True)
class LineLimits:
    """The limits of one line, in bytes.

    ``reply`` is the longest reply that is no blob (evidence about the machines of all
    hospitals), ``part`` how much of a blob is sent in one request.
    """

    reply: int = 32 << 20
    part: int = CHUNK_BYTES


@dataclass(frozen=True, kw_only=True)
class _Reply:
    status_code: int
    headers: httpx2.Headers
    content: bytes
    time: float | None  # the coordinator's clock, where it has signed


class CoordinatorClient:
    """One hospital's line.

    Args:
        site: whose.
        url: the coordinator's, ``https://host:port``.
        key: the hospital's identity key.
        next_key: the key that a roster has yet to name. Once the members have
            signed that roster the coordinator goes by it, before this hospital
            knows; so a hospital that is refused with one shows the other.
        context: trusts the consortium's root only, and shows this hospital's certificate.
        coordinator: the coordinator's public key (32 bytes), which must sign what it says.
        clock: seconds since 1970.
        limits: see there.
    """

    def __init__(
        self,
        site: str,
        url: str,
        key: SigningKey,
        context: ssl.SSLContext,
        clock: Callable[[], float] = time.time,
        *,
        coordinator: bytes,
        next_key: SigningKey | None = None,
        limits: LineLimits = LineLimits(),
    ) -> None:
        self._site, self._clock, self._limits = site, clock, limits
        self._key, self._other = key, next_key
        self._coordinator = coordinator
        self._ahead = 0.0  # the coordinator's clock, less ours
        #: The name of the span that waits for the answer to the newest delivery; opaque.
        self.asked_by = ""
        #: The name of the span in which requests are made; empty where none is recorded.
        self.trace = ""
        self._http = httpx2.Client(
            base_url=url,
            verify=context,
            timeout=httpx2.Timeout(_SECONDS, connect=_CONNECT_SECONDS),
            http2=False,
        )

    @property
    def key(self) -> SigningKey:
        """The identity key that the coordinator goes by, as far as is known."""
        return self._key

    def close(self) -> None:
        """Ends the line."""
        self._http.close()

    def next(self, after: int, wait: int) -> Delivery | None:
        """Returns the next delivery beyond a number, or None when there is none for so long.

        Raises:
            LinkLost: see the class.
            PolicyRefused: the coordinator does not admit this hospital.
        """
        reply = self._ask("GET", f"/v1/inbox?after={after}&wait={wait}", seconds=_SECONDS + wait)
        self.asked_by = traceparent_of(reply.headers.get(TRACE_HEADER))
        return parse_delivery(reply.content) if reply.status_code == 200 else None

    def answer(self, answer: Answer) -> bool:
        """Sends an answer; returns whether anybody still waited for it.

        Raises:
            LinkLost, PolicyRefused: see ``next``.
        """
        return self._ask("POST", "/v1/answers", to_bytes(answer)).status_code == 204

    def fetch(self, name: BlobName) -> bytes:
        """Returns a blob, checked against its name, going on wherever the line was cut.

        Raises:
            LinkLost: it was cut eight times in a row without a byte of progress.
            MessageRefused: the coordinator does not have it, or sends other bytes.
        """
        here, left = bytearray(), _TRIES
        while len(here) < name.size:
            before = len(here)
            try:
                self._fetch_more(name, here)
            except LinkLost:
                left = _TRIES if len(here) > before else left - 1
                if not left:
                    raise
                time.sleep(_pause(_TRIES - left))
        state = blake3()
        state.update(here)
        if state.hexdigest() != name.digest:
            raise MessageRefused("the coordinator sent other bytes than it named")
        return bytes(here)

    def _fetch_more(self, name: BlobName, here: bytearray) -> None:
        target = f"/v1/blobs/{name.digest}"
        headers = self._headers("GET", target, b"") | {"range": f"bytes={len(here)}-"}
        try:
            with self._http.stream("GET", target, headers=headers) as reply:
                self._check(reply)
                if reply.status_code not in (200, 206):
                    raise MessageRefused("the coordinator does not have the blob that it named")
                if reply.status_code == 200:
                    here.clear()
                _require_plain(reply)
                for part in reply.iter_raw():
                    if len(here) + len(part) > name.size:
                        raise MessageRefused("the coordinator sent more bytes than it named")
                    here += part
                if len(here) < name.size:
                    raise MessageRefused("the coordinator sent fewer bytes than it named")
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise LinkLost(f"the line was cut: {type(error).__name__}") from error

    def send(self, blob: bytes) -> BlobName:
        """Sends a blob, going on wherever the line was cut; returns its name.

        Raises:
            LinkLost: it was cut eight times in a row without a byte of progress.
            MessageRefused: the coordinator does not take it.
        """
        name = BlobName(digest=blob_digest(blob), size=len(blob))
        view, left, most = memoryview(blob), _TRIES, self._limits.part
        while True:
            try:
                here = self._received(name)
                while here < name.size:
                    before, part = here, bytes(view[here : here + most])
                    here, left = self._send_part(name, before, part), _TRIES
                    most = min(2 * most, self._limits.part)
                    if here <= before:
                        raise MessageRefused("the coordinator loses what it was sent")
                return name
            except LinkLost:
                left, most = left - 1, max(most // 2, _MIN_PART)
                if not left:
                    raise
                time.sleep(_pause(_TRIES - left))

    def _received(self, name: BlobName) -> int:
        return _count(self._ask("HEAD", f"/v1/blobs/{name.digest}"))

    def _send_part(self, name: BlobName, offset: int, part: bytes) -> int:
        target = f"/v1/blobs/{name.digest}?offset={offset}&size={name.size}"
        reply = self._ask("PUT", target, part)
        if reply.status_code != 200:
            raise MessageRefused("the coordinator does not take this blob (any longer)")
        return _count(reply)

    def document(self, name: str) -> bytes | None:
        """Returns a document that the coordinator publishes, or None.

        Raises:
            LinkLost, PolicyRefused: see ``next``.
        """
        reply = self._ask("GET", f"/v1/documents/{name}")
        return reply.content if reply.status_code == 200 else None

    def hand_in(self, name: str, body: bytes) -> bytes:
        """Hands something in; returns the reply.

        Raises:
            MessageRefused: the coordinator does not take it.
            LinkLost, PolicyRefused: see ``next``.
        """
        reply = self._ask("POST", f"/v1/documents/{name}", body)
        if reply.status_code != 200:
            raise MessageRefused(f"the coordinator did not take {name}: {reply.status_code}")
        return reply.content

    def _ask(
        self, method: str, target: str, body: bytes = b"", seconds: float = _SECONDS
    ) -> _Reply:
        reply = self._ask_in_time(method, target, body, seconds)
        if reply.status_code == 403 and self._other is not None:
            self._key, self._other = self._other, self._key
            reply = self._ask_in_time(method, target, body, seconds)
        self._check(reply)
        return reply

    def _ask_in_time(self, method: str, target: str, body: bytes, seconds: float) -> _Reply:
        reply = self._ask_once(method, target, body, seconds)
        if reply.status_code != 401 or reply.time is None:
            return reply
        self._ahead = reply.time - self._clock()
        return self._ask_once(method, target, body, seconds)

    def _ask_once(self, method: str, target: str, body: bytes, seconds: float) -> _Reply:
        timeout = httpx2.Timeout(seconds, connect=_CONNECT_SECONDS)
        headers, content = self._headers(method, target, body), bytearray()
        try:
            with self._http.stream(
                method, target, content=body, headers=headers, timeout=timeout
            ) as reply:
                _require_plain(reply)
                for part in reply.iter_raw():
                    if len(content) + len(part) > self._limits.reply:
                        raise MessageRefused("the coordinator's reply is too long")
                    content += part
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise LinkLost(_why(error)) from error
        return self._read(reply, headers[PROOF_HEADER], bytes(content))

    def _read(self, reply: httpx2.Response, request: str, content: bytes) -> _Reply:
        """Returns a reply whose signature is the coordinator's, or one that says nothing."""
        moment, status = None, reply.status_code
        if status not in UNSIGNED_STATUSES:
            header = reply.headers.get(REPLY_HEADER, "")
            try:
                signed = open_reply(header, request, status, content, self._coordinator)
            except MessageRefused as error:
                raise MessageRefused(
                    f"a reply is not signed by this consortium's coordinator ({error}): its TLS "
                    "key may be stolen; tell the consortium's lead"
                ) from error
            moment = signed.time / 1000
        return _Reply(status_code=status, headers=reply.headers, content=content, time=moment)

    def _headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        proof = Proof(
            site=self._site,
            method=method,
            target=target,
            body=blob_digest(body),
            time=int((self._clock() + self._ahead) * 1000),
            nonce=os.urandom(16),
        )
        headers = {PROOF_HEADER: sign_proof(proof, self._key), "accept-encoding": "identity"}
        return headers | ({TRACE_HEADER: self.trace} if self.trace else {})

    def _check(self, reply: _Reply | httpx2.Response) -> None:
        if reply.status_code in (401, 403):
            raise PolicyRefused(
                "the coordinator does not admit this hospital: its certificate or membership was "
                "revoked, or its clock is wrong; ask the consortium's lead"
            )
        if reply.status_code >= 500:
            raise LinkLost(f"the coordinator cannot serve requests now: HTTP {reply.status_code}")


def _require_plain(reply: httpx2.Response) -> None:
    if reply.headers.get("content-encoding", "identity") != "identity":
        raise MessageRefused("the coordinator sent a compressed reply")


def _count(reply: _Reply) -> int:
    text = reply.headers.get("collegium-received", "")
    if reply.status_code != 200 or not text.isdecimal():
        raise MessageRefused("the coordinator does not take blobs from this hospital now")
    return int(text)


def _pause(tried: int) -> float:
    return float(min(0.1 * 2**tried, 10.0))


def _why(error: Exception) -> str:
    """Returns what went wrong in plain words; TLS failures look like cut lines otherwise."""
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return (
            "the coordinator's certificate is not of this consortium: is a TLS-inspecting proxy "
            "in between, or was the coordinator set up anew?"
        )
    if "alert" in said or "SSL" in said:
        return f"the TLS handshake failed ({said[:80]}): is this hospital's certificate expired?"
    return (
        f"the coordinator does not answer ({type(error).__name__}): does it run, and at this "
        "address and port?"
    )
