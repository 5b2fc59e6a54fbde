"""The coordinator's endpoints: each request is authenticated here, and handled elsewhere.

::

    GET  /v1/inbox?after=N&wait=S     the next delivery, or 204 after S seconds
    POST /v1/answers                  an answer to a delivery
    HEAD, PUT, GET /v1/blobs/DIGEST   blobs, in parts
    GET  /v1/documents/NAME           what the service publishes: roster, studies, own statements
    POST /v1/documents/NAME           what a hospital hands in: a roster's signature, a renewal
    GET  /healthz                     whether the service answers

TLS admits only certificates of the consortium. A request whose sender is not
proven gets the one answer "refused", whatever is wrong, be it the path; the
reason goes to the coordinator's log. A hospital gets 409 for what is not taken,
401 where its clock is off, and 503 when the coordinator cannot serve it.
Whatever a hospital is told bears the coordinator's signature (``protocol.transport.requests``).
When the service ends, waiting requests are answered that there is nothing, and
later ones get 503: a hospital asks again later.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox
from coordinator.http.authentication import (
    Directory,
    RequestAuthenticator,
    WrongClock,
    require_body,
)
from coordinator.http.connection_limits import ConnectionLimits
from coordinator.http.enrolment import EnrolmentLimits
from coordinator.http.metrics.service_metrics import Metrics
from coordinator.http.protocol_limits import RequestLimits
from coordinator.http.request_reading import Refusals, read_body
from protocol.errors import FederationError, MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.transport.requests import (
    CHUNK_BYTES,
    MAX_BLOB_BYTES,
    PROOF_HEADER,
    REPLY_HEADER,
    UNSIGNED_STATUSES,
    parse_answer,
    sign_reply,
    to_bytes,
)
from protocol.transport.tracing import NOT_TRACED, TRACE_HEADER, Span, Tracing, traceparent_of

log = logging.getLogger("collegium.coordinator")

_NUMBER = re.compile(r"[0-9]{1,16}")
_FROM = re.compile(r"bytes=([0-9]{1,10})-")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}(/[0-9a-f]{1,64})?")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """The limits on an answer's or document's body: its size, and its time to arrive.

    ``wait_seconds`` is the longest that an inbox waits for a delivery.
    """

    answer_bytes: int = 12 << 20
    document_bytes: int = 1 << 20
    body_seconds: float = 600.0
    wait_seconds: int = 55


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Everything that limits what others may ask of the coordinator."""

    connections: ConnectionLimits = ConnectionLimits()
    requests: RequestLimits = RequestLimits()
    bodies: BodyLimits = BodyLimits()
    enrolment: EnrolmentLimits = EnrolmentLimits()


class SiteBackend(Directory, Protocol):
    """The decisions and storage of the service, behind the endpoints."""

    def document(self, site: str, name: str) -> bytes | None:
        """Returns a published document for a site, or None."""

    def hand_in(self, site: str, name: str, body: bytes) -> bytes:
        """Takes what a site hands in; returns the reply."""

    def seen(self, site: str) -> None:
        """Takes note that a site has made a request."""


class Server:
    """The ASGI application, and the events that wake waiting inboxes.

    Args:
        backend: what the service decides and keeps.
        mailbox, blobs: shared with the runs.
        metrics: counts requests.
        pool: does what would hold up the event loop.
        key: the coordinator's signing key; signs every reply to a hospital.
        limits: of the requests' bodies.
        tracing: records a span for each request that a hospital's span has made.
    """

    def __init__(
        self,
        backend: SiteBackend,
        mailbox: Mailbox,
        blobs: BlobStore,
        metrics: Metrics,
        pool: Executor,
        key: SigningKey,
        limits: BodyLimits = BodyLimits(),
        tracing: Tracing = NOT_TRACED,
    ) -> None:
        self._limits, self._tracing = limits, tracing
        self._backend, self._mailbox, self._blobs = backend, mailbox, blobs
        self._metrics, self._pool, self._key = metrics, pool, key
        self._authenticator = RequestAuthenticator(backend)
        self._refusals = Refusals(metrics)
        self._wake_events: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing: dict[str, asyncio.Lock] = {}
        self._is_ending = False
        mailbox.notify = self.ring
        self.app = Starlette(
            routes=[
                Route("/v1/inbox", self._of_site(self._inbox), methods=["GET"]),
                Route(
                    "/v1/answers",
                    self._of_site(self._answers, limits.answer_bytes),
                    methods=["POST"],
                ),
                Route(
                    "/v1/blobs/{name}",
                    self._of_site(self._blob, CHUNK_BYTES),
                    methods=["GET", "HEAD", "PUT"],
                ),
                Route(
                    "/v1/documents/{name:path}",
                    self._of_site(self._document, limits.document_bytes),
                    methods=["GET", "POST"],
                ),
                Route("/healthz", self._health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: self._refusals.unknown},
        )
        self.app.router.redirect_slashes = False

    def ring(self, site: str) -> None:
        """Wakes a site's waiting inbox; may be called from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake_event(site).set)

    def end(self) -> None:
        """Answers waiting requests, and takes no more; may be called from any thread."""
        self._is_ending = True
        for site in list(self._wake_events):
            self.ring(site)

    def _wake_event(self, site: str) -> asyncio.Event:
        return self._wake_events.setdefault(site, asyncio.Event())

    def _of_site(
        self, handler: Callable[[Request, str, bytes], Awaitable[Response]], most: int = 0
    ) -> Handler:
        """Wraps an endpoint of enrolled hospitals: body within bounds, then authentication."""
        endpoint = handler.__name__.strip("_")
        waits = endpoint == "inbox"

        async def handle(request: Request) -> Response:
            self._loop, began = asyncio.get_running_loop(), time.monotonic()
            try:
                response = await self._handled(request, handler, most)
            except asyncio.CancelledError:  # a body that was still on its way at the end
                if not self._is_ending:
                    raise
                response = _ending()
            self._sign(request, response)
            self._metrics.requests.labels(endpoint, str(response.status_code)).inc()
            if not waits:
                self._metrics.request_seconds.labels(endpoint).observe(time.monotonic() - began)
            return response

        return handle

    def _sign(self, request: Request, response: Response) -> None:
        """Signs a reply to a hospital; a blob is checked by its name instead."""
        if response.status_code in UNSIGNED_STATUSES or isinstance(response, FileResponse):
            return
        response.headers[REPLY_HEADER] = sign_reply(
            request.headers[PROOF_HEADER],
            response.status_code,
            bytes(response.body),
            time.time_ns() // 1_000_000,
            self._key,
        )

    async def _handled(
        self,
        request: Request,
        handler: Callable[[Request, str, bytes], Awaitable[Response]],
        most: int,
    ) -> Response:
        if self._is_ending:
            return _ending()
        try:
            proof = self._authenticator.admit(
                request.scope["state"]["certificate"],
                request.headers.get(PROOF_HEADER),
                method=request.method,
                target=_target(request),
            )
            request.scope["state"]["mark_proven"](proof.site)
            body = await asyncio.wait_for(read_body(request, most), self._limits.body_seconds)
            require_body(proof, body)
        except WrongClock as error:
            log.info("%s", error)
            return Response("clock", 401)
        except MessageRefused as error:
            return self._refusals.refuse(request, str(error))
        except (ClientDisconnect, TimeoutError) as error:
            log.info("the body of %s did not come: %s", request.url.path, type(error).__name__)
            return Response(status_code=400, headers={"connection": "close"})
        site = proof.site
        self._backend.seen(site)
        span = self._span(request, site, handler)
        try:
            return await handler(request, site, body)
        except (StoreBroken, WorkspaceRefused) as error:
            log.error("site %s, %s: %s", site, request.url.path, error)
            span.end("in trouble")
            return Response("in trouble", 503)
        except FederationError as error:
            log.info("site %s, %s: %s", site, request.url.path, error)
            span.end("refused")
            return Response("refused", 409)
        finally:
            span.end()

    def _span(self, request: Request, site: str, handler: Callable[..., object]) -> Span:
        """Begins the span of an admitted request, where it names the span that it belongs to."""
        parent = traceparent_of(request.headers.get(TRACE_HEADER))
        tracing = self._tracing if parent else NOT_TRACED
        return tracing.begin(f"http.{handler.__name__.strip('_')}", parent, site=site)

    async def _inbox(self, request: Request, site: str, _body: bytes) -> Response:
        after = _number(request.query_params.get("after"), 0, 2**53 - 1)
        wait = _number(request.query_params.get("wait"), 0, self._limits.wait_seconds)
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        self._metrics.waiting.inc()
        try:
            while True:
                wake_event = self._wake_event(site)
                wake_event.clear()
                delivery = self._mailbox.next(site, after)
                if delivery is not None:
                    reply = Response(to_bytes(delivery), media_type="application/json")
                    trace = self._mailbox.trace_of(delivery.number)
                    if trace:
                        reply.headers[TRACE_HEADER] = trace
                    return reply
                left = end - loop.time()
                if self._is_ending or left <= 0 or await request.is_disconnected():
                    return Response(status_code=204)
                try:
                    await asyncio.wait_for(wake_event.wait(), min(left, 5.0))
                except TimeoutError:
                    continue
        finally:
            self._metrics.waiting.dec()

    async def _answers(self, _request: Request, site: str, body: bytes) -> Response:
        answer = parse_answer(body)
        if answer.blob is not None and not self._blobs.has(site, answer.blob):
            raise MessageRefused("the answer names a blob that has not arrived")
        self._mailbox.answer(site, answer)
        return Response(status_code=204)

    async def _blob(self, request: Request, site: str, body: bytes) -> Response:
        name = request.path_params["name"]
        if not _DIGEST.fullmatch(name):
            raise MessageRefused("no blob has such a name")
        if request.method == "HEAD":
            here = self._blobs.received(site, name)
            return Response(headers={"collegium-received": str(here)})
        if request.method == "GET":
            if not _FROM.fullmatch(request.headers.get("range", "bytes=0-")):
                raise MessageRefused("only the rest of a blob is sent: bytes=START-")
            path = self._blobs.offered(name) if self._mailbox.offers_blob(site, name) else None
            return Response("unknown", 404) if path is None else FileResponse(path)
        offset = _number(request.query_params.get("offset"), 0, MAX_BLOB_BYTES)
        size = _number(request.query_params.get("size"), 0, MAX_BLOB_BYTES)
        if not self._mailbox.expects_blob(site, size):
            raise MessageRefused("nobody waits for a blob of this size")
        async with self._writing.setdefault(site, asyncio.Lock()):
            here = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._blobs.append, site, name, offset, body, size
            )
        self._metrics.received.inc(len(body))
        return Response(headers={"collegium-received": str(here)})

    async def _document(self, request: Request, site: str, body: bytes) -> Response:
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            raise MessageRefused("no document has such a name")
        loop = asyncio.get_running_loop()
        if request.method == "POST":
            reply = await loop.run_in_executor(self._pool, self._backend.hand_in, site, name, body)
            return Response(reply, media_type="application/json")
        found = await loop.run_in_executor(self._pool, self._backend.document, site, name)
        return Response("unknown", 404) if found is None else Response(found)

    async def _health(self, _request: Request) -> Response:
        return Response("ok")


def _ending() -> Response:
    return Response("ending", 503, headers={"connection": "close"})


def _target(request: Request) -> str:
    """Returns path and query exactly as they were sent."""
    path = request.scope["raw_path"].decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def _number(text: str | None, low: int, high: int) -> int:
    number = int(text) if text is not None and _NUMBER.fullmatch(text) else -1
    if not low <= number <= high:
        raise MessageRefused(f"expected a whole number from {low} to {high}")
    return number
