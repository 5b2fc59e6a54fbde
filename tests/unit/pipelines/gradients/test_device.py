"""The device is refused in words: where there is no GPU, and where its memory is too small."""

from functools import partial

import pytest
import torch

from pipelines.gradients.device import enough_memory, gpu, is_out_of_memory, processor
from protocol.errors import DeviceRefused
from silos.training.trainer import try_step
from silos.training.worker_pool.backend import device_of
from silos.training.worker_pool.shares import WorkerShares
from tests.bench import studies


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_where_there_is_no_gpu_it_says_what_to_install() -> None:
    for device in (gpu, partial(device_of, WorkerShares(gpu=True, gpu_bytes=1 << 30))):
        with pytest.raises(DeviceRefused, match=r"no GPU is found.*torch-cuda\.lock"):
            device()


def test_a_full_memory_is_a_refusal_and_any_other_error_stays_one() -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        with (
            pytest.raises(DeviceRefused, match="a step needs more memory"),
            enough_memory("a step"),
        ):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), enough_memory("a step"):
        raise RuntimeError("shapes differ")
    assert not is_out_of_memory(ValueError("can't allocate memory"))
    failed = "CUDA error: no kernel image is available"
    with pytest.raises(DeviceRefused, match="a step failed.*no kernel image"):
        with enough_memory("a step"):
            raise RuntimeError(f"{failed}\nmore words")
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for x"))


def test_what_torch_says_of_the_processors_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as told:
        torch.zeros(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(told.value)


def test_a_step_is_tried_without_a_record() -> None:
    study = studies.imaging(micro_batch=8, side=16, patients=8)
    assert try_step(study, "east", processor()) == ("layers", 8, 1)
    table = studies.tabular(micro_batch=32, rate=1.0, patients=32, max_records=3)
    assert try_step(table, "east", processor()) == ("chain", 32, 3)


def test_one_worker_uses_the_gpu_with_no_limit_of_its_data() -> None:
    for shares in ({"count": 2}, {"max_bytes": 1 << 30}):
        with pytest.raises(ValueError, match="computes on th(e|is machine's) GPU"):
            WorkerShares(gpu=True, **shares)
    assert device_of(WorkerShares(count=2, max_bytes=1 << 30)) == processor()
    assert device_of(WorkerShares(count=4, gpu=True, cluster=True)) == processor()
