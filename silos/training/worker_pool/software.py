"""The software and platform of a worker's process, and whether all of them are alike.

What a worker computes follows from its records, its parameters and its micro-batches bit for bit
only where the same code runs on the same kind of platform. So each node of a cluster reports both
once, before anything is trained. ``installed`` imports nothing but Python's own library: Ray
carries it to the nodes as it is, and a node without Collegium reports that it has none.
"""

import hashlib
import importlib.metadata
import importlib.util
import platform
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from protocol.errors import DeviceRefused

#: The name under which a report says on which machine it was made.
NODE = "node"


def installed() -> dict[str, str]:
    """Returns the machine's name, and by name the versions and the platform of this process."""

    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    def code() -> str:
        read = hashlib.sha256()
        for package in ("protocol", "pipelines", "silos"):
            found = importlib.util.find_spec(package)
            for place in (found.submodule_search_locations or []) if found else []:
                for file in sorted(Path(place).rglob("*.py")):
                    read.update(file.relative_to(place).as_posix().encode() + file.read_bytes())
        return read.hexdigest()[:16]

    return {
        NODE: socket.gethostname(),
        "Collegium": f"{version('collegium')}, code {code()}",
        **{name: version(name) for name in ("torch", "monai", "numpy", "ray")},
        "Python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def require_alike(reports: Sequence[Mapping[str, str]], own: Mapping[str, str]) -> None:
    """Refuses workers whose software or platform is not that of this process and of each other.

    Torch's build (``+cpu``, ``+cu126``) may differ from this process's, not between workers: a
    hospital's own machine may have no GPU.

    Args:
        reports: of every worker, see ``installed``.
        own: of this process.

    Raises:
        DeviceRefused: some differ; names the node, and both versions of what differs.
    """
    for report in reports:
        for name, expected in own.items():
            _require_equal(report, name, _public(name, report.get(name, "")), expected)
        for name, expected in reports[0].items():
            _require_equal(report, name, report.get(name, ""), expected, reports[0][NODE])


def _require_equal(
    report: Mapping[str, str], name: str, found: str, expected: str, node: str = ""
) -> None:
    if name != NODE and found != (expected if node else _public(name, expected)):
        other = f"node {node}" if node else "this machine"
        raise DeviceRefused(
            f"node {report.get(NODE, 'without a name')} of the Ray cluster has {name} {found}, "
            f"{other} {expected}: install the same on every node (docs/hospital.md)"
        )


def _public(name: str, version: str) -> str:
    """Returns a version without torch's build."""
    return version.partition("+")[0] if name == "torch" else version


def require_same_bits(samples: Sequence[tuple[str, str]]) -> None:
    """Refuses workers that computed other gradients from the same records.

    Args:
        samples: each worker's node, with its processor or GPU, and the digest of what it computed.

    Raises:
        DeviceRefused: some differ; names two of the nodes.
    """
    first, expected = samples[0]
    for node, found in samples:
        if found != expected:
            raise DeviceRefused(
                f"nodes {first} and {node} of the Ray cluster compute other gradients from the "
                "same records, so that a model would depend on who computed what: give the "
                "cluster nodes of one kind"
            )
