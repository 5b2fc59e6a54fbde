"""Reaches hospitals over the network: deliveries out, answers and blobs back.

A ``SiloLink`` whose other end is the service's mailbox. A hospital that has
not joined is not asked; one that answers too late is not in what comes back.
"""

import threading
from collections.abc import Callable, Iterator, Mapping

from coordinator.delivery.blob_store import BlobStore
from coordinator.delivery.deliveries import Mailbox
from protocol.errors import MessageRefused
from protocol.transport.requests import Answer, BlobName, Delivery
from protocol.transport.steps import Reply, Request
from protocol.transport.tracing import NOT_TRACED, Tracing

#: Room for what travels beside a header in the step ``share``.
_MAX_ENTRIES = 1 << 20


class HttpLink:
    """Exchanges requests with hospitals through the mailbox.

    Args:
        mailbox, blobs: shared with the server.
        joined: the sites that have joined the run, now.
        max_vector: how long a masked vector may be, in bytes.
        stop: set when the run shall end; every wait then ends.
        idle: called about every second while no answer comes.
        tracing: records a span for each request to a hospital, and says so to it.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        blobs: BlobStore,
        *,
        joined: Callable[[], frozenset[str]],
        max_vector: int,
        stop: threading.Event,
        idle: Callable[[], object] = lambda: None,
        tracing: Tracing = NOT_TRACED,
    ) -> None:
        self._tracing = tracing
        self._mailbox, self._blobs = mailbox, blobs
        self._joined, self._max_vector, self._stop = joined, max_vector, stop
        self._idle = idle
        self._offered: list[str] = []
        self._attached: list[str] = []

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the answers arrive, for ``timeout`` seconds at most."""
        joined, earlier = self._joined(), self._offered
        if any(request.step == "advertise" for request in requests.values()):
            self._offered = []
        spans = {
            site: self._tracing.begin("ask", run=request.run_id, site=site, phase=request.step)
            for site, request in requests.items()
            if site in joined
        }
        posted = {
            self._mailbox.post(
                site,
                self._delivery(requests[site]),
                self._max_blob(requests[site]),
                trace=span.traceparent,
            ): site
            for site, span in spans.items()
        }
        if self._offered is not earlier:
            self._drop(earlier)
        try:
            for site, answer in self._mailbox.collect(posted, timeout, self._stop, self._idle):
                reply = self._reply(site, answer)
                spans[site].end(answer.refusal or "ok")
                if reply is not None:
                    yield site, reply
        finally:
            for span in spans.values():
                span.end("no answer")
            self._forget_attachments()

    def close(self) -> None:
        """Lets go of what was offered: the run has ended."""
        self._forget_attachments()
        self._drop(self._offered)

    def _delivery(self, request: Request) -> Delivery:
        blob = None
        if request.blob is not None:
            blob = BlobName(digest=self._offer(request.step, request.blob), size=len(request.blob))
        return Delivery(
            number=0, run_id=request.run_id, kind=request.step, message=request.message, blob=blob
        )

    def _offer(self, step: str, blob: bytes) -> str:
        """Keeps a blob: a round's model until the next round's, anything else for this step."""
        digest = self._blobs.keep(blob)
        (self._offered if step == "advertise" else self._attached).append(digest)
        return digest

    def _forget_attachments(self) -> None:
        self._drop(self._attached)

    def _drop(self, kept: list[str]) -> None:
        while kept:
            self._blobs.drop(kept.pop())

    def _max_blob(self, request: Request) -> int:
        return {"masked": self._max_vector, "share": _MAX_ENTRIES}.get(request.step, 0)

    def _reply(self, site: str, answer: Answer) -> Reply | None:
        """Returns the reply, its blob read and forgotten here; None when it is not whole."""
        if answer.refusal is not None:
            return Reply(refusal=answer.refusal)
        if answer.blob is None:
            return Reply(message=answer.message)
        try:
            blob = self._blobs.take(site, answer.blob.digest)
        except MessageRefused:
            return None
        return Reply(message=answer.message, blob=blob)
