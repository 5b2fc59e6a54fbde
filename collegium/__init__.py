"""The front door: the ``collegium`` command, simulations and sweeps.

The only place that assembles silos *and* coordinator.

Ray reads these settings when it is first imported, so they stand here, before
anything else of the front door: loopback only (whoever reaches a Ray cluster
can run code on it), no telemetry, no history of every call (it would grow with
every round), one thread for each worker.
"""

import os

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
