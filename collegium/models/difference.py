"""Differences of two released models: what snapshots say, and how far parameters moved."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from compliance.facts.formatting import Format, show
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.snapshots import signed_snapshot
from protocol.encoding import Json
from protocol.errors import StoreBroken
from protocol.transport.run_announcement import MILLIONTHS
from protocol.transport.snapshot import Snapshot
from protocol.vectors.tensors import Tensors

#: What two runs never share.
_ALWAYS = {"run", "created", "aggregates"}
#: What a promise counts in millionths.
_LOSSES = {"epsilon", "evaluation_epsilon"}


def difference_of(out: Path, first: str, second: str) -> dict[str, Any]:
    """Returns ``facts`` (both sides of what differs) and ``parameters``.

    Args:
        out: the folder.
        first, second: beginnings of digests or runs.

    Returns:
        ``parameters`` maps each layer that both have in one shape to the norm of its change
        over its own norm in the first; None where a model's file is not kept or layouts differ.

    Raises:
        PolicyRefused: there is no such snapshot.
    """
    workspace = Workspace.open(out)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        one, other = (signed_snapshot(session, name).snapshot for name in (first, second))
    ours, theirs = _facts(one), _facts(other)
    facts = {
        name: (ours.get(name), theirs.get(name))
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    }
    return {
        "first": one.digest,
        "second": other.digest,
        "facts": facts,
        "parameters": _moved(workspace, one, other),
    }


def _facts(snapshot: Snapshot) -> dict[str, Json]:
    """Returns what a snapshot says, flat: one fact a hospital's promise, one a figure."""
    said: dict[str, Json] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(snapshot).items()
        if name not in _ALWAYS | {"privacy", "figures"}
    }
    for promise in snapshot.privacy:
        losses = {
            name: show(value / MILLIONTHS, Format.EPSILON)
            for name, value in vars(promise).items()
            if name in _LOSSES and value is not None
        }
        said[f"privacy of {promise.site}"] = _words(vars(promise) | losses)
    for figure in snapshot.figures:
        said[figure.name] = _words(figure.to_interval())
    return said


def _words(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in said.items() if value not in ("", None))


def _moved(workspace: Workspace, one: Snapshot, other: Snapshot) -> dict[str, float] | None:
    if one.layout != other.layout:
        return None
    try:
        first, second = (workspace.read_snapshot(each.model) for each in (one, other))
    except StoreBroken:
        return None
    return {name: _change(first, second, name) for name in sorted(first)}


def _change(first: Tensors, second: Tensors, name: str) -> float:
    before, after = (tensors[name].astype(np.float64) for tensors in (first, second))
    norm = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / norm if norm else float("inf")
