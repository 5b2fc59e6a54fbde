"""The device that a hospital's networks compute on: the processor, or a GPU by CUDA.

Rules:

1. On one device and one version of its libraries the same call gives the same bits. On a GPU
   shortened products (TF32: ten bits of mantissa), a choice of code by stop-watch, and operations
   whose order of summing is left to chance are off, in the whole process; a network that needs
   one of the last is computed by another engine, or refused.
2. In float64 an engine on a GPU agrees with the processor to 1e-5 of a gradient's norm. In
   float32, in which hospitals train, rounding differs, and the bound of one patient is exact on
   both (docs/performance.md).
3. A hospital says how much of a GPU's memory torch may allocate; CUDA itself takes some hundred
   MiB more. Where that does not suffice, nothing is computed in part: ``DeviceRefused`` says so,
   at joining, where the form of every later step is tried.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from protocol.errors import DeviceRefused

#: Asked for before CUDA starts: cuBLAS then sums in the same order every time.
_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
#: How torch's allocator for the processor, oneDNN and CUDA's libraries say that there is no memory.
_NO_MEMORY = re.compile(
    "can't allocate memory|not enough memory|Cannot allocate memory|out of memory|ALLOC_FAILED"
    "|bad_alloc|could not create a primitive(?! descriptor)"
)
#: How an error speaks of the device.
_OF_DEVICE = re.compile("^CUDA error|^cuDNN error|^CUBLAS_STATUS|unable to find an engine")


def processor() -> torch.device:
    """Returns the processor."""
    return torch.device("cpu")


def gpu(max_bytes: int | None = None) -> torch.device:
    """Returns this machine's first GPU, which this process then uses by the module's rules.

    Args:
        max_bytes: what torch may allocate of its memory here; all of it when None.

    Raises:
        DeviceRefused: torch finds no GPU, or it has less memory than ``max_bytes``.
    """
    os.environ.setdefault(*_WORKSPACE)
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else ", and this torch is built for the processor alone"
        raise DeviceRefused(
            f"no GPU is found{built}: install the GPU's driver and torch from torch-cuda.lock "
            "(docs/operations.md), or compute on the processor"
        )
    chosen = torch.device("cuda", 0)
    whole = torch.cuda.get_device_properties(chosen).total_memory
    if max_bytes is not None:
        if max_bytes > whole:
            raise DeviceRefused(
                f"{_gib(max_bytes)} GiB of the GPU's memory are to be used, it has {_gib(whole)}"
            )
        torch.cuda.set_per_process_memory_fraction(max_bytes / whole, chosen)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return chosen


def engine_label(engine: str, device: torch.device) -> str:
    """Returns an engine's name, and the GPU's behind it where it is one.

    >>> engine_label("layers", processor())
    'layers'
    """
    return engine if device.type == "cpu" else f"{engine} on {torch.cuda.get_device_name(device)}"


def memory_of(device: torch.device) -> tuple[str, int, int]:
    """Returns a GPU's name, how many bytes of its memory are free, and how many it has."""
    free, whole = torch.cuda.mem_get_info(device)
    return torch.cuda.get_device_name(device), free, whole


@contextmanager
def enough_memory(doing: str) -> Iterator[None]:
    """Turns torch's and Python's ways to say that memory is full, or the device fails, into one.

    Raises:
        DeviceRefused: it is, or does.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if is_out_of_memory(error):
            raise DeviceRefused(
                f"{doing} needs more memory than this hospital's device may use: give more of it "
                "(resources), or ask for a study with smaller training.micro_batch, images, "
                "augmentation.copies or network"
            ) from error
        if is_of_device(error):
            raise DeviceRefused(
                f"{doing} failed on this hospital's device ({str(error).splitlines()[0]}): mend "
                "its driver or torch, or compute on the processor"
            ) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that the processor's or the GPU's memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def is_of_device(error: BaseException) -> bool:
    """Returns whether an error speaks of the device, and not of what was to be computed."""
    said = isinstance(error, RuntimeError) and _OF_DEVICE.search(str(error)) is not None
    return said or is_out_of_memory(error) or isinstance(error, torch.AcceleratorError)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
