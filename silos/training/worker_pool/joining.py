"""A hospital's way into the Ray cluster that it names: asked first, joined then.

Rules:

1. A cluster that lets in whoever shows no token, or another one, is not joined.
2. One that does not answer, or answers to another token, another Ray or another Python, is refused
   by a message of its own, usually within a minute and after five at most.
3. The token is in no message, and on no command line.
"""

import json
import os
import platform
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protocol.errors import DeviceRefused
from silos.training.ray_runtime import joined_ray, use_token
from silos.training.worker_pool.cluster_address import host_and_port

#: How long a head is waited for, by each of the steps that Ray asks it in.
_CONNECT_TIMEOUT = 10
_SHORT_TIMEOUTS = {
    f"RAY_{name}": str(_CONNECT_TIMEOUT)
    for name in (
        "py_gcs_connect_timeout_s",
        "gcs_rpc_server_connect_timeout_s",
        "gcs_rpc_server_reconnect_timeout_s",
        "gcs_server_request_timeout_seconds",
    )
}
#: Of the process that asks, its start on a busy machine included.
_PROBE_TIMEOUT = 120

Nodes = list[dict[str, float]]


@contextmanager
def joined(
    folder: Path, address: str, token: str, *, resources: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Joins a cluster that ``require_cluster`` found, and leaves it with the block.

    Raises:
        DeviceRefused: this machine's own node does not start.
    """
    use_token(folder, token)
    with joined_ray(folder, address, _own_address(address), resources=resources):
        yield


def require_cluster(folder: Path, address: str, token: str) -> Nodes:
    """Returns what each node of a cluster offers, by Ray's names; waits for minutes at most.

    Args:
        folder: only this user may enter it.
        address: of the cluster's head, an IP address and a port.
        token: of the cluster.

    Raises:
        DeviceRefused: nobody answers there, or somebody who is no Ray; it knows another token, or
            lets everybody in; it is of another Ray or Python.
    """
    try:
        socket.create_connection(host_and_port(address), _CONNECT_TIMEOUT).close()
    except OSError as error:
        raise DeviceRefused(
            f"nobody listens at {address}, where this hospital's Ray cluster should "
            f"({error.strerror or 'no answer'}): start its head, or mend ray_address or the "
            "firewall (docs/hospital.md)"
        ) from error
    found = _probed(folder, address, token)
    match found["state"]:
        case "token":
            raise DeviceRefused(
                f"the Ray cluster at {address} knows another token: give this machine and every "
                "node the same one (docs/hospital.md)"
            )
        case "silent":
            raise DeviceRefused(
                f"what listens at {address} does not answer as the head of a Ray cluster does: "
                "mend ray_address (its port is the one of ray start --port), or start the head anew"
            )
    require_versions(found["ray"], found["python"])
    if _probed(folder, address, secrets.token_hex(32))["state"] != "token":
        raise DeviceRefused(
            f"the Ray cluster at {address} lets in whoever shows another token, to run code on "
            "it: start every node with RAY_AUTH_MODE=token (docs/hospital.md)"
        )
    nodes: Nodes = found["nodes"]
    return nodes


def require_versions(cluster_ray: str, cluster_python: str) -> None:
    """Refuses a cluster of another Ray or Python than this process's.

    Raises:
        DeviceRefused: it is; names both.
    """
    for name, theirs, ours in (
        ("Ray", cluster_ray, version("ray")),
        ("Python", cluster_python, platform.python_version()),
    ):
        if theirs != ours:
            raise DeviceRefused(
                f"the Ray cluster has {name} {theirs or 'of an unknown version'}, this machine "
                f"{ours}: install the same on every node (docs/hospital.md)"
            )


def _probed(folder: Path, address: str, token: str) -> dict[str, Any]:
    file = folder / "probe-token"
    file.touch(mode=0o600)
    file.write_text(token, encoding="ascii")
    try:
        asked = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "silos.training.worker_pool.probe", address],
            env=os.environ | _SHORT_TIMEOUTS | {"RAY_AUTH_TOKEN_PATH": str(file)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"state": "silent"}
    finally:
        file.unlink()
    lines = asked.stdout.splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {"state": "silent"}
    return found


def _own_address(address: str) -> str:
    """Returns this machine's IP address on the way to another one; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect(host_and_port(address))
        return str(way.getsockname()[0])
