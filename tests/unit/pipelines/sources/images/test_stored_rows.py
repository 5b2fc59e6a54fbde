"""Many images stand in a file without a name; they read like an array, and no other way."""

import errno
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.partitioning import partition_records
from pipelines.cohort.quality import ClassCounts
from pipelines.records import Records
from pipelines.sources.images import npz_images, stored_rows
from pipelines.sources.images.stored_rows import RowWriter, StoredRows, named
from protocol.errors import CohortRefused, WorkspaceRefused
from protocol.study.cohort.cohort import Image, ImageCohort
from protocol.study.cohort.labels import BinaryLabel, MaskLabel
from protocol.study.study import PartitionBySkew, Partitioning, Site

IMAGE = Image(shape=(4, 5), range=(0, 255), centre=100, scale=64)
YES_NO = ImageCohort(
    kind="images", patient_key="row", label=BinaryLabel(positive=(1,), negative=(0,)), image=IMAGE
)
MASKED = YES_NO.model_copy(
    update={"label": MaskLabel(mask="masks", classes={"none": (0,), "lesion": (2,)})}
)


@pytest.fixture
def all_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few they are."""
    monkeypatch.setattr(stored_rows, "IN_MEMORY_BYTES", 0)


def written(array: NDArray[np.float32], dtype: type = np.float32) -> StoredRows:
    writer = RowWriter(len(array), array.shape[1:], np.dtype(dtype), site="north")
    for begin in range(0, len(array), 3):
        writer.write(array[begin : begin + 3])
    rows = writer.rows()
    writer.close()
    assert isinstance(rows, StoredRows)
    return rows


def drawn(count: int = 11) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 1, 4, 5)).astype(np.float32)


PLACES: tuple[Any, ...] = (
    slice(None), slice(2, 9, 3), slice(0, 0), np.array([3, 3, 0, 10, -1]),
    np.array([[0, 1, 2], [9, 1, 2]]), np.arange(11) % 3 == 0, np.zeros(11, dtype=bool),
)  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_stored_rows_are_indexed_like_an_array_of_them(all_stored: None, dtype: type) -> None:
    array = drawn() if dtype is np.float32 else np.abs(drawn() * 50).astype(np.uint8)
    array = array.astype(np.float32)
    rows = written(array, dtype)
    assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (11, array.shape, 4, array.dtype)
    for places in PLACES:
        found = rows[places]
        assert np.array_equal(found, array[places]) and found.shape == array[places].shape
        found += 1  # it is the caller's own
        if found.ndim == array.ndim:
            assert np.array_equal(rows.select(places)[:], array[places])
    with pytest.raises(IndexError):
        rows[np.array([11])]


def test_rows_of_several_files_and_arrays_stand_one_after_the_other(all_stored: None) -> None:
    array = drawn()
    both = StoredRows.of([written(array).select(np.array([5, 6, 2])), array[3:4], written(array)])
    expected = np.concatenate([array[[5, 6, 2]], array[3:4], array])
    assert np.array_equal(both[:], expected)
    assert np.array_equal(both[np.array([14, 0, 3, 1])], expected[[14, 0, 3, 1]])
    assert len(set(both.descriptors)) == 2


def test_few_rows_stay_in_memory() -> None:
    writer = RowWriter(11, (1, 4, 5), np.dtype(np.float32), site="north")
    writer.write(drawn())
    assert isinstance(writer.rows(), np.ndarray)
    with pytest.raises(ValueError, match="11 rows were written, 12 announced"):
        missing = RowWriter(12, (1, 4, 5), np.dtype(np.float32), site="north")
        missing.write(drawn())
        missing.rows()


def test_the_file_has_no_name_and_cannot_be_written(
    all_stored: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = written(drawn())
    (descriptor,) = rows.descriptors
    assert list(tmp_path.iterdir()) == [] and os.fstat(descriptor).st_nlink == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(descriptor, b"x", 0)
    del rows
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_full_disk_is_refused_and_leaves_nothing(
    all_stored: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(os.listdir("/proc/self/fd"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    save(tmp_path / "images.npz")
    said = "site north: 9 prepared images need .* GB in .*: no space left on device; free space"
    with pytest.raises(WorkspaceRefused, match=said):
        load_cohort(YES_NO, tmp_path / "images.npz", site="north")
    assert [path.name for path in tmp_path.iterdir()] == ["images.npz"]
    assert sorted(os.listdir("/proc/self/fd")) == before
    monkeypatch.undo()


def test_a_pickle_holds_no_row_and_is_read_only_where_the_file_is_open(all_stored: None) -> None:
    array = drawn(1000)
    rows = written(array)
    data = pickle.dumps(rows.select(np.array([7, 5])))
    assert len(data) < 1000
    again = pickle.loads(data)  # noqa: S301
    assert np.array_equal(again[:], array[[7, 5]])
    del rows, again
    other = written(array)  # the same number, another file
    with pytest.raises(OSError, match=r"not open in this process|Bad file descriptor"):
        pickle.loads(data)  # noqa: S301
    assert len(other) == 1000


def test_copies_for_workers_are_named_for_this_user_alone_and_not_for_long(
    all_stored: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array, labels = drawn(), np.arange(3, dtype=np.float32)
    with named(written(array).select(np.array([4, 1, 1])), labels) as (rows, same):
        assert same is labels
        (folder,) = tmp_path.iterdir()
        (file,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        data = pickle.dumps(rows)
        opened = pickle.loads(data)  # noqa: S301
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(opened[:], array[[4, 1, 1]])
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)  # noqa: S301


def save(path: Path, count: int = 9, masks: bool = False) -> None:
    random = np.random.default_rng(1)
    arrays: dict[str, NDArray[Any]] = {}
    for part, number in (("train", count - 3), ("val", 2), ("test", 1)):
        arrays[f"{part}_images"] = random.integers(0, 256, (number, 4, 5)).astype(np.uint8)
        arrays[f"{part}_labels"] = np.arange(number) % 2
        if masks:
            arrays[f"{part}_masks"] = 2 * random.integers(0, 2, (number, 4, 5))
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def summary(records: Records, cohort: ImageCohort) -> tuple[object, ...]:
    rule = PartitionBySkew(rule="label_skew", shares=(0.5, 0.5), seed=3)
    sites = [Site(name=name, patients=9) for name in ("a", "b")]
    partitioned = partition_records(records, Partitioning(records="x", how=rule), sites)
    return (
        records.digest,
        records.take(np.array([5, 2])).digest,
        {name: part.rows.tolist() for name, part in partitioned.items()},
        ClassCounts.of(records, cohort.label),
    )


@pytest.mark.parametrize("cohort", [YES_NO, MASKED], ids=["labels", "masks"])
def test_stored_records_have_the_digest_and_the_counts_of_those_in_memory(
    cohort: ImageCohort, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save(tmp_path / "images.npz", masks=cohort is MASKED)
    here = load_cohort(cohort, tmp_path / "images.npz", site="north")
    assert isinstance(here.features, np.ndarray) and here.descriptors == ()
    monkeypatch.setattr(stored_rows, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(npz_images, "_NUMBERS", 45)  # two images at once
    monkeypatch.setattr("pipelines.records._NUMBERS", 70)
    stored = load_cohort(cohort, tmp_path / "images.npz", site="north")
    assert isinstance(stored.features, StoredRows)
    assert len(stored.descriptors) == (2 if cohort is MASKED else 1)
    assert summary(stored, cohort) == summary(here, cohort)


def test_what_is_read_and_held_of_a_file_does_not_grow_with_its_images(
    all_stored: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[int] = []
    pieces: list[int] = []
    preadv, scaled = os.preadv, npz_images._Reader._scaled

    def counting(descriptor: int, buffers: list[Any], offset: int) -> int:
        read.append(sum(len(buffer) for buffer in buffers))
        return preadv(descriptor, buffers, offset)

    def watched(self: Any, pixels: NDArray[Any], name: str) -> NDArray[np.float32]:
        pieces.append(len(pixels))
        return scaled(self, pixels, name)

    monkeypatch.setattr(npz_images, "_NUMBERS", 200)
    monkeypatch.setattr(npz_images._Reader, "_scaled", watched)
    monkeypatch.setattr(os, "preadv", counting)
    found = []
    for count in (20, 2000):
        save(tmp_path / "images.npz", count)
        features = load_cohort(YES_NO, tmp_path / "images.npz", site="north").features
        for places in ([[0, 7], [9, 7]], [[3, 4], [5, 6]]):
            read.clear()
            features[np.array(places)]
            found.append(list(read))
    assert found == [[20 * 4] * 4] * 4 and max(pieces) == 10


def test_damage_behind_many_images_is_found(all_stored: None, tmp_path: Path) -> None:
    save(tmp_path / "images.npz", 400)
    np.savez(tmp_path / "plain.npz", **np.load(tmp_path / "images.npz"))
    data = bytearray((tmp_path / "plain.npz").read_bytes())
    data[6000] ^= 0xFF
    (tmp_path / "plain.npz").write_bytes(data)
    with pytest.raises(CohortRefused, match="array 'train_images' is damaged"):
        load_cohort(YES_NO, tmp_path / "plain.npz", site="north")


def test_an_array_saved_column_by_column_is_read_too(tmp_path: Path) -> None:
    save(tmp_path / "images.npz")
    arrays = dict(np.load(tmp_path / "images.npz"))
    expected = load_cohort(YES_NO, tmp_path / "images.npz", site="north").digest
    arrays["train_images"] = np.asfortranarray(arrays["train_images"])
    np.savez(tmp_path / "images.npz", **arrays)
    assert load_cohort(YES_NO, tmp_path / "images.npz", site="north").digest == expected
