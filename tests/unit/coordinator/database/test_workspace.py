"""The output folder: made whole, refused when taken, and honest about who is at work in it."""

from pathlib import Path

import numpy as np
import pytest

from coordinator.database.workspace import Workspace
from protocol.errors import StoreBroken, WorkspaceRefused

MODEL = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}


def test_keys_are_private_and_a_pair(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    assert workspace.signing_key().public == workspace.public_key()
    assert workspace.key_file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["collegium.db", "thesis.tex"])
def test_a_folder_that_holds_something_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(WorkspaceRefused, match="already holds"):
        Workspace.create(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_snapshot_is_read_back_only_when_it_is_whole(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    name = workspace.keep_snapshot(MODEL, {"round": 3})
    np.testing.assert_array_equal(workspace.read_snapshot(name)["w"], MODEL["w"])
    path = workspace.snapshots / f"{name}.safetensors"
    whole = path.read_bytes()
    for damaged, said in ((whole[:-3], "is damaged"), (whole[:-1] + b"\x01", "was changed")):
        path.write_bytes(damaged)
        with pytest.raises(StoreBroken, match=said):
            workspace.read_snapshot(name)
    path.unlink()
    with pytest.raises(StoreBroken, match="is missing"):
        workspace.read_snapshot(name)


def test_only_one_process_is_at_work_and_others_can_see_it(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    assert not workspace.is_at_work
    with workspace.at_work():
        assert Workspace(workspace.root).is_at_work
        with (
            pytest.raises(WorkspaceRefused, match="is in use"),
            Workspace(workspace.root).at_work(),
        ):
            pytest.fail("two processes were at work in one folder")
    assert not workspace.is_at_work


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
def test_a_damaged_key_is_refused(tmp_path: Path, content: str) -> None:
    workspace = Workspace.create(tmp_path / "out")
    workspace.key_file.write_text(content)
    workspace.public_file.write_text(content)
    with pytest.raises(StoreBroken, match="is missing or damaged"):
        workspace.signing_key()
    with pytest.raises(StoreBroken, match="damaged"):
        workspace.public_key()
