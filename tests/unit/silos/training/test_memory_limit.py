"""What a hospital's workers may hold: more is refused inside the worker, and nowhere else."""

import subprocess
import sys

import pytest

from protocol.errors import SiteFileRefused
from silos.config.site_file import read_site_file
from tests import ROOT
from tests.support.machine.patience import PATIENCE

PROGRAM = """
import numpy as np
from silos.training.ray_runtime import (limit_memory)
limit_memory({most})
try:
    np.ones(200_000_000, dtype=np.uint8)
except MemoryError:
    print("refused")
else:
    print("held")
"""


def held(most: int | None) -> str:
    command = [sys.executable, "-c", PROGRAM.format(most=most)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_worker_cannot_hold_more_than_the_site_file_says() -> None:
    assert held(1 << 30) == "held"
    assert held(150 << 20) == "refused"


def test_without_a_limit_nothing_is_refused() -> None:
    assert held(None) == "held"


def test_workers_without_room_for_their_libraries_are_refused() -> None:
    text = "collegium_site: 1\nname: east\nresources: {workers: 3, memory_gib: 2}\n"
    with pytest.raises(SiteFileRefused, match="3 workers need 1 each at least"):
        read_site_file(text)
    assert read_site_file(text.replace("2}", "6}")).resources.bytes_each == 2 << 30
