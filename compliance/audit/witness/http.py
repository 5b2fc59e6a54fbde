"""A witness over HTTP: ``POST /add-checkpoint``, and nothing else."""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from compliance.audit.witness.service import WitnessService
from protocol.errors import StoreBroken
from protocol.log.witness import MAX_REQUEST_BYTES


def witness_app(service: WitnessService) -> Starlette:
    """Returns the ASGI application of a witness; a longer body than any request's is answered 413.

    Where the state cannot be written the answer is 503, and nothing was signed.
    """

    async def add_checkpoint(request: Request) -> Response:
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_REQUEST_BYTES:
                    return Response("the request is too long\n", 413, media_type="text/plain")
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            reply = await run_in_threadpool(service.add_checkpoint, bytes(body))
        except StoreBroken:
            return Response("the witness cannot write\n", 503, media_type="text/plain")
        headers = {"content-type": reply.content_type}
        return Response(reply.body, reply.status, headers=headers)

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"])])
