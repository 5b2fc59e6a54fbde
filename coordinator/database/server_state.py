"""The server's state after each finished round, so that a coordinator that was killed goes on.

One file a run, named by the round after which it is the state; written before
the round is committed, so that a committed round always has its state. Where a
run may go back to the model that was best, that state is kept too.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from compliance.storage.atomic_file import write_whole
from protocol.errors import StoreBroken
from protocol.study.strategies.strategy import ServerState


class ServerStates:
    """A folder of states, one for each run under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, run_id: str, state: ServerState) -> None:
        """Keeps the state after ``state.rounds`` rounds; the one before stays until ``forget``."""
        slots: dict[str, Any] = {f"slot.{name}": slot for name, slot in state.slots.items()}
        arrays = {"parameters": state.parameters} | slots
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(run_id, state.rounds), save(arrays))

    def read(self, run_id: str, rounds: int) -> ServerState:
        """Returns the state after so many rounds.

        Raises:
            StoreBroken: it is missing or damaged.
        """
        try:
            arrays = load(self._path(run_id, rounds).read_bytes())
            parameters = arrays["parameters"].astype(np.float32, copy=False)
        except (OSError, SafetensorError, KeyError) as error:
            raise StoreBroken(
                f"run {run_id}: the state after round {rounds} is missing or damaged: the run "
                "cannot go on"
            ) from error
        slots = {
            name.removeprefix("slot."): slot
            for name, slot in arrays.items()
            if name != "parameters"
        }
        return ServerState(parameters=parameters, rounds=rounds, slots=slots)

    def forget(self, run_id: str, *, before: int, keep: Collection[int] = ()) -> None:
        """Removes the states before so many rounds, but for those to ``keep``."""
        for path in self._folder.glob(f"{run_id}-*.safetensors"):
            number = path.stem.removeprefix(f"{run_id}-")
            if number.isdecimal() and int(number) < before and int(number) not in keep:
                path.unlink(missing_ok=True)

    def _path(self, run_id: str, rounds: int) -> Path:
        return self._folder / f"{run_id}-{rounds}.safetensors"
