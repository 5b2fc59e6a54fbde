"""Ray's own folder and what lies in it: for its user alone, alive, killed and started again."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.errors import WorkspaceRefused
from silos.training import private_folder
from silos.training.ray_runtime import ray_in
from tests import ROOT
from tests.support.hospital.other_user import needs_other_user, reached_by_another
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import until

#: Holds more records than Ray's memory takes, so that some lie in files.
PROGRAM = """
import sys
import numpy as np
from silos.training.ray_runtime import own_ray, ray
with own_ray():
    held = [ray.put(np.frombuffer(b"PATIENT;HIV+;" * 6_000_000, np.uint8)) for _ in range(5)]
    print(ray._private.worker._global_node.get_session_dir_path(), flush=True)
    sys.stdin.read()
"""


@dataclass
class Started:
    """A process with a Ray of its own, in a folder for temporary files of its own."""

    process: "subprocess.Popen[str]"
    session: Path

    @property
    def folder(self) -> Path:
        return self.session.parent.parent


def start(temporary: Path) -> Started:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"TMPDIR": str(temporary)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return Started(process, Path(process.stdout.readline().strip()))


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """A folder for temporary files that every user may enter, as /tmp is."""
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o1777)
        yield Path(name)


@pytest.fixture(scope="module")
def started(temporary: Path) -> Iterator[Started]:
    found = start(temporary)
    yield found
    found.process.kill()
    found.process.communicate()


def spilled(session: Path) -> list[Path]:
    return [path for path in session.glob("ray_spilled_objects_*/*") if path.is_file()]


def test_session_lies_in_a_folder_that_its_owner_alone_may_enter(started: Started) -> None:
    assert stat.S_IMODE(started.folder.stat().st_mode) == 0o700
    assert started.session.is_relative_to(started.folder)


@needs_other_user
def test_another_user_reaches_no_path_of_the_session_and_no_spilled_record(
    started: Started, temporary: Path
) -> None:
    until(lambda: bool(spilled(started.session)))
    paths = list(started.folder.rglob("*"))
    assert any(b"PATIENT;HIV+" in path.read_bytes() for path in spilled(started.session))
    assert len(paths) > 20
    assert reached_by_another(paths) == []
    assert reached_by_another([temporary]) == [temporary]


def test_what_a_killed_process_leaves_is_closed_and_goes_at_the_next_start(
    started: Started, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started.process.send_signal(signal.SIGKILL)
    started.process.wait(PATIENCE)
    assert started.session.is_dir()
    assert stat.S_IMODE(started.folder.stat().st_mode) == 0o700
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with private_folder.private_folder() as next_one:
        assert not started.folder.exists()
        with private_folder.private_folder():
            assert next_one.is_dir()  # a folder that is in use stays
    assert list(temporary.iterdir()) == []


def test_a_long_path_for_temporary_files_gives_way_to_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert private_folder._parent() == Path("/tmp")  # noqa: S108


def test_folders_that_are_too_long_or_open_to_renaming_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)  # without the sticky bit anybody may put another folder in place
        assert not private_folder._is_safe(Path(name))
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 90)
    monkeypatch.setattr(private_folder, "_is_safe", lambda _: False)
    with pytest.raises(WorkspaceRefused, match="no folder for Ray's sockets.*Set TMPDIR"):
        private_folder._parent()


@pytest.mark.chaos
def test_ray_that_is_slow_to_start_is_waited_for(temporary: Path) -> None:
    """Its raylet stands still for longer than Ray itself would wait."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"TMPDIR": str(temporary)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: list[int] = []

    def raylet() -> bool:
        found.extend(
            int(path.name)
            for path in Path("/proc").glob("[0-9]*")
            if _starts(path, "raylet") and _folder_of(path, temporary)
        )
        return bool(found)

    until(raylet)
    os.kill(found[0], signal.SIGSTOP)
    time.sleep(45)
    os.kill(found[0], signal.SIGCONT)
    said, _ = process.communicate("", timeout=PATIENCE)
    assert process.returncode == 0
    assert said.startswith(str(temporary))


def _starts(process: Path, name: str) -> bool:
    try:
        return (process / "comm").read_text().strip() == name
    except OSError:
        return False


def _folder_of(process: Path, temporary: Path) -> bool:
    return str(temporary).encode() in (process / "cmdline").read_bytes()


def test_a_ray_that_cannot_start_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**given: object) -> None:
        raise Exception("The current node timed out during startup.")  # as Ray raises it

    monkeypatch.setattr("silos.training.ray_runtime.ray.init", fails)
    with pytest.raises(WorkspaceRefused, match="Ray did not start"), ray_in(tmp_path):
        pytest.fail("a block without Ray")
