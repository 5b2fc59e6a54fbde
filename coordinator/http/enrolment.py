"""The server for enrolments: the one request that takes no certificate.

::

    POST /v1/enrol                    for the holder of an invitation

It listens on a port of its own, and only while an invitation is open
(``listening.py``). A token has 256 bits, so attempts are not counted: each
costs one look into the register, two at once at most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from coordinator.http.metrics.service_metrics import Metrics
from coordinator.http.request_reading import Refusals, read_body
from protocol.errors import FederationError

#: Enrolments that are looked at together.
_ENROLMENTS_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class EnrolmentLimits:
    """An enrolment's bytes (the evidence about a machine, and what is around it) and seconds."""

    body_bytes: int = 128 << 10
    body_seconds: float = 30.0


class EnrolmentServer:
    """The ASGI application.

    Args:
        enrol: answers an enrolment request, or refuses it.
        metrics: counts refusals.
        pool: does what would hold up the event loop.
        limits: of one enrolment.
    """

    def __init__(
        self,
        enrol: Callable[[bytes], bytes],
        metrics: Metrics,
        pool: Executor,
        limits: EnrolmentLimits = EnrolmentLimits(),
    ) -> None:
        self._limits = limits
        self._enrol, self._pool = enrol, pool
        self._refusals = Refusals(metrics)
        self._enrolling = asyncio.Semaphore(_ENROLMENTS_AT_ONCE)
        self.app = Starlette(
            routes=[Route("/v1/enrol", self._answer, methods=["POST"])],
            exception_handlers={HTTPException: self._refusals.unknown},
        )
        self.app.router.redirect_slashes = False

    async def _answer(self, request: Request) -> Response:
        try:
            body = await asyncio.wait_for(
                read_body(request, self._limits.body_bytes), self._limits.body_seconds
            )
            async with self._enrolling:
                reply = await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._enrol, body
                )
        except (FederationError, TimeoutError, ClientDisconnect) as error:
            return self._refusals.refuse(
                request, f"enrolment: {str(error) or type(error).__name__}"
            )
        return Response(reply, media_type="application/json")
