"""A Ray of one process's own, or its own node of a Ray cluster that a hospital names.

A process that reaches a Ray can run code on it and read what it holds. So a Ray of one's own has
its ports on loopback only, every request to any Ray carries a token, and the session (sockets,
logs, and records that do not fit into its memory) lies in a folder that its owner alone may enter.
Ray opens the session itself to every user of the machine; the folder above it keeps them out.

A process joins a cluster with a node of its own, which offers no CPU and no GPU and ends with it.
Its ports are on the address from which the cluster's head is reached, for other nodes fetch from
it what workers are given.

Ray reads its settings when it is imported, so it is imported from here. They are right for both:
what a cluster's head and its other nodes do follows from their own settings.
"""

import logging
import os
import resource
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from protocol.errors import DeviceRefused, WorkspaceRefused
from silos.training.private_folder import private_folder

#: Seconds that a busy machine may take for what Ray expects at once.
_PATIENCE = 600
_SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every port on loopback only
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_task_events_report_interval_ms": "0",  # no history of every call: it grows
    "RAY_worker_niceness": "0",  # Ray's own 15 starves training on a machine that is busy
    "RAY_raylet_start_wait_time_s": str(_PATIENCE),
    "RAY_gcs_server_port_wait_time_s": str(_PATIENCE),
    "RAY_gcs_rpc_server_connect_timeout_s": str(_PATIENCE),
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(_PATIENCE),
    "RAY_py_gcs_connect_timeout_s": str(_PATIENCE),
    "RAY_worker_register_timeout_seconds": str(_PATIENCE),
    "RAY_agent_register_timeout_ms": str(_PATIENCE * 1000),
    "RAY_health_check_timeout_ms": str(_PATIENCE * 1000),
}


def _is_worker() -> bool:
    """Whether a Ray started this process; on a cluster's node it has that node's settings."""
    found = sys.modules.get("ray._private.worker")
    return found is not None and bool(found.global_worker.mode == found.WORKER_MODE)


_is_imported = "ray" in sys.modules and not _is_worker()
if _is_imported and any(os.environ.get(key) != _SETTINGS[key] for key in _SETTINGS):
    raise ImportError(
        "ray was imported before it could be closed to other users of this machine: start anew "
        "(restart a notebook's kernel) without importing ray yourself; a program imports it from "
        "silos.training.ray_runtime"
    )
os.environ.update(_SETTINGS)
os.environ.pop("RAY_AUTH_TOKEN", None)  # it would count for more than a token's file

_disabled = logging.root.manager.disable
logging.disable(logging.INFO)  # to a notebook it would recommend packages that nobody needs
import ray  # noqa: E402
from ray._private import node, parameter  # noqa: E402
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

logging.disable(_disabled)

__all__ = ["here", "joined_ray", "limit_memory", "own_ray", "ray", "ray_in", "use_token"]

#: Of the objects that are handed to workers; what does not fit lies in files of the session.
_OBJECT_BYTES = 256 * 1024 * 1024


@contextmanager
def own_ray(*, gpu: bool = False, resources: Mapping[str, float] | None = None) -> Iterator[None]:
    """Starts a Ray of this process's own in a new private folder, and ends it with the block.

    Args:
        gpu: whether it may use the machine's GPUs.
        resources: Ray's own names for how much of what may run at once.

    Raises:
        WorkspaceRefused: no folder for temporary files is private enough, or its path too long;
            or Ray does not start.
    """
    with private_folder() as folder, ray_in(folder, gpu=gpu, resources=resources):
        yield


@contextmanager
def ray_in(
    folder: Path, *, gpu: bool = False, resources: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Starts a Ray in a folder that only this user may enter; see ``own_ray``."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    use_token(folder, secrets.token_hex(32))
    with _parameters(), _refused_in_one_line():
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            num_gpus=None if gpu else 0,
            object_store_memory=_OBJECT_BYTES,
            resources=dict(resources or {}),
            _temp_dir=str(folder / "r"),
        )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def joined_ray(
    folder: Path, address: str, own_address: str, *, resources: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Joins a cluster whose token is in use, with a node of this process's own in a folder.

    Args:
        folder: only this user may enter it.
        address: of the cluster's head, an IP address and a port.
        own_address: this machine's IP address, as the other nodes reach it.
        resources: Ray's own names for how much of what may run at once on the own node.

    Raises:
        DeviceRefused: the node does not start.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started = None
    try:
        try:
            with _parameters():
                given = parameter.RayParams(
                    gcs_address=address,
                    node_ip_address=own_address,
                    node_manager_port=0,
                    min_worker_port=0,
                    max_worker_port=0,
                    num_cpus=0,
                    num_gpus=0,
                    resources=dict(resources or {}),
                    object_store_memory=_OBJECT_BYTES,
                    temp_dir=str(folder / "r"),
                )
                started = node.Node(given, head=False, shutdown_at_exit=False)
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(folder / "r"),
            )
        except Exception as error:
            raise DeviceRefused(
                f"this machine did not join the Ray cluster at {address} "
                f"({type(error).__name__}): its nodes must reach this machine, every node needs "
                "the same Ray and Python, and this machine some memory (docs/hospital.md)"
            ) from error
        yield
    finally:
        ray.shutdown()
        if started is not None:
            started.kill_all_processes(check_alive=False, allow_graceful=True)


def use_token(folder: Path, token: str) -> None:
    """Lets this process show a token to the Ray that it uses next.

    The file that holds it lies in a folder that only this user may enter; the processes that Ray
    starts read it there.
    """
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(token, encoding="ascii")
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(file)
    AuthenticationTokenLoader.instance().reset_cache()  # Ray keeps the first that it reads


def here() -> NodeAffinitySchedulingStrategy:
    """Returns the strategy that starts an actor or a task on this process's own node, or nowhere.

    What opens files of this machine is started so, for a cluster has other machines.
    """
    own = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(own, soft=False)


@contextmanager
def _refused_in_one_line() -> Iterator[None]:
    """Turns what Ray raises where it cannot start into a refusal.

    Ray has no class of its own for it: plain ``Exception``, ``RuntimeError`` and its own errors.
    """
    try:
        yield
    except Exception as error:
        ray.shutdown()
        raise WorkspaceRefused(
            f"Ray did not start ({type(error).__name__}): this machine is too busy, or has too "
            "little memory; end what else is at work and try again"
        ) from error


@contextmanager
def _parameters() -> Iterator[None]:
    """Lets Ray start with parameters that ``ray.init`` does not take.

    A raylet that has to ask its agents for their ports gives up after 15 seconds, and no setting
    changes that: on a machine that is busy Ray then never starts. So the ports are chosen here.
    What nobody uses is not started: the autoscaler's monitor, and the one that reads logs.
    """
    own = parameter.RayParams

    class Chosen(own):  # type: ignore[misc, valid-type]  # ray ships no types
        def __init__(self, *given: Any, **named: Any) -> None:
            names = (
                "metrics_agent_port", "metrics_export_port", "runtime_env_agent_port",
                "dashboard_agent_listen_port",
            )  # fmt: skip
            ports = dict(zip(names, _free_ports(len(names)), strict=True))
            rest = {"no_monitor": True, "include_log_monitor": False}
            super().__init__(*given, **(named | ports | rest))

    parameter.RayParams = Chosen  # type: ignore[misc]
    try:
        yield
    finally:
        parameter.RayParams = own  # type: ignore[misc]


def _free_ports(count: int) -> list[int]:
    """Returns free ports of this machine, none of them one that the kernel may give away."""
    found: list[int] = []
    while len(found) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in found:
                found.append(port)
    return found


def limit_memory(max_bytes: int | None) -> None:
    """Lets this process hold so many bytes of data; asking for more then fails, here only.

    Nothing is limited where ``max_bytes`` is None.
    """
    if max_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, hard))
