"""How much memory a process and all that it started take, sampled while it runs."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """Proportional set sizes at one moment, in bytes, by process and its name."""

    seconds: float
    sizes: Mapping[tuple[int, str], int]

    @property
    def total(self) -> int:
        """Of all processes together."""
        return sum(self.sizes.values())

    @property
    def processes(self) -> int:
        """How many there were."""
        return len(self.sizes)


def family(root: int) -> list[int]:
    """Returns a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process, [])
    return found


def name_of(process: int) -> str:
    """Returns what a process calls itself."""
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return "ended"


def pss(process: int) -> int:
    """Returns a process's proportional set size in bytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def watched(
    command: list[str], cwd: Path, every: float, seconds: float, saw: Callable[[Sample], None]
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and samples its family's memory every so many seconds."""
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    begun, ended = time.monotonic(), threading.Event()

    def sample() -> None:
        while not ended.wait(every):
            sizes = {(number, name_of(number)): pss(number) for number in family(process.pid)}
            saw(Sample(time.monotonic() - begun, sizes))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        ended.set()
        if process.poll() is None:
            process.kill()
        sampler.join()
    return subprocess.CompletedProcess(command, process.returncode, out, err)
