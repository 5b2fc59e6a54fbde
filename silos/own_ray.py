"""A Ray of one process's own, closed to every other user of the machine.

Whoever reaches a Ray can run code on it and read what it holds. So its ports are on loopback
only, every request carries a token, and its session (sockets, logs, and records that do not
fit into its memory) lies in a folder that its owner alone may enter. Ray opens the session
itself to every user of the machine; the folder above it keeps them out.

Ray reads its settings when it is imported, so it is imported from here.
"""

import fcntl
import logging
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol.errors import WorkspaceRefused

#: Seconds that a busy machine may take for what Ray expects at once.
_PATIENCE = 600
_SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every port on loopback only
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_task_events_report_interval_ms": "0",  # no history of every call: it grows
    "RAY_raylet_start_wait_time_s": str(_PATIENCE),
    "RAY_gcs_server_port_wait_time_s": str(_PATIENCE),
    "RAY_gcs_rpc_server_connect_timeout_s": str(_PATIENCE),
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(_PATIENCE),
    "RAY_py_gcs_connect_timeout_s": str(_PATIENCE),
    "RAY_worker_register_timeout_seconds": str(_PATIENCE),
    "RAY_agent_register_timeout_ms": str(_PATIENCE * 1000),
    "RAY_health_check_timeout_ms": str(_PATIENCE * 1000),
}
if "ray" in sys.modules and any(os.environ.get(key) != _SETTINGS[key] for key in _SETTINGS):
    raise ImportError("ray was imported without its settings: import it from silos.own_ray")
os.environ.update(_SETTINGS)

import ray  # noqa: E402

__all__ = ["own_ray", "ray"]

_PREFIX = "collegium-ray-"
_LOCK = "lock"
#: What the kernel takes as a socket's path, and the longest that Ray puts below its folder.
_MOST_PATH_BYTES = 107
_LONGEST_SOCKET = "/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
#: Ray keeps the first token that it reads for as long as its process lives.
_TOKEN = secrets.token_hex(32)


@contextmanager
def own_ray(*, gpu: bool = False, resources: Mapping[str, float] | None = None) -> Iterator[None]:
    """Starts a Ray of this process's own, and ends it with the block.

    Args:
        gpu: whether it may use the machine's GPUs.
        resources: Ray's own names for how much of what may run at once.

    Raises:
        WorkspaceRefused: no folder for temporary files is private enough, or its path too long.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with _private_folder() as folder:
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(_TOKEN, encoding="ascii")
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            num_gpus=None if gpu else 0,
            object_store_memory=256 * 1024 * 1024,
            resources=dict(resources or {}),
            _temp_dir=str(folder / "r"),
        )
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yields a new folder that only this user may enter; removes what killed processes left."""
    parent = _parent()
    _remove_abandoned(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        folder = Path(name)
        with (folder / "unlocked").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            (folder / "unlocked").rename(folder / _LOCK)  # never seen before it is held
            yield folder


def _parent() -> Path:
    """Returns the folder for temporary files, or a shorter one where a socket's path would not fit.

    Raises:
        WorkspaceRefused: none is short enough.
    """
    asked = tempfile.gettempdir()
    for place in (asked, os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"):  # noqa: S108
        longest = f"{place}/{_PREFIX}12345678{_LONGEST_SOCKET}"
        if place and len(os.fsencode(longest)) <= _MOST_PATH_BYTES and _is_safe(Path(place)):
            return Path(place)
    raise WorkspaceRefused(
        f"no folder for Ray's sockets: {asked} has too long a path, cannot be written, or lets "
        "others rename what lies in it. Set TMPDIR to a short folder of your own"
    )


def _is_safe(folder: Path) -> bool:
    """Whether we may write to a folder, and nobody but root may rename our files in it."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = folder.stat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    return not shared and found.st_uid in (0, os.geteuid())


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders of this user whose process was killed before it could do so itself."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
