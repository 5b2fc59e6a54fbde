"""Shows metrics to Prometheus, on this machine only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from protocol.errors import WorkspaceRefused

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@contextmanager
def metrics_shown(counts: "CollectorRegistry", port: int | None) -> Iterator[None]:
    """Shows counts to users of this machine, where it was asked for."""
    if port is None:
        yield
        return
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=counts)
    except (OSError, OverflowError) as error:
        raise WorkspaceRefused(f"--metrics-port {port} cannot be listened on: {error}") from error
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
