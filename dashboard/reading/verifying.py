"""Verification of the whole folder beside the pages: in a process of its own, when it is asked for.

What was found is kept with the size that the log had. It says nothing of what came later.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compliance.facts.dossier import LogVerification
from compliance.storage.clock import timestamp
from coordinator.views.opened.version import KeptVerification


@dataclass(frozen=True, kw_only=True)
class VerificationState:
    """Progress of a verification, and what the newest one found.

    ``part`` is what is being checked, ``done`` of ``total`` of it; ``refused`` why the newest
    attempt came to nothing. ``at`` is when the kept one began (UTC, ISO 8601), ``seconds`` how
    long it took.
    """

    running: bool = False
    part: str = ""
    done: int = 0
    total: int = 0
    refused: str = ""
    kept: KeptVerification | None = None
    at: str = ""
    seconds: float = 0.0


class BackgroundVerification:
    """Verifications of one folder, one at a time.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._command = [sys.executable, "-m", "dashboard.reading.whole_verification", str(folder)]
        self._lock, self._state = threading.Lock(), VerificationState()
        self._began = "", 0.0
        self._process: subprocess.Popen[str] | None = None

    @property
    def state(self) -> VerificationState:
        """Progress of the newest verification."""
        return self._state

    def start(self) -> None:
        """Begins a verification, unless one is under way."""
        with self._lock:
            if self._state.running:
                return
            self._began = timestamp(), time.monotonic()
            self._state = replace(self._state, running=True, part="", done=0, total=0, refused="")
            self._process = subprocess.Popen(  # noqa: S603  # this Python, and a folder's path
                self._command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
            )
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        """Ends a verification that is under way."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _watch(self, process: "subprocess.Popen[str]") -> None:
        with process:
            for line in process.stdout or ():
                self._take(json.loads(line))
        if self._state.running:
            self._state = replace(self._state, running=False, refused="its process was ended")

    def _take(self, told: Mapping[str, Any]) -> None:
        if "size" in told:
            result = LogVerification(key=told["key"], faults=tuple(told["faults"]))
            kept = KeptVerification(size=told["size"], root=told.get("root", ""), result=result)
            took = time.monotonic() - self._began[1]
            self._state = VerificationState(kept=kept, at=self._began[0], seconds=took)
        elif "refused" in told:
            self._state = replace(self._state, running=False, refused=told["refused"])
        else:
            self._state = replace(
                self._state, part=told["part"], done=told["done"], total=told["total"]
            )
