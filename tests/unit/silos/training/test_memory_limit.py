"""What a hospital's workers may hold: more is refused inside the worker, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import SiteFileRefused
from silos.config.site_file import read_site_file
from silos.isolation.remote_trainer import machine_of
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


def test_a_gpu_is_for_one_worker_and_its_memory_for_those_who_use_one() -> None:
    text = "collegium_site: 1\nname: east\nresources: {memory_gib: 8, WORDS}\n"
    for words, told in (
        ("gpu: true, workers: 2", "gpu is true, and workers 2: one uses the GPU, set 1"),
        ("gpu_memory_gib: 4", "gpu_memory_gib is 4, and gpu is false"),
    ):
        with pytest.raises(SiteFileRefused, match=told):
            read_site_file(text.replace("WORDS", words))
    site = read_site_file(text.replace("WORDS", "gpu: true, gpu_memory_gib: 1.5"))
    machine = machine_of(Path("home"), site.resources).shares
    assert (machine.gpu, machine.gpu_bytes, machine.max_bytes) == (True, 3 << 29, None)
