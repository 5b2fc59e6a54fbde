"""``make gpu-check`` skips in words where there is no GPU, and tells what is wrong where one is."""

import json
import subprocess
import sys

import pytest
import torch

from tests.long.gpu_check import cases, checked, faults


def test_without_cuda_it_says_so_and_ends_well() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    command = [sys.executable, "-m", "tests.long.gpu_check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"skipped": "torch finds no CUDA device here"}
    assert "skipped: torch finds no CUDA device" in done.stderr


@pytest.fixture(scope="module")
def figures() -> dict[str, object]:
    """The table's network, checked on the processor itself."""
    table = next(iter(cases()))
    threads = torch.get_num_threads()
    found = checked(table, torch.device("cpu"))
    torch.set_num_threads(threads)
    return found


def test_on_the_processor_the_check_finds_the_processors_own_gradients(
    figures: dict[str, object],
) -> None:
    assert list(faults("MLP", figures)) == []
    assert figures["furthest patient, of the bound"] == 0
    assert 0.9 < figures["longest patient, of the bound"] <= 1  # type: ignore[operator]
    assert figures["absence of patient 0 moves the sum by, of the bound"] > 0.1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("distance of each engine", {"chain": float("nan")}, "'chain' is wrong"),
        ("furthest patient, of the bound", 0.02, "not the processor's"),
        ("longest patient, of the bound", 1.0001, "longer than the bound"),
        ("absence of patient 0 moves the sum by, of the bound", 1.1, "more than the bound"),
        ("same bits again", False, "other bits"),
        (
            "training",
            {"finite": True, "AUROC after": 0.5, "AUROC to reach": 0.7},
            "nothing was learned",
        ),
    ],
)
def test_whatever_is_not_as_it_must_be_is_told(
    figures: dict[str, object], name: str, wrong: object, told: str
) -> None:
    (fault,) = faults("MLP", figures | {name: wrong})
    assert told in fault
