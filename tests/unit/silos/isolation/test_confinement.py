"""The process that trains cannot open the hospital's files, nor reach a network: it tries."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import MessageRefused, PolicyRefused, UpdateRefused
from silos.database.database import open_hospital
from silos.isolation import confinement, remote_trainer
from silos.isolation.confinement import Confined, landlock_version
from silos.isolation.plain_values import from_bytes, to_bytes
from silos.isolation.remote_trainer import RemoteTrainer, TrainingMachine, TrainingProcess
from silos.training.private_folder import private_folder
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests import ROOT
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.worker_pools import IMAGES, STUDY, images, returning_patients

needs_landlock = pytest.mark.skipif(landlock_version() < 6, reason="needs Linux 6.12")


@pytest.fixture
def home() -> Iterator[Path]:
    """Not in ``/dev/shm``, as other tests' files: what Ray shares there a trainer may open."""
    with private_folder() as place:
        folder = place / "silo"
        folder.mkdir()
        open_hospital(folder / "hospital.db", site="east").close()
        (folder / "site.yaml").write_text("collegium_site: 1\n")
        yield folder


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody who listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def attacked(home: Path, port: int, kind: str) -> dict[str, Any]:
    with ExitStack() as stack:
        own = stack.enter_context(private_folder())
        keeper = stack.enter_context(subprocess.Popen(["sleep", str(PATIENCE)]))
        stack.callback(keeper.kill)
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.hospital.confined", str(home), str(own), kind,
             str(keeper.pid), str(port)],
            cwd=ROOT, env=os.environ | {"TMPDIR": str(own)}, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert keeper.poll() is None
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@needs_landlock
@pytest.mark.parametrize("kind", ["none", "sockets", "gpu"])
def test_hostile_trainer_gets_hold_of_nothing(home: Path, port: int, kind: str) -> None:
    before = sorted(home.rglob("*"))
    found = attacked(home, port, kind)
    assert {name for name, outcome in found["tried"].items() if outcome == "DONE"} == set()
    assert set(found["allowed"].values()) == {"DONE"}
    assert found["confined"] == [True, True, kind == "none"]
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("version", [1, 2, 3, 5])
def test_older_kernels_confine_a_process_that_uses_a_gpu_too(home: Path, version: int) -> None:
    """Rights that a kernel does not know may not be asked for: Linux 5.13 knows the fewest."""
    if landlock_version() < version:
        pytest.skip(f"needs version {version} of Landlock")
    program = (
        "import sys; from pathlib import Path; import silos.isolation.confinement as own; "
        f"own.landlock_version = lambda: {version}; "
        "found = own.confine(Path(sys.argv[1]), Path(sys.argv[2]), sockets=False, gpu=True); "
        "print(found.files, found.network, found.sockets)"
    )
    with private_folder() as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, str(home), str(folder)],
            cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "False"], done.stderr


@needs_landlock
def test_confined_process_trains_on_stored_images_and_can_open_no_file(home: Path) -> None:
    whole = images(stored=True)
    train, test = whole.take(whole.patients < 8), whole.take(whole.patients >= 8)
    here = Trainer(IMAGES, "east", train, test)
    machine = TrainingMachine(home=home, must_be_confined=True)
    there = RemoteTrainer(machine, IMAGES, "east", train, test)
    try:
        assert there._process is not None
        assert there._process.confined == Confined(files=True, network=True, sockets=True)
        assert there.dataset_digest == here.dataset_digest
        given = RoundInput(model=here.initial_model(), number=0, noise_multiplier=1.0)
        entropy = FixedEntropy(3, simulated=True)
        assert np.array_equal(
            there.update(given, entropy).update, here.update(given, entropy).update
        )
        for ours, theirs in zip(here.counts(given.model), there.counts(given.model), strict=True):
            assert np.array_equal(ours, theirs)
    finally:
        there.close()


def test_without_confinement_every_one_of_these_secrets_lies_open(home: Path) -> None:
    """What the trials above must not reach is there to be reached."""
    assert (home / "hospital-keys" / "split.key").read_bytes()
    assert (home / "hospital.db").read_bytes()


def test_training_that_reports_no_confinement_is_refused_where_it_must_be(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not confinement._is_closed(home)  # nothing was given up here
    monkeypatch.setattr(remote_trainer, "from_bytes", lambda _: dict.fromkeys(
        ("files", "network", "sockets"), False))  # fmt: skip
    with pytest.raises(PolicyRefused, match="training must be confined, and this machine does not"):
        TrainingProcess(TrainingMachine(home=home, must_be_confined=True))
    open_one = TrainingProcess(TrainingMachine(home=home))
    assert open_one.confined == Confined(files=False, network=False, sockets=False)
    open_one.close()


@pytest.mark.long
def test_trainer_in_its_process_gives_the_same_bits_and_ends_with_its_files(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    records = returning_patients()
    here = Trainer(STUDY, "east", records, records)
    model, entropy = here.initial_model(), FixedEntropy(3, simulated=True)
    there = RemoteTrainer(TrainingMachine(home=home), STUDY, "east", records, records)
    process = there._process
    assert process is not None
    assert there.dataset_digest == here.dataset_digest
    assert there.initial_model().keys() == model.keys()
    expected = here.update(RoundInput(model=model, number=0, noise_multiplier=1.0), entropy).update
    assert np.array_equal(
        there.update(RoundInput(model=model, number=0, noise_multiplier=1.0), entropy).update,
        expected,
    )
    for ours, theirs in zip(here.counts(model), there.counts(model), strict=True):
        assert np.array_equal(ours, theirs)
    for trainer in (here, there):
        trainer.leave_out(np.array([0]), np.array([0]))
    left = here.update(RoundInput(model=model, number=0, noise_multiplier=1.0), entropy).update
    assert not np.array_equal(left, expected)
    process._process.kill()
    with pytest.raises(UpdateRefused, match="the trainer died: signal 9"):
        there.counts(model)
    assert np.array_equal(  # made anew, without whoever left
        there.update(RoundInput(model=model, number=0, noise_multiplier=1.0), entropy).update, left
    )
    there.close()
    with pytest.raises(UpdateRefused, match="training failed: AttributeError"):
        there._call("no_such_method")
    there.close()


VALUES = [
    None, True, 7, 1.5, "engine", (1, ("a", None)), {"w": np.arange(6.0).reshape(2, 3)},
    (np.zeros(0, np.int64), np.array([[True]]), np.float32([1]).reshape(())),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_come_back(value: object) -> None:
    assert repr(from_bytes(to_bytes(value))) == repr(value)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"x", np.array(["a"]), 1j], ids=lambda value: type(value).__name__
)
def test_other_values_are_no_plain_ones(value: object) -> None:
    with pytest.raises(TypeError, match="is no plain value"):
        to_bytes(value)


HOSTILE = [
    b"",
    b"\n",
    b"\x80\x05cposix\nsystem\n",
    b'{"pickle": []}\n',
    b'{"array": ["|O8", [1]]}\n12345678',
    b'{"array": ["<f8", [2]]}\n12345678',
    b'{"array": ["<f8", [-1]]}\n',
    b'{"array": ["<f8", [1]]}\n123456789',
    b'{"array": ["<f8", [1000000000, 1000000000]]}\n',
    b'{"list": 3}\n',
    b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data[:40]))
def test_bytes_of_a_hostile_trainer_are_refused(data: bytes) -> None:
    with pytest.raises(MessageRefused, match="the training process sent"):
        from_bytes(data)
