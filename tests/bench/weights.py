"""Encrypted models: sealing, re-wrapping and opening, beside the library alone.

A model is one drawn matrix. The processor's time and the wall clock's are two rows: files are
synced to the disk. Memory is the most that a new process held (``VmHWM``), for a small model and a
large one.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyrage

from compliance.storage.clock import timestamp
from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from compliance.storage.encryption.folder import WeightsFolder
from compliance.storage.encryption.opening import open_model
from compliance.storage.encryption.sealing import rewrapped, sealed
from compliance.storage.encryption.writer import WeightsDecision, WeightsWriter
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import encode_tensors
from tests.bench.measurement import CPU, OURS, WALL, Row, Target, row_of

AREA = "weights"
SMALL, LARGE = 1, 250
LIBRARY = "pyrage.encrypt_file"
_SEAL, _REWRAP = Target(most=2), Target(most=50)


@dataclass
class _Case:
    """A model's file of so many megabytes, and a folder in which it is encrypted for Alice."""

    folder: Path
    megabytes: int

    def __post_init__(self) -> None:
        self.plain = self.folder / "model.safetensors"
        values = np.random.default_rng(0).random(self.megabytes * 250_000, dtype=np.float32)
        self.plain.write_bytes(encode_tensors({"w": values.reshape(1000, -1)}))
        self.key, self.alice, self.bob = (
            SigningKey.generate(),
            AgeIdentity.generate(),
            AgeIdentity.generate(),
        )
        self.writer = WeightsWriter(WeightsFolder(self.folder / "weights", {self.key.public}))
        self.model = ""

    def seal(self) -> None:
        """Encrypts the model for Alice, and signs."""
        with sealed(self.writer, self.plain, [_named("Alice", self.alice)]) as draft:
            self.writer.begin(draft.manifest, draft.header, self._decision)
        self.model = draft.manifest.model

    def unseal(self) -> None:
        """Removes what was encrypted."""
        for path in self.writer.folder.root.glob(f"{self.model}*"):
            path.unlink()

    def rewrap(self) -> None:
        """Gives the model one recipient more, or takes it away again."""
        folder = self.writer.folder
        has_bob = len(folder.history(self.model).manifest.recipients) == 2
        add, leave = ([], ["Bob"]) if has_bob else ([_named("Bob", self.bob)], [])
        draft = rewrapped(folder, self.model, [self.alice], add, leave)
        self.writer.rewrap(draft.manifest, draft.header, self._decision)

    def open(self) -> None:
        """Opens the model, and drops what was opened."""
        to = self.folder / "opened"
        open_model(self.writer.folder, self.model, self.alice, to)
        to.unlink()

    def library(self) -> None:
        """Encrypts the same file with the library alone: no digest, no record, nothing synced."""
        to = self.folder / "library.age"
        recipient = pyrage.x25519.Recipient.from_str(self.alice.key)
        pyrage.encrypt_file(str(self.plain), str(to), [recipient])
        to.unlink()

    @property
    def _decision(self) -> WeightsDecision:
        return WeightsDecision(at=timestamp(), key=self.key)


def rows(turns: int) -> Iterator[Row]:
    """Yields the rows of time, in seconds and milliseconds, and that of memory, in MiB."""
    for megabytes in (SMALL, LARGE):
        with tempfile.TemporaryDirectory() as folder:
            yield from _timed(_Case(Path(folder), megabytes), turns)
    small, large = (_peak(megabytes) for megabytes in (SMALL, LARGE))
    yield row_of(
        AREA,
        "peak resident memory, encrypt and open",
        f"{LARGE} MB",
        {OURS: [large], f"{SMALL} MB": [small]},
        target=Target(most=1.1, against=f"{SMALL} MB"),
        unit="MiB",
        clock="VmHWM",
    )


def _timed(case: _Case, turns: int) -> Iterator[Row]:
    told = f"{case.megabytes} MB"
    seals = [_clocks(case.seal, case.unseal) for _ in range(turns)]
    floors = [_clocks(case.library) for _ in range(turns)]
    case.seal()
    openings = [_clocks(case.open) for _ in range(turns)]
    rewraps = [_clocks(case.rewrap) for _ in range(2 * turns)]
    for at, clock in enumerate(("cpu", "wall")):
        both = {OURS: [one[at] for one in seals], LIBRARY: [one[at] for one in floors]}
        yield row_of(AREA, "encrypt", told, both, target=_SEAL, unit="s", scale=0.001, clock=clock)
        opened = {OURS: [one[at] for one in openings]}
        yield row_of(AREA, "open", told, opened, unit="s", scale=0.001, clock=clock)
        taken = {OURS: [one[at] for one in rewraps]}
        yield row_of(AREA, "re-wrap", told, taken, target=_REWRAP, clock=clock)


def _clocks(work: Callable[[], None], after: Callable[[], None] = lambda: None
            ) -> tuple[float, float]:  # fmt: skip
    """Returns the milliseconds of the processor's clock and of the wall's."""
    cpu, wall = CPU(), WALL()
    work()
    taken = (CPU() - cpu) * 1000, (WALL() - wall) * 1000
    after()
    return taken


def _named(name: str, identity: AgeIdentity) -> Recipient:
    return Recipient(name=name, key=identity.key)


def _peak(megabytes: int) -> float:
    """Returns the most memory, in MiB, that a process held that encrypts and opens a model."""
    with tempfile.TemporaryDirectory() as folder:
        case = _Case(Path(folder), megabytes)
        said = [str(case.plain), case.alice.secret_text()]
        command = [sys.executable, "-m", "tests.bench.weights", *said]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout)


def main() -> None:
    """Encrypts and opens a model that lies there; prints the most memory that was held, in MiB."""
    plain, secret = Path(sys.argv[1]), sys.argv[2]
    alice, key = AgeIdentity.from_text(secret), SigningKey.generate()
    writer = WeightsWriter(WeightsFolder(plain.parent / "weights", {key.public}))
    with sealed(writer, plain, [_named("Alice", alice)]) as draft:
        writer.begin(draft.manifest, draft.header, WeightsDecision(at=timestamp(), key=key))
    open_model(writer.folder, draft.manifest.model, alice, plain.with_name("opened"))
    status = Path("/proc/self/status").read_text()
    held = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(held.split()[1]) / 1024)


if __name__ == "__main__":
    main()
