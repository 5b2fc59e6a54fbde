"""Reads a request's body within bounds, and refuses it with one answer, for both of the servers."""

import logging

from starlette.requests import Request
from starlette.responses import Response

from coordinator.http.metrics.service_metrics import Metrics
from coordinator.http.rate_limits import UNPROVEN_LOG
from protocol.errors import MessageRefused

log = logging.getLogger("collegium.coordinator")


async def read_body(request: Request, most: int) -> bytes:
    """Returns the body, which is refused before it is read where it says that it is too long.

    Raises:
        MessageRefused: it is longer than ``most`` bytes, or compressed.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise MessageRefused(f"a body of {declared:.20} bytes, at most {most} are read")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise MessageRefused("compressed bodies are not read")
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise MessageRefused(f"a body longer than {most} bytes")
        parts.append(part)
    return b"".join(parts)


class Refusals:
    """Answers a refused request with one word; the reason goes to the log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def refuse(self, request: Request, reason: str) -> Response:
        """Counts a refusal and writes it down; returns the answer."""
        self._metrics.refused.inc()
        asked = f"{request.method} {request.scope['path']:.100}"
        address = request.client.host if request.client else "?"
        UNPROVEN_LOG.tell(address, f"refused {asked}: {reason}")
        return Response("refused", 403, headers={"connection": "close"})

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Answers a request for what there is not."""
        return self.refuse(request, str(error))
