"""Reaches hospitals over the network: deliveries out, answers and blobs back.

A ``SiloLink`` whose other end is the service's mailbox. A hospital that has
not joined is not asked; one that answers too late is not in what comes back.
"""

import threading
from collections.abc import Callable, Iterator, Mapping

from coordinator.blob_store import BlobStore
from coordinator.mailbox import Mailbox
from protocol.errors import MessageRefused
from protocol.exchange import Reply, Request
from protocol.wire import Answer, BlobName, Delivery

#: Room for what travels beside a header in the step ``share``.
_MOST_ENTRIES = 1 << 20


class HttpLink:
    """Exchanges requests with hospitals through the mailbox.

    Args:
        mailbox, blobs: shared with the server.
        joined: the sites that have joined the run, now.
        most_vector: how long a masked vector may be, in bytes.
        stop: set when the run shall end; whoever waits then stops waiting.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        blobs: BlobStore,
        *,
        joined: Callable[[], frozenset[str]],
        most_vector: int,
        stop: threading.Event,
    ) -> None:
        self._mailbox, self._blobs = mailbox, blobs
        self._joined, self._most_vector, self._stop = joined, most_vector, stop
        self._offered: str | None = None
        self._attached: set[str] = set()

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        """Yields (site, reply) as the answers arrive, for ``timeout`` seconds at most."""
        joined = self._joined()
        posted = {
            self._mailbox.post(site, self._delivery(request), self._most_blob(request)): site
            for site, request in requests.items()
            if site in joined
        }
        try:
            for site, answer in self._mailbox.collect(posted, timeout, self._stop):
                reply = self._reply(answer)
                if reply is not None:
                    yield site, reply
        finally:
            self._forget_attachments()

    def _delivery(self, request: Request) -> Delivery:
        blob = None
        if request.blob is not None:
            digest = self._blobs.keep(request.blob)
            blob = BlobName(digest=digest, size=len(request.blob))
            if request.step == "advertise":
                self._forget_model(but=digest)
            else:
                self._attached.add(digest)
        return Delivery(
            number=0, run_id=request.run_id, kind=request.step, message=request.message, blob=blob
        )

    def _forget_model(self, *, but: str) -> None:
        """Drops the model that the round before began with."""
        if self._offered is not None and self._offered != but:
            self._blobs.drop(self._offered)
        self._offered = but

    def _forget_attachments(self) -> None:
        while self._attached:
            self._blobs.drop(self._attached.pop())

    def _most_blob(self, request: Request) -> int:
        return {"masked": self._most_vector, "share": _MOST_ENTRIES}.get(request.step, 0)

    def _reply(self, answer: Answer) -> Reply | None:
        """Returns the reply, its blob read and forgotten here; None when it is not whole."""
        if answer.refusal is not None:
            return Reply(refusal=answer.refusal)
        if answer.blob is None:
            return Reply(message=answer.message)
        try:
            blob = self._blobs.read(answer.blob.digest)
        except MessageRefused:
            return None
        self._blobs.drop(answer.blob.digest)
        return Reply(message=answer.message, blob=blob)
