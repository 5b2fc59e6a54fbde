"""The service's endpoints: POST /score, GET /model, GET /healthz; nothing else is answered.

Rules:

1. Without a token nothing is told but that the service is alive.
2. A body is read up to a limit and within a time; what is larger or slower is refused.
3. No record is logged anywhere, and no answer is kept by a cache.
4. A request that set off the alarm is answered, with the alarm's names in a header.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collegium.models.inference.access_tokens import AccessTokens
from collegium.models.inference.requests import RequestScoring
from protocol.errors import FederationError, MessageRefused

#: Bytes of a request's body at most, and seconds until all of it is here.
MAX_BODY, BODY_SECONDS = 1 << 20, 30.0
ALARM_HEADER = "Collegium-Alarm"
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
Complain = Callable[[str], None]


class ScoringService:
    """The application.

    Args:
        scoring: scores requests.
        tokens: who may ask.
        complain: tells the people at the service of an alarm, or of a log that cannot be written.
        body_seconds: until a body must be here.
    """

    def __init__(
        self,
        scoring: RequestScoring,
        tokens: AccessTokens,
        complain: Complain,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._scoring, self._tokens, self._complain = scoring, tokens, complain
        self._body_seconds = body_seconds

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/score", self._score, methods=["POST"]),
                Route("/model", self._model, methods=["GET"]),
                Route("/healthz", self._health, methods=["GET"]),
            ]
        )

    async def _health(self, request: Request) -> Response:
        return _answer({"alive": True})

    async def _model(self, request: Request) -> Response:
        if self._caller(request) is None:
            return _unknown()
        return _answer(dict(self._scoring.contract))

    async def _score(self, request: Request) -> Response:
        caller = self._caller(request)
        if caller is None:
            return _unknown()
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refused(415, "send JSON: content-type: application/json")
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _body_of(request)
        except TimeoutError:
            return _refused(408, "the body took too long")
        if body is None:
            return _refused(413, f"a body has at most {MAX_BODY} bytes: send fewer records")
        try:
            told, alarms = await run_in_threadpool(self._scoring.answer, body, caller)
        except MessageRefused as error:
            return _refused(400, str(error))
        except FederationError as error:  # of the log: nothing leaves without its line
            self._complain(f"nothing is scored: {error}")
            return _refused(503, "the service cannot log queries now: its people are told")
        if alarms:
            self._complain(
                f"ALARM: queries of {caller} look like extraction of the model "
                f"({', '.join(alarms)}): collegium infer log shows them"
            )
        return _answer(told, headers={ALARM_HEADER: ", ".join(alarms)} if alarms else {})

    def _caller(self, request: Request) -> str | None:
        return self._tokens.caller(request.headers.get("authorization", ""))


async def _body_of(request: Request) -> bytes | None:
    """Returns a request's body; None where it is larger than allowed."""
    taken = bytearray()
    async for piece in request.stream():
        taken += piece
        if len(taken) > MAX_BODY:
            return None
    return bytes(taken)


def _answer(told: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(told, headers=_HEADERS | (headers or {}))


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status, headers=_HEADERS)


def _unknown() -> Response:
    headers = _HEADERS | {"www-authenticate": "Bearer"}
    return JSONResponse(
        {"error": "send a token of this service: Authorization: Bearer TOKEN"},
        status_code=401,
        headers=headers,
    )
