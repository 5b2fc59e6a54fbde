"""Shares of a machine, or of a Ray cluster's nodes, that a hospital's workers may use.

Nothing here imports torch or Ray: the supervisor, which holds keys, reads it too.
"""

from dataclasses import dataclass

from protocol.errors import DeviceRefused


@dataclass(frozen=True, kw_only=True)
class WorkerShares:
    """The shares of a machine, or of a cluster's nodes, that ``count`` workers may use.

    ``max_bytes`` is what each may hold of data, ``gpu_bytes`` of its GPU's memory; None sets no
    limit. With ``gpu`` a worker computes on a GPU, with no limit of its data: CUDA's libraries
    crash where the kernel refuses them memory.

    With ``cluster`` the workers are on the nodes of a Ray cluster that this process has joined,
    each with one CPU of a node, ``node_bytes`` of its memory and, with ``gpu``, one of its GPUs.
    Else they are on this machine, the calling process among them; one alone uses its GPU.
    """

    count: int = 1
    max_bytes: int | None = None
    gpu: bool = False
    gpu_bytes: int | None = None
    cluster: bool = False
    node_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.gpu and self.max_bytes is not None:
            raise ValueError("a worker that computes on the GPU has no limit of its data")
        if self.gpu and self.count > 1 and not self.cluster:
            raise ValueError("one worker computes on this machine's GPU")

    @property
    def asked(self) -> dict[str, float]:
        """The resources that each worker asks of its node, by Ray's names."""
        asked: dict[str, float] = {"CPU": 1}
        if self.gpu:
            asked["GPU"] = 1
        if self.node_bytes is not None:
            asked["memory"] = self.node_bytes
        return asked


def room_for(asked: dict[str, float], nodes: list[dict[str, float]]) -> int:
    """Returns how many workers fit on a cluster's nodes, were nobody else there.

    >>> room_for({"CPU": 1, "memory": 4e9}, [{"CPU": 8, "memory": 9e9}, {"CPU": 1, "memory": 64e9}])
    3

    Args:
        asked: what each takes, by Ray's names.
        nodes: what each node has.
    """
    return sum(
        min(int(node.get(name, 0) // amount) for name, amount in asked.items()) for node in nodes
    )


def require_room(asked: dict[str, float], count: int, nodes: list[dict[str, float]]) -> None:
    """Refuses workers that a cluster could not hold even if nobody else were there.

    Raises:
        DeviceRefused: it could not; says what was asked and what there is.
    """
    found = room_for(asked, nodes)
    if found < count:
        each = ", ".join(_said(name, amount) for name, amount in asked.items())
        raise DeviceRefused(
            f"the Ray cluster has room for {found} workers of {each} each, {count} are asked for: "
            "add a node, or lower workers, or the memory of each (docs/hospital.md)"
        )


def _said(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / 2**30:.1f} GiB"
    return f"{amount:g} {name}"
