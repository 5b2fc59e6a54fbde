"""A bundle's files are found in a folder and in a ZIP archive; nothing leads out of it."""

import stat
import zipfile
from pathlib import Path

import pytest

from collegium.studies.authoring.bundle.files import METADATA, open_bundle
from protocol.errors import StudyRefused
from tests.support.bundles import make_bundle, volumes, zipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "spleen", volumes(), weights=b"x" * 1000)


def test_a_folder_and_its_archive_hold_the_same(folder: Path, tmp_path: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text("not looked at")
    (folder / "LICENSE").write_text("Apache")
    plain, packed = open_bundle(folder), open_bundle(zipped(folder, tmp_path / "b.zip"))
    assert plain.name == packed.name == "spleen"
    assert plain.sizes == packed.sizes and set(plain.sizes) == {
        METADATA, "configs/inference.json", "models/model.safetensors", "LICENSE",
    }  # fmt: skip
    assert plain.read(METADATA, 10**6) == packed.read(METADATA, 10**6)


def test_nothing_is_read_beyond_its_bound(folder: Path, tmp_path: Path) -> None:
    for files in (open_bundle(folder), open_bundle(zipped(folder, tmp_path / "b.zip"))):
        with pytest.raises(StudyRefused, match=r"models/model\.safetensors: larger than 999 bytes"):
            files.read("models/model.safetensors", 999)
        assert len(files.read("models/model.safetensors", 1000)) == 1000


def test_an_archive_that_understates_a_size_is_read_up_to_the_bound(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "models" / "model.safetensors").write_bytes(bytes(10**6))
    place = zipped(folder, tmp_path / "b.zip")
    data = place.read_bytes()
    assert data.count((10**6).to_bytes(4, "little")) == 2
    place.write_bytes(data.replace((10**6).to_bytes(4, "little"), (5).to_bytes(4, "little")))
    with pytest.raises(StudyRefused, match=r"models/model\.safetensors: "):
        open_bundle(place).read("models/model.safetensors", 1000)


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "models" / "other.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(StudyRefused, match=r"other\.safetensors: a link, which is not followed"):
        open_bundle(folder)
    place = tmp_path / "l.zip"
    with zipfile.ZipFile(place, "w") as archive:
        link = zipfile.ZipInfo(f"b/{METADATA}")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(StudyRefused, match="is a link, which is not followed"):
        open_bundle(place)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "c:/x", "a\\..\\x"])
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / "b.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr(METADATA, "{}")
        archive.writestr(name, "x")
    with pytest.raises(StudyRefused, match="leads out of the archive"):
        open_bundle(place)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="there is no such folder or ZIP archive"):
        open_bundle(tmp_path / "gone")
    with pytest.raises(StudyRefused, match=r"no MONAI bundle: configs/metadata\.json is missing"):
        open_bundle(tmp_path)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(StudyRefused, match="neither a folder nor a ZIP archive"):
        open_bundle(tmp_path / "b.zip")
    for name, entries in (("two", ["a", "b"]), ("deep", ["a/b"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for entry in entries:
                archive.writestr(f"{entry}/{METADATA}", "{}")
    with pytest.raises(StudyRefused, match="holds several bundles: a/, b/"):
        open_bundle(tmp_path / "two")
    with pytest.raises(StudyRefused, match="is missing"):
        open_bundle(tmp_path / "deep")
