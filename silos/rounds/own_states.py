"""Own states of a hospital: what it keeps from round to round of a run, and never sends.

Rules:

1. A state counts from when the hospital revealed its part of the round's sum, or was told that it
   is in it: an update that went into no sum leaves the state as it was. Another draw of a round
   begins where the first began.
2. It is durable before that answer leaves, so a hospital that was restarted goes on with it.
3. Where late updates count, an update that was paid for is added to the next one, times a public
   discount for each round since, if the hospital was told which sites are in that round's sum
   and is not among them. One whose arrival the hospital has confirmed is never added again, whoever
   is said to be in the sum. A restart forgets it.
4. A file bears a digest of its run, its round and its numbers: one that was damaged, or put in the
   place of another, is refused.
5. It is as private as the gradients that it was made of. It lies in the hospital's folder, for its
   owner alone, and is removed when the run is over.
"""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from compliance.storage.atomic_file import write_whole
from protocol.encoding import Json, digest, digest_json
from protocol.errors import StoreBroken
from protocol.secagg.context import RoundContext
from protocol.study.strategies.local_steps import UNSENT, Floats, LocalEnd, OwnState

_NOTHING: Floats = np.empty(0)
_DIGEST = "digest"  # the name under which a file bears it


class OwnStates:
    """The states of one run: a file for each of the last two rounds that left one.

    Args:
        folder: of all runs' states.
        run_id: the run.
        late_discount: that of the study; None where late updates are lost.
    """

    def __init__(self, folder: Path, run_id: str, late_discount: float | None = None) -> None:
        self._folder, self._run_id, self._discount = folder, run_id, late_discount
        self._made: tuple[tuple[int, int], LocalEnd] | None = None
        self._paid: tuple[int, int] | None = None
        self._arrived: tuple[int, int] | None = None
        self._kept: tuple[int, int] | None = None
        self._missed: int | None = None
        self._carried: tuple[int, Floats] | None = None

    def before(self, context: RoundContext) -> OwnState:
        """Returns the state that a round begins with: empty where none was kept before it.

        Raises:
            StoreBroken: it was kept, and is damaged.
        """
        earlier = [number for number in self._numbers() if number < context.round]
        own = self._read(max(earlier)) if earlier else {}
        late = self._late(context)
        return own if late is None else {**own, UNSENT: late}

    def _late(self, context: RoundContext) -> Floats | None:
        """Returns what is left of an earlier round's update that went into no sum.

        Every draw of a round is given the same.
        """
        if context.round_kind != "training" or self._discount is None:
            return None
        if self._carried is not None and self._carried[0] == context.round:
            return self._carried[1]
        self._carried = None
        if self._made is not None and self._made[0] == self._paid:
            (number, _), end = self._made
            if number == self._missed and self._made[0] != self._arrived:
                self._carried = (
                    context.round,
                    end.update * self._discount ** (context.round - number),
                )
        return None if self._carried is None else self._carried[1]

    def newest(self) -> OwnState:
        """Returns the state after the last round that left one; see ``before``."""
        numbers = self._numbers()
        return self._read(max(numbers)) if numbers else {}

    def made(self, context: RoundContext, end: LocalEnd) -> None:
        """Takes the end of a draw of a round; its state does not count yet."""
        if self._discount is None:
            end = LocalEnd(update=_NOTHING, own=end.own)  # no vector outlives its round
        self._made = (context.round, context.draw), end

    def paid(self, context: RoundContext) -> None:
        """Takes note that a draw of a round is paid for: it may be sent, then or later."""
        self._paid = context.round, context.draw

    def arrived(self, context: RoundContext) -> None:
        """Takes note that a draw's vector has arrived, and can be in a sum."""
        self._arrived = context.round, context.draw

    def missed(self, number: int) -> None:
        """Takes note that a round's sum was made without this hospital."""
        self._missed = number

    def keep(self, context: RoundContext) -> None:
        """Keeps the state of a round's draw, durably: from now on it counts.

        The one before it stays too: another draw of this round would begin with it.

        Raises:
            StoreBroken: it cannot be written.
        """
        if self._made is not None and self._made[0] == (context.round, context.draw):
            self._keep(context.round, self._made[1].own)
            self._kept = self._made[0]

    def summed(self, number: int) -> None:
        """Keeps the state of a round whose sum holds this hospital's vector, revealed or not.

        Raises:
            StoreBroken: it cannot be written.
        """
        if self._made is None or self._made[0] == self._kept:
            return
        if self._made[0] == self._paid and self._made[0][0] == number:
            self._keep(number, self._made[1].own)
            self._kept = self._made[0]

    def _keep(self, number: int, own: OwnState) -> None:
        earlier = sorted(before for before in self._numbers() if before < number)
        if not own and not earlier:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sealed = {_DIGEST: self._digest(number, own)}
            write_whole(self._path(number), save(dict(own), metadata=sealed))
            for before in earlier[:-1]:
                self._path(before).unlink(missing_ok=True)
        except OSError as error:
            raise StoreBroken(f"an own state cannot be kept: {error.strerror}") from error

    def forget(self) -> None:
        """Removes the run's states."""
        for number in self._numbers():
            self._path(number).unlink(missing_ok=True)

    @staticmethod
    def forget_all(folder: Path) -> None:
        """Removes every run's states."""
        for path in folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)

    def _read(self, number: int) -> OwnState:
        broken = StoreBroken(
            f"run {self._run_id}: this hospital's own state after round {number + 1} is "
            "missing or damaged: leave the run"
        )
        try:
            with safe_open(self._path(number), framework="np") as file:
                names = file.keys()
                own = {name: file.get_tensor(name) for name in names}
                named = (file.metadata() or {}).get(_DIGEST)
        except (OSError, SafetensorError) as error:
            raise broken from error
        if named != self._digest(number, own):
            raise broken
        return own

    def _digest(self, number: int, own: OwnState) -> str:
        arrays: list[Json] = [
            [name, own[name].dtype.str, list(own[name].shape), digest(own[name].tobytes())]
            for name in sorted(own)
        ]
        return digest_json([self._run_id, number, arrays])

    def _numbers(self) -> list[int]:
        stems = [path.stem for path in self._folder.glob(f"{self._run_id}-*.safetensors")]
        numbers = [stem.removeprefix(f"{self._run_id}-") for stem in stems]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._run_id}-{number}.safetensors"
