"""The resources of a site file: the part of the hospital's machines that a study may use."""

import re
from datetime import time
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from protocol.study.frozen_model import FrozenModel
from silos.config.site_file.value_forms import PathText, TimeZoneName
from silos.training.worker_pool.cluster_address import host_and_port

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")


def _are_hours(text: str) -> str:
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError("must look like 20:00-06:00")
    if text[:5] == text[6:] or text == "00:00-24:00":
        raise ValueError("is the whole day: leave hours out")
    return text


def _is_ray_address(text: str) -> str:
    try:
        host_and_port(text)
    except ValueError as error:
        raise ValueError(
            "must look like ray-head.hospital.example:6379: a name or an IPv4 address, and a port"
        ) from error
    return text


class Resources(FrozenModel):
    """The part of the hospital's machine that a study may use.

    ``workers`` are processes that compute gradients, each of ``threads``
    threads; together they may hold ``memory_gib``. With ``gpu`` one worker computes on this
    machine's GPU, and torch may allocate ``gpu_memory_gib`` of its memory; left out, all of it.
    ``memory_gib`` then limits nothing: CUDA crashes where the kernel refuses memory.
    ``ray_address`` (``host:port``) is the head of a Ray cluster of this hospital's own, and
    ``ray_token_file`` holds its token, for its owner alone; a path is taken from the site file's
    folder. The workers are then on its nodes, each with a CPU, its part of ``memory_gib`` and,
    with ``gpu``, a GPU of its own. Training has the network then, so it cannot be
    ``must_be_confined``.
    ``hours`` are when a study may take part in a round, in ``time_zone``; left out, it may at
    any time.
    ``must_be_confined``: nothing trains where the kernel does not keep it from
    this hospital's files and from the network.
    """

    workers: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    memory_gib: float = Field(default=4.0, gt=0, le=65536)
    gpu: bool = False
    gpu_memory_gib: float | None = Field(default=None, ge=0.5, le=65536)
    ray_address: Annotated[str, AfterValidator(_is_ray_address)] | None = None
    ray_token_file: PathText | None = None
    must_be_confined: bool = False
    hours: Annotated[str, AfterValidator(_are_hours)] | None = None
    time_zone: TimeZoneName = "UTC"

    @model_validator(mode="after")
    def _enough(self) -> "Resources":
        if self.memory_gib < self.workers:
            raise ValueError(
                f"memory_gib is {self.memory_gib:g}: {self.workers} workers need 1 each at least, "
                "for libraries alone take 0.6"
            )
        if self.gpu and self.workers > 1 and self.ray_address is None:
            raise ValueError(f"gpu is true, and workers {self.workers}: one uses the GPU, set 1")
        if (self.ray_address is None) != (self.ray_token_file is None):
            raise ValueError(
                "ray_address and ray_token_file go together: name the cluster's head and the file "
                "that holds its token, or leave both out"
            )
        if self.ray_address is not None and self.must_be_confined:
            raise ValueError(
                "must_be_confined is true, and ray_address names a cluster, to which training "
                "needs the network: leave ray_address out and train on this machine, or set "
                "must_be_confined: false"
            )
        if self.gpu_memory_gib is not None and not self.gpu:
            raise ValueError(
                f"gpu_memory_gib is {self.gpu_memory_gib:g}, and gpu is false: set gpu: true, or "
                "leave gpu_memory_gib out"
            )
        return self

    @property
    def bytes_each(self) -> int:
        """The memory that each worker may hold, in bytes."""
        return int(self.memory_gib * 2**30 / self.workers)

    @property
    def gpu_bytes(self) -> int | None:
        """The memory of the GPU that training may hold, in bytes; None where nothing is said."""
        return None if self.gpu_memory_gib is None else int(self.gpu_memory_gib * 2**30)

    @property
    def opening(self) -> tuple[time, time] | None:
        """From when until when, in ``time_zone``; None at any time. 24:00 is midnight."""
        if self.hours is None:
            return None
        start, end = self.hours.split("-")
        return time.fromisoformat(start), time.fromisoformat(end.replace("24:00", "00:00"))
