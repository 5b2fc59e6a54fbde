"""The Go project's own note and tlog packages, asked by a small program (``go_log/main.go``).

``make go`` installs them on Debian. Without them, tests that ask are skipped, and the
frozen outputs in ``go_log/frozen.json`` stand for them.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "go_log"
PACKAGES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")


def missing() -> str:
    """Returns what is missing for it; nothing where it can be built."""
    if shutil.which("go") is None or not PACKAGES.is_dir():
        return "Go and golang.org/x/mod are not installed here: make go"
    return ""


class GoVerifier:
    """The program, built in a folder and started anew for each set of requests."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "go_log"
        cache = {"GOCACHE": str(folder / "cache"), "GOFLAGS": "", "GO111MODULE": "off"}
        build = ["go", "build", "-o", str(self._program), "."]
        environment = os.environ | cache | {"GOPATH": "/usr/share/gocode"}
        subprocess.run(build, cwd=SOURCE, env=environment, check=True)

    def ask(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns an answer to each request."""
        lines = "".join(json.dumps(one) + "\n" for one in requests)
        done = subprocess.run(
            [str(self._program)], input=lines, capture_output=True, text=True, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]
