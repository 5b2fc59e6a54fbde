"""User interfaces: the ``collegium`` command, simulations and sweeps, and the Python interface.

The only place that assembles silos *and* coordinator. ``import collegium as cg`` is cheap: each
public name is loaded when it is first used. ``docs/python.md`` shows them in a notebook.

Ray reads these settings when it is first imported, so they stand here, before
anything else of this package: loopback only (any process that reaches a Ray
cluster can run code on it), no telemetry, no history of every call (it would grow with
every round), one thread for each worker.
"""

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from collegium.api.baselines import Baselines, baselines
    from collegium.api.chart import Chart
    from collegium.api.folder import Folder, open
    from collegium.api.run import Run
    from collegium.api.simulations import Sweep, simulate, sweep
    from collegium.api.strategies import Comparison, compare
    from collegium.api.study import Check, Plan, Study
    from collegium.api.verification import Verification, verify
    from protocol import errors

__all__ = [
    "Baselines",
    "Chart",
    "Check",
    "Comparison",
    "Folder",
    "Plan",
    "Run",
    "Study",
    "Sweep",
    "Verification",
    "baselines",
    "compare",
    "errors",
    "open",
    "simulate",
    "sweep",
    "verify",
]

#: The only modules of them that need more than what reads and checks.
_TRAINS, _COMPARES = "collegium.api.simulations", "collegium.api.baselines"
_STRATEGIES = "collegium.api.strategies"
#: Where each public name is.
_PLACES = {
    "Baselines": _COMPARES,
    "Chart": "collegium.api.chart",
    "Check": "collegium.api.study",
    "Comparison": _STRATEGIES,
    "Folder": "collegium.api.folder",
    "Plan": "collegium.api.study",
    "Run": "collegium.api.run",
    "Study": "collegium.api.study",
    "Sweep": _TRAINS,
    "Verification": "collegium.api.verification",
    "baselines": _COMPARES,
    "compare": _STRATEGIES,
    "open": "collegium.api.folder",
    "simulate": _TRAINS,
    "sweep": _TRAINS,
    "verify": "collegium.api.verification",
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used."""
    if name == "errors":
        found: Any = import_module("protocol.errors")
    elif name in _PLACES:
        found = getattr(_loaded(name), name)
    else:
        raise AttributeError(f"module 'collegium' has no attribute {name!r}")
    globals()[name] = found
    return found


def _loaded(name: str) -> ModuleType:
    """Imports the module of a public name.

    Raises:
        WorkspaceRefused: a package is not installed, or cannot be used in this process.
    """
    from collegium.extras import require_extra
    from protocol.errors import WorkspaceRefused

    if _PLACES[name] in (_TRAINS, _COMPARES, _STRATEGIES):
        require_extra("silo")
    try:
        return import_module(_PLACES[name])
    except ModuleNotFoundError as error:
        raise WorkspaceRefused(
            f"collegium.{name} needs {error.name}, not installed here: pip install {error.name}, "
            "or pip install 'collegium[silo]' for all that simulates hospitals"
        ) from error
    except ImportError as error:
        raise WorkspaceRefused(f"collegium.{name}: {error}") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
