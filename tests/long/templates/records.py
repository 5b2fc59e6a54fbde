"""The records that each worked template is measured on, written by the examples' own scripts."""

import hashlib
import runpy
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from collegium.simulation.settings import record_files
from collegium.studies.authoring.worked.catalogue import WorkedTemplate
from collegium.studies.bundled import bundled_study
from tests import ROOT

SHARED = ROOT.parent / "shared" / "data"
#: Folders of public records that are not bundled; their templates are measured where they are.
NEEDED: Mapping[str, Path] = {
    "tabular-survival": SHARED / "tcga_brca",
    "images": SHARED / "pneumoniamnist",
}
_VOLUMES = {"train": 200, "test": 40}


def write_records(template: WorkedTemplate, folder: Path) -> Mapping[str, str]:
    """Writes a template's records to a new folder; returns the SHA-256 of each file it reads."""
    folder.mkdir(parents=True)
    folder_of_example, _ = template.example
    _WRITERS[folder_of_example](folder)
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in sorted({*record_files(template.study)})
    }


def _script(example: str, name: str) -> dict[str, Callable[..., object]]:
    found: dict[str, Callable[..., object]] = runpy.run_path(
        str(ROOT / "examples" / example / name)
    )
    return found


def _heart(folder: Path) -> None:
    data = bundled_study("heart-disease").data
    assert data is not None
    for file in data.glob("*.data"):
        shutil.copyfile(file, folder / file.name)


def _table(example: str, file: str, *given: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        name = "joined" if given else "table"
        _script(example, "prepare.py")[name](*given).to_csv(folder / file, index=False)  # type: ignore[attr-defined]

    return write


def _drawn(example: str, script: str, *given: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _script(example, script)["main"](folder, *given)

    return write


def _images(folder: Path) -> None:
    shutil.copyfile(NEEDED["images"] / "dev_train_val.npz", folder / "dev_train_val.npz")


#: Writers by the folder of the example.
_WRITERS: Mapping[str, Callable[[Path], None]] = {
    "heart-disease": _heart,
    "digits": _table("digits", "digits.csv"),
    "diabetes-progression": _table("diabetes-progression", "diabetes.csv"),
    "breast-cancer-survival": _table(
        "breast-cancer-survival", "breast-cancer.csv", NEEDED["tabular-survival"]
    ),
    "readmission": _drawn("readmission", "make_patients.py"),
    "pneumonia": _images,
    "segmentation-3d": _drawn("segmentation-3d", "make_volumes.py", _VOLUMES),
    "late-fusion": _drawn("late-fusion", "make_patients.py"),
}
