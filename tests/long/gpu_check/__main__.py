"""Compares a GPU with the processor for every network, trains there, and measures: JSON on stdout.

python -m tests.long.gpu_check [--device cuda] [--only NETWORK] [--no-bench]

For every network that a study may name: the engine that is chosen on the device, how far it is
there from one backward per record on the processor (a part of the norm, in float64), how far
the clipped integers of patients of 1 to 20 records are from the processor's (in bounds), how long
the longest is (1 at most), how far the absence of one patient moves the sum (1 at most), and
whether the same call gives the same bits again. Then networks are trained with noise, the
confined process that trains is asked to compute there, a step that does not fit is tried, and
clipped gradients are timed beside one plain backward. Without CUDA it says so and ends well; a
check that fails ends with 1. Nothing is downloaded, and no real record is read.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch

from pipelines.gradients.device import gpu, processor
from tests.bench.device import ROWS, measured, slow
from tests.long.gpu_check.networks import network_faults, network_figures
from tests.long.gpu_check.training import (
    TRAINED,
    process_faults,
    process_figures,
    refusal,
    refusal_faults,
    training_faults,
    training_figures,
)
from tests.support.simulated.networks import NETWORKS

Check: TypeAlias = tuple[Callable[[], Any], Callable[[Any], Iterable[str]]]


def _sections(device: torch.device, only: str, *, bench: bool) -> Mapping[str, Mapping[str, Check]]:
    """Returns by section and name what is computed, and what finds it faulty."""
    names = [name for name in NETWORKS if name.startswith(only)]
    found: dict[str, dict[str, Check]] = {
        "networks": {
            name: (partial(network_figures, name, device), network_faults) for name in names
        },
        "training": {
            name: (partial(training_figures, name, device), training_faults) for name in TRAINED
        },
    }
    if device.type == "cuda":
        found["process"] = {"the confined process": (process_figures, process_faults)}
        found["memory"] = {"too little memory": (refusal, refusal_faults)}
    if bench:
        found["bench"] = {row.name: (partial(measured, row, device), slow) for row in ROWS}
    return found


def main() -> int:
    """Runs the check as the command line asks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.gpu_check", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", default="", help="what a network's name begins with")
    parser.add_argument("--no-bench", action="store_true", help="time nothing")
    asked = parser.parse_args()
    on_gpu = asked.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        print("skipped: torch finds no CUDA device here", file=sys.stderr)
        print(json.dumps({"skipped": "torch finds no CUDA device here"}))
        return 0
    device = gpu() if on_gpu else processor()
    torch.set_num_threads(min(8, len(os.sched_getaffinity(0))))
    document: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    wrong: list[str] = []
    for section, checks in _sections(device, asked.only, bench=not asked.no_bench).items():
        document[section] = {}
        for name, (figures, faults) in checks.items():
            try:
                found = document[section][name] = figures()
                wrong += [f"{name}: {fault}" for fault in faults(found)]
            except Exception as error:  # noqa: BLE001  (the others are still to be checked)
                wrong.append(f"{name}: {type(error).__name__}: {error}")
                continue
            print(name, json.dumps(found), file=sys.stderr, flush=True)
    document["faults"] = wrong
    print(json.dumps(document, indent=2, allow_nan=False))
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
