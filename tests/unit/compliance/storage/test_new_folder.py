"""New folders: whole or not there at all."""

from pathlib import Path

import pytest

from compliance.storage.new_folder import new_folder, require_new
from protocol.errors import MessageRefused, WorkspaceRefused


@pytest.mark.parametrize("is_there", [False, True])
def test_a_new_folder_is_in_its_place_once_it_is_whole(tmp_path: Path, is_there: bool) -> None:
    to = tmp_path / "above" / "new"
    if is_there:
        to.mkdir(parents=True)
    with new_folder(to) as draft:
        (draft / "file").write_text("whole")
        assert not (to / "file").exists()
    assert (to / "file").read_text() == "whole"
    assert [path.name for path in to.parent.iterdir()] == ["new"]


def test_what_ends_with_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(MessageRefused, match="too late"), new_folder(tmp_path / "new") as draft:
        (draft / "file").write_text("half")
        raise MessageRefused("too late")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_disk_names_the_option_and_the_place(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkspaceRefused, match=r"--keep .*new cannot be written: No such file"),
        new_folder(tmp_path / "new", "--keep") as draft,
    ):
        (draft / "missing" / "file").write_text("nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_something_lies_is_no_place_for_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(WorkspaceRefused, match="is there already: name a new folder"):
            require_new(taken)
        with pytest.raises(WorkspaceRefused, match="is there already"), new_folder(taken):
            pass
    assert (tmp_path / "file").read_text() == "mine"
