"""The hospital's own Ray: loopback only, its own token, no dashboard, no telemetry.

Whoever reaches a Ray can run code on it, so nobody but this process's user may
(``transport-and-identity.md`` E, Ray).
"""

import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Ray reads these when it is imported: they are set before.
_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every port on loopback only
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_task_events_report_interval_ms": "0",  # no history of every call: it grows
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def own_ray(gpu: bool = False) -> Iterator[None]:
    """Starts a Ray of this process's own, and ends it with the block."""
    os.environ.update(_ENVIRONMENT)
    with tempfile.TemporaryDirectory(prefix="collegium-ray-") as folder:
        token = Path(folder) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="ascii")
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        import ray

        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            num_gpus=None if gpu else 0,
            object_store_memory=256 * 1024 * 1024,
        )
        try:
            yield
        finally:
            ray.shutdown()
