"""A witness over HTTP: ``POST /add-checkpoint``, and nothing else.

The server is of the extra ``coordinator``; whoever only reads and checks does without.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compliance.audit.witness.service import WitnessService
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.log.witness import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

#: Connections that are served at once; more are answered 503.
_AT_ONCE = 64


def witness_app(service: WitnessService) -> "Starlette":
    """Returns the ASGI application of a witness; a longer body than any request's is answered 413.

    Where the state cannot be written the answer is 503, and nothing was signed.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response
    from starlette.routing import Route

    async def add_checkpoint(request: "Request") -> "Response":
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


@contextmanager
def serving(service: WitnessService, host: str, port: int) -> Iterator[int]:
    """Serves a witness until the block ends; yields the port, which is drawn where 0 is asked for.

    Raises:
        WorkspaceRefused: the address cannot be listened on.
    """
    import uvicorn

    try:
        listener = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise WorkspaceRefused(f"{host}:{port} cannot be listened on: {error}") from error
    config = uvicorn.Config(
        witness_app(service),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)  # in a thread it leaves signals to the process
    thread = threading.Thread(target=server.run, args=([listener],), name="witness")
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
