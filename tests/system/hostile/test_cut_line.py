"""A large update over a line that is cut five times each way: it resumes, in bounded memory.

Both ends are processes of their own (``tests.support.networked.cut_line``); the line is
``tests.support.networked.proxy``.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.encoding import blob_digest
from tests import ROOT
from tests.support.machine.patience import PATIENCE
from tests.support.networked.cut_line import blob_of
from tests.support.networked.network import until
from tests.support.networked.proxy import Log, Proxy

CUTS = 5
#: What a process takes whatever the update: buffers of one part at each layer.
FLOOR = 48 << 20


def start(role: str, folder: Path, size: int, *more: int) -> subprocess.Popen[str]:
    words = [
        sys.executable,
        "-m",
        "tests.support.networked.cut_line",
        role,
        str(folder),
        *map(str, (size, *more)),
    ]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Mapping[str, object]:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return json.loads(said)  # type: ignore[no-any-return]


def carried(folder: Path, size: int) -> tuple[Mapping[str, object], Mapping[str, object], Log]:
    """Carries a model of ``size`` bytes one way and an update of as many back."""
    coordinator = start("coordinator", folder, size)
    hospital = None
    try:
        until(lambda: (folder / "invitation").exists())
        with Proxy(int((folder / "port").read_text())) as line:
            for _ in range(CUTS):
                line.cut_after(sent=size // (CUTS + 1), received=size // (CUTS + 1))
            hospital = start("hospital", folder, size, line.port)
            there, here = result(hospital), result(coordinator)
            return here, there, line.log
    finally:
        for process in (coordinator, hospital):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def check(folder: Path, size: int) -> None:
    coordinator, hospital, log = carried(folder, size)
    assert hospital["model"] == blob_digest(blob_of(1, size))
    assert coordinator["update"] == blob_digest(blob_of(2, size))
    assert coordinator["left"] == 0
    assert log.cuts >= 2 * CUTS
    wasted = (8 << 20) * CUTS + (4 << 20)
    assert size < log.received < size + wasted
    assert size < log.sent < size + wasted
    print(f"\n{size:,} bytes each way, {log.cuts} cuts, {log.sent:,} sent, {log.received:,} came")
    for end, figures in (("coordinator", coordinator), ("hospital", hospital)):
        for name, value in figures.items():
            if isinstance(value, int) and name != "left":
                print(f"{end} {name}: {value / size:.2f} x the update")
                most = 3 * size + (FLOOR if "process" in name and size < FLOOR else 0)
                assert value <= most, f"{end} {name}: {value:,} bytes for {size:,}"


@pytest.mark.long
def test_update_over_a_line_cut_five_times_resumes_in_bounded_memory(tmp_path: Path) -> None:
    check(tmp_path, 24_000_000)


@pytest.mark.chaos
def test_update_of_240_mb_over_a_line_cut_five_times_resumes_in_bounded_memory(
    tmp_path: Path,
) -> None:
    check(tmp_path, 240_000_000)
