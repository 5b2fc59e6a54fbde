"""``make gpu-check`` skips in words where there is no GPU, and tells what is wrong where one is."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from protocol.study.task.networks.segmenters import UNet
from tests.bench.device import DeviceRow, measured, slow
from tests.long.gpu_check.networks import network_faults, network_figures
from tests.long.gpu_check.training import process_faults, training_faults, training_figures

CPU = torch.device("cpu")


@pytest.mark.long
def test_without_cuda_it_says_so_and_ends_well() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    command = [sys.executable, "-m", "tests.long.gpu_check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"skipped": "torch finds no CUDA device here"}
    assert "skipped: torch finds no CUDA device" in done.stderr


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, Any]]:
    """The figures of the processor itself."""
    threads = torch.get_num_threads()
    row = DeviceRow(
        network=UNet(channels=(4, 8, 16), strides=(2, 2)), sides=(32, 32), patients=4, most=1e9
    )
    found = {
        "network": network_figures("Classifier", CPU),
        "training": training_figures("table", CPU),
        "bench": dict(measured(row, CPU)),
    }
    torch.set_num_threads(threads)
    return found


def test_on_the_processor_the_check_finds_the_processors_own_gradients(
    figures: dict[str, dict[str, Any]],
) -> None:
    found = figures["network"]
    assert list(network_faults(found)) == []
    assert found["furthest patient, of the bound"] == 0
    assert 0.9 < found["longest patient, of the bound"] <= 1
    assert found["absence of patient 0 moves the sum by, of the bound"] > 0.1
    assert list(training_faults(figures["training"])) == []
    assert figures["training"]["updates apart, of their norm"] == 0
    assert list(slow(figures["bench"])) == []


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("distance", float("nan"), "'layers' is wrong"),
        ("distance", 1e-4, "'layers' is wrong"),
        ("furthest patient, of the bound", 0.02, "not the processor's"),
        ("longest patient, of the bound", 1.0001, "longer than the bound"),
        ("absence of patient 0 moves the sum by, of the bound", 1.1, "more than the bound"),
        ("same bits again", False, "other bits"),
    ],
)
def test_whatever_is_not_as_it_must_be_is_told(
    figures: dict[str, dict[str, Any]], name: str, wrong: object, told: str
) -> None:
    (fault,) = network_faults(figures["network"] | {name: wrong})
    assert told in fault


@pytest.mark.parametrize(
    ("faults", "found", "told"),
    [
        (training_faults, {"updates apart, of their norm": 0.02}, "not the processor's"),
        (slow, {"ratio": 2.1, "at most": 2.0}, "2.10 plain backwards, at most 2.0 are promised"),
        (
            process_faults,
            {"same bits as this process": False, "confined": [True, True, False]},
            "other bits",
        ),
        (
            process_faults,
            {"same bits as this process": True, "confined": [True, False, False]},
            "reach a network",
        ),
    ],
)
def test_so_is_a_model_a_time_or_a_process_that_is_not(
    faults: Callable[[dict[str, Any]], Iterable[str]], found: dict[str, Any], told: str
) -> None:
    (fault,) = faults(found)
    assert told in fault
