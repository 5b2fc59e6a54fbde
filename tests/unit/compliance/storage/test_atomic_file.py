"""The one writer of files: whole, durable, and never over another where a new one is meant."""

import os
import re
import stat
from pathlib import Path

import pytest

from compliance.storage.atomic_file import (
    FOR_ALL,
    append_line,
    put_in_place,
    put_new_in_place,
    remove,
    write_named,
    write_new,
    write_whole,
)
from protocol.errors import WorkspaceRefused
from tests.structure.floors import ROOMS, ROOT

#: Files that write by themselves, and why.
ELSEWHERE = {
    "compliance/ledger/listed_heads.py": "a list that only grows, under its own lock",
    "compliance/storage/atomic_file.py": "the writer",
    "coordinator/delivery/blob_store.py": "uploads in parts, put in place by the writer",
    "silos/database/private_keys.py": "overwrites a key before it is removed",
}


class Disk:
    """Which files and folders were synced, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, file: int) -> None:
        self._sync(file)
        kind = "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"
        self.synced.append(kind)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_file_and_its_folder_are_synced(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "key"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert disk.synced == ["file", "folder"] * 2
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o600
    remove(path)
    remove(path)
    assert disk.synced[4:] == ["folder"] and list(tmp_path.iterdir()) == []


def test_a_new_file_is_never_written_over_another(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "public"
    write_new(path, b"first", mode=FOR_ALL)
    assert disk.synced == ["file", "folder"]
    with pytest.raises(FileExistsError):
        write_new(path, b"second")
    assert path.read_bytes() == b"first" and [one.name for one in tmp_path.iterdir()] == ["public"]


def test_what_is_only_told_is_whole_and_not_synced(tmp_path: Path, disk: Disk) -> None:
    write_whole(tmp_path / "status.json", b"{}", durable=False)
    assert disk.synced == [] and (tmp_path / "status.json").read_bytes() == b"{}"


@pytest.mark.parametrize("write", [write_whole, write_new])
def test_a_disk_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    for name in ("old", "new"):
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / name, b"new")  # type: ignore[operator]
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("old", b"old")]


def test_a_file_that_was_written_in_parts_is_put_in_place_durably(
    tmp_path: Path, disk: Disk
) -> None:
    (tmp_path / "blob.part").write_bytes(b"whole")
    put_in_place(tmp_path / "blob.part", tmp_path / "blob")
    assert disk.synced == ["folder"] and (tmp_path / "blob").read_bytes() == b"whole"


def test_a_line_is_added_whole_and_takes_the_place_of_one_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "record"
    file.write_bytes(b"one\ntw")
    append_line(file, b"two\n")
    append_line(file, b"three\n")
    assert file.read_bytes() == b"one\ntwo\nthree\n"
    with pytest.raises(FileNotFoundError):
        append_line(tmp_path / "none", b"one\n")


def test_a_file_is_put_in_no_place_that_is_taken(tmp_path: Path) -> None:
    made, taken = tmp_path / "made", tmp_path / "taken"
    made.write_bytes(b"made")
    taken.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        put_new_in_place(made, taken)
    assert taken.read_bytes() == b"mine"


def test_nothing_else_syncs_or_renames_a_file() -> None:
    own = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"os\.(fsync|replace|rename)\(|partial\.(replace|rename)\(", path.read_text())
    }
    assert own == {*ELSEWHERE}


def test_a_file_that_a_person_named_is_written_in_its_place_or_refused(tmp_path: Path) -> None:
    """A pipe or a device has nothing beside it, and stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_named(pipe, b"a report")
    assert os.read(reading, 100) == b"a report" and pipe.is_fifo()
    os.close(reading)
    with pytest.raises(WorkspaceRefused, match="--to .*missing/report cannot be written"):
        write_named(tmp_path / "missing" / "report", b"")
