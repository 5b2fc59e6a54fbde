"""Answers of the running service to whoever opens its admin socket."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from coordinator.governance.accounts import answer_login
from coordinator.http.listening import QuietServer
from coordinator.runs.admin_socket.asking import SOCKET, is_served
from coordinator.runs.service import Service
from protocol.errors import FederationError, WorkspaceRefused


@contextmanager
def controlling(service: Service, home: Path) -> Iterator[None]:
    """Answers the coordinator's own people until the block ends.

    Raises:
        WorkspaceRefused: another service is at work in this folder.
    """
    path = home / SOCKET
    if is_served(home):
        raise WorkspaceRefused(f"--home {home} is served by another process already")
    path.unlink(missing_ok=True)
    config = uvicorn.Config(
        _app(service), uds=str(path), lifespan="off", log_config=None, access_log=False, ws="none"
    )
    with _listening(path) as listener:
        server = QuietServer(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="control")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(10)
            path.unlink(missing_ok=True)


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Yields a socket on a file that nobody else could open at any moment."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen()  # from now on whoever connects is answered, if a moment later
    except OSError as error:
        listener.close()
        raise WorkspaceRefused(f"{path} cannot be made ({error}): is its path too long?") from error
    finally:
        os.umask(before)
    try:
        yield listener
    finally:
        listener.close()


def _app(service: Service) -> Starlette:
    async def act(request: Request) -> JSONResponse:
        asked = json.loads(await request.body())
        return await _done(lambda: service.perform(asked))

    async def login(request: Request) -> JSONResponse:
        asked = json.loads(await request.body())
        return await _done(lambda: answer_login(service.operations.accounts, asked))

    async def governance(_request: Request) -> JSONResponse:
        return await _done(service.operations.governance.standing)

    async def status(_request: Request) -> JSONResponse:
        return await _done(lambda: {**service.status(), "time": time.time()})

    return Starlette(
        routes=[
            Route("/acts", act, methods=["POST"]),
            Route("/logins", login, methods=["POST"]),
            Route("/governance", governance, methods=["GET"]),
            Route("/status", status, methods=["GET"]),
        ]
    )


async def _done(work: Callable[[], Mapping[str, Any]]) -> JSONResponse:
    try:
        return JSONResponse(dict(await run_in_threadpool(work)))
    except FederationError as error:
        told = {"kind": type(error).__name__, "message": str(error)}
        return JSONResponse(told, status_code=409)
