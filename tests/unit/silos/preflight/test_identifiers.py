"""Identifiers of patients stay in the hospital's own files, whatever kind of source they are in.

Each source below is written with marked identifiers wherever one can stand. It is then checked,
loaded, and loaded once more after it was damaged; and everything that was printed, logged, raised
or written is searched for the mark. A new kind of source is one line of ``SOURCES``.
"""

import csv
import json
import logging
import os
import sqlite3
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from pydicom import dcmread
from rich.console import Console

from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Cohort, TableCohort
from protocol.study.cohort.labels import MaskLabel
from protocol.study.study_file import read_study
from silos.config.directory import read_own
from silos.config.site_file import site_file_of
from silos.patients.own_records import read_own_records
from silos.preflight.checks import check_site
from silos.preflight.findings import print_findings
from silos.preflight.quality_table import print_quality
from tests.bench.studies import imaging
from tests.support.hospital.clinical_tables import (
    STUDY,
    UNTIL,
    fhir_resources,
    omop_tables,
    patients,
    write_ndjson,
    write_tables,
)
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.sites import changed_site
from tests.support.images.dicom_files import segmentation, write_series
from tests.support.images.folders import cohort, volume, write_table
from tests.support.images.nifti_files import RAS
from tests.support.machine.short_form import short_form
from tests.support.simulated.studies import small_study

#: Stands in every identifier that is planted, and nowhere else.
MARK = "ZQX"
COUNT = 24


class Planted(NamedTuple):
    """A source with marked identifiers: how the site file names it, and how it is damaged."""

    data: str
    cohort: Cohort
    damage: Callable[[], object]


def key(number: int) -> str:
    return f"{MARK}{number:04d}"


def _lines(name: Callable[[int], str], **more: Callable[[int], Any]) -> list[dict[str, Any]]:
    return [
        {
            "patient": key(number),
            "image": name(number),
            "labels": ("ill", "well")[number % 2],
            "note": f"{MARK} of line {number}",
        }
        | {column: value(number) for column, value in more.items()}
        for number in range(COUNT)
    ]


def _label_damage(home: Path, rows: list[dict[str, Any]]) -> None:
    rows[3]["labels"] = f"{MARK} typed into the label"
    rows[5]["patient"] = ""
    write_table(home / "labels.csv", rows)


def _planted_table(home: Path, data: str, write: Callable[[list[dict[str, Any]]], None]) -> Planted:
    """Returns a table of marked patients, written by whatever writes its kind."""
    contract = small_study().cohort
    assert isinstance(contract, TableCohort)
    with (home / "east.csv").open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row["patient"] = MARK + row["patient"]
        row["note"] = f"{MARK} in a cell that nobody reads"
    write(rows)

    def damage() -> None:
        for place, column in enumerate(row for row in rows[0] if row != "note"):
            rows[place][column] = f"{MARK} in {column}"
        write(rows)

    return Planted(data, contract, damage)


def csv_table(home: Path) -> Planted:
    data = "{kind: file, path: east.csv}"
    return _planted_table(home, data, lambda rows: write_table(home / "east.csv", rows))


def excel(home: Path) -> Planted:
    def write(rows: list[dict[str, Any]]) -> None:
        pd.DataFrame(rows).to_excel(home / "east.xlsx", index=False)

    return _planted_table(home, "{kind: file, path: east.xlsx}", write)


def parquet(home: Path) -> Planted:
    def write(rows: list[dict[str, Any]]) -> None:
        pd.DataFrame(rows).to_parquet(home / "east.parquet")

    return _planted_table(home, "{kind: file, path: east.parquet}", write)


def sql(home: Path) -> Planted:
    def write(rows: list[dict[str, Any]]) -> None:
        with closing(sqlite3.connect(home / "east.db")) as database:
            pd.DataFrame(rows).to_sql("stay", database, index=False, if_exists="replace")

    (home / "cohort.sql").write_text("SELECT * FROM stay WHERE patient LIKE 'ZQX%'")
    data = f"{{kind: sql, url: 'sqlite:///{home / 'east.db'}', query: cohort.sql}}"
    return _planted_table(home, data, write)


def omop(home: Path) -> Planted:
    tables = omop_tables(patients(2 * COUNT))
    for rows in tables.values():
        for number, row in enumerate(rows):
            row |= {"note": f"{MARK} of row {number}"}
            if "person_id" in row:
                row["person_id"] = MARK + row["person_id"]
    write_tables(home / "cdm", tables)

    def damage() -> None:
        tables["person"][1]["person_id"] = tables["person"][0]["person_id"]
        tables["measurement"][0]["person_id"] = f"{MARK} of nobody"
        for row in tables["measurement"][1:4]:
            row["unit_concept_id"] = f"{MARK} per litre"
        tables["measurement"][4]["value_as_number"] = f"{MARK} as a value"
        tables["visit_occurrence"][0]["visit_end_date"] = f"{MARK} as a date"
        write_tables(home / "cdm", tables)

    return Planted("{kind: omop, folder: cdm}", read_study(STUDY).cohort, damage)


def fhir(home: Path) -> Planted:
    resources = list(fhir_resources(patients(2 * COUNT)))
    for resource in resources:
        resource["text"] = {"div": f"{MARK}^Jane was here"}
        if resource["resourceType"] == "Patient":
            resource |= {"id": MARK + resource["id"], "name": [{"family": f"{MARK}^Doe"}]}
        elif "subject" in resource:
            owner = resource["subject"]["reference"].removeprefix("Patient/")
            resource["subject"] = {"reference": f"Patient/{MARK}{owner}"}
    write_ndjson(home / "export", resources)

    def damage() -> None:
        first, second, *_ = (r for r in resources if r["resourceType"] == "Patient")
        second["id"] = first["id"]
        panels = [r for r in resources if "component" in r]
        panels[0]["subject"] = {"reference": f"Patient/{MARK}-nobody"}
        panels[1]["component"][0]["valueQuantity"] |= {"code": MARK, "unit": f"{MARK} per litre"}
        panels[2]["effectiveDateTime"] = f"{MARK} as a date"
        write_ndjson(home / "export", resources)

    data = f"{{kind: fhir, folder: export, complete_until: '{UNTIL}'}}"
    return Planted(data, read_study(STUDY).cohort, damage)


def npz(home: Path) -> Planted:
    arrays: dict[str, Any] = {
        "train_images": np.stack([volume(number) for number in range(COUNT)]),
        "train_labels": np.array([("ill", "well")[number % 2] for number in range(COUNT)]),
        "train_patient": np.array([key(number) for number in range(COUNT)]),
        "train_note": np.array([f"{MARK} {number}" for number in range(COUNT)]),
    }
    np.savez(home / "east.npz", **arrays)
    contract = cohort().model_copy(update={"parts": ("train",)})

    def damage() -> None:
        arrays["train_labels"] = np.array([f"{MARK} as a label"] * COUNT)
        np.savez(home / "east.npz", **arrays)

    return Planted("{kind: file, path: east.npz}", contract, damage)


def nifti(home: Path) -> Planted:
    for number in range(COUNT):
        image = nibabel.Nifti1Image(volume(number), RAS)
        image.header["descrip"] = f"{MARK} scanned"
        image.header["db_name"] = f"{MARK} name"
        image.header["aux_file"] = f"{MARK} file"
        extension = nibabel.nifti1.Nifti1Extension("comment", f"{MARK}^PATIENT".encode())
        image.header.extensions.append(extension)
        path = home / "scans" / f"{MARK}_{number}" / f"{MARK}.nii"
        path.parent.mkdir(parents=True)
        nibabel.save(image, path)
    rows = _lines(lambda number: f"{MARK}_{number}/{MARK}.nii")
    write_table(home / "labels.csv", rows)

    def damage() -> None:
        for number, size in enumerate((0, 200, 345, 400, 460)):
            path = home / "scans" / f"{MARK}_{number}" / f"{MARK}.nii"
            path.write_bytes(path.read_bytes()[:size])
        rows[6]["image"] = f"{MARK} gone.nii"
        rows[7]["image"] = f"../{MARK}"
        rows[8]["image"] = rows[9]["image"]
        write_table(home / "labels.csv", rows)

    return Planted("{kind: images, folder: scans, table: labels.csv}", cohort(), damage)


_MARKED = {
    "PatientName": f"{MARK}^Jane",
    "PatientBirthDate": "19620101",
    "OtherPatientIDs": f"{MARK}-7",
    "InstitutionName": f"{MARK} General",
    "ReferringPhysicianName": f"{MARK}^Doctor",
    "StudyDescription": f"{MARK} study",
    "SeriesDescription": f"{MARK} series",
    "StationName": f"{MARK}1",
    "ImageComments": f"{MARK} burned",
    "PatientComments": f"{MARK} lives nearby",
}


def _write_dicom(home: Path, number: int) -> list[Any]:
    folder = home / "scans" / f"{MARK}_{number}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are no numbers of DICOM
        write_series(
            folder, volume(number, (3, 5, 4)), PatientID=key(number), AccessionNumber=f"A{number}",
            StudyInstanceUID=f"1.{number}", SeriesInstanceUID=f"1.{number}.1", **_MARKED,
        )  # fmt: skip
        for path in folder.iterdir():
            one = dcmread(path)
            block = one.private_block(0x0029, f"{MARK} PRIVATE", create=True)
            block.add_new(0x10, "LO", f"{MARK} private")
            one.save_as(path)
    return sorted((dcmread(path) for path in folder.iterdir()), key=lambda one: one.InstanceNumber)


def _damage_dicom(home: Path) -> None:
    def files(number: int) -> list[Path]:
        return sorted((home / "scans" / f"{MARK}_{number}").iterdir())

    for number, size in enumerate((0, 140, 500, 900, -20)):
        files(number)[0].write_bytes(files(number)[0].read_bytes()[:size])
    for number, (old, new) in enumerate(
        (
            (f"{MARK}0006".encode(), f"{MARK}9999".encode()),  # another patient
            (b"1.7.1", f"{MARK}.1".encode()[:5]),  # a UID that is none
            (b"\\20.0\\", f"\\{MARK}0\\".encode()),  # a place that is no number
            (b"MONOCHROME2", f"{MARK}CHROME2".encode()),
        ),
        start=6,
    ):
        for path in files(number):
            path.write_bytes(path.read_bytes().replace(old, new))
    for path in files(10)[:1]:
        path.unlink()


def dicom(home: Path) -> Planted:
    for number in range(COUNT):
        _write_dicom(home, number)
    write_table(home / "labels.csv", _lines(lambda number: f"A{number}"))
    data = "{kind: images, folder: scans, table: labels.csv, by: accession}"
    return Planted(data, cohort(), lambda: _damage_dicom(home))


def dicom_with_masks(home: Path) -> Planted:
    (home / "scans").mkdir()
    for number in range(COUNT):
        slices = _write_dicom(home, number)
        marked = np.zeros((3, 5, 4), np.bool_)
        marked[1, number % 5, 2] = True
        found = segmentation(slices, {"Liver": marked})
        found.ContentCreatorName = f"{MARK}^Reader"
        found.save_as(home / "scans" / f"{MARK}_{number}.seg")
    rows = _lines(lambda number: f"{MARK}_{number}", mask=lambda number: f"{MARK}_{number}.seg")
    write_table(home / "labels.csv", rows)
    label = MaskLabel(mask="mask", classes={"none": (0,), "organ": ("Liver",)})

    def damage() -> None:
        _damage_dicom(home)
        for number in (12, 13):
            path = home / "scans" / f"{MARK}_{number}.seg"
            path.write_bytes(path.read_bytes().replace(b"Liver ", f"{MARK}er ".encode()))
        rows[14]["mask"] = rows[15]["image"]
        rows[16]["mask"] = ""
        write_table(home / "labels.csv", rows)

    return Planted("{kind: images, folder: scans, table: labels.csv}", cohort(label), damage)


def pictures(home: Path) -> Planted:
    (home / "scans").mkdir()
    for number in range(COUNT):
        picture = Pillow.fromarray(volume(0, (4, 5)).astype(np.uint8))
        path = home / "scans" / f"{MARK} {number}"
        if number % 3 == 0:
            words = PngInfo()
            words.add_text("Comment", f"{MARK}^Jane")
            picture.save(f"{path}.png", pnginfo=words)
        elif number % 3 == 1:
            exif = Pillow.Exif()
            exif[0x010E] = f"{MARK} in EXIF"
            picture.save(f"{path}.jpg", exif=exif)
        else:
            picture.save(f"{path}.tif", tiffinfo={270: f"{MARK} in TIFF"})
    names = (".png", ".jpg", ".tif")
    rows = _lines(lambda number: f"{MARK} {number}{names[number % 3]}")
    write_table(home / "labels.csv", rows)

    def damage() -> None:
        for number in range(9):
            path = home / "scans" / rows[number]["image"]
            path.write_bytes(path.read_bytes()[: 40 + 10 * number])

    return Planted("{kind: images, folder: scans, table: labels.csv}", cohort(shape=(4, 5)), damage)


SOURCES: dict[str, Callable[[Path], Planted]] = {
    "csv": csv_table,
    "excel": excel,
    "parquet": parquet,
    "sql": sql,
    "omop": omop,
    "fhir": fhir,
    "npz": npz,
    "nifti": nifti,
    "dicom": dicom,
    "dicom with masks": dicom_with_masks,
    "pictures": pictures,
}


class Heard:
    """Everything that is said while a source is read, and the files that were there before."""

    def __init__(self, home: Path, temporary: Path) -> None:
        self._folders, self.said = (home, temporary), [""]
        self._before = self._files()

    def _files(self) -> dict[Path, bytes]:
        return {
            path: path.read_bytes()
            for folder in self._folders
            for path in folder.rglob("*")
            if path.is_file()
        }

    def planted(self) -> None:
        """Takes the files as they are now for the hospital's own."""
        self._before = self._files()

    def everything(self) -> str:
        """Returns all that was said, with the names and contents of files that were written."""
        written = [
            f"{path}\n{data.decode('latin-1')}"
            for path, data in self._files().items()
            if self._before.get(path) != data
        ]
        return "\n".join([*self.said, *written])


@pytest.mark.filterwarnings("ignore::UserWarning:highdicom")
@pytest.mark.parametrize("kind", short_form(SOURCES, 2))
def test_no_identifier_is_said_or_written(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("silos.preflight.checks.machine_findings", lambda *_: [])
    monkeypatch.setattr("pipelines.sources.images.stored_rows.IN_MEMORY_BYTES", 0)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    home = make_east(tmp_path)
    planted = SOURCES[kind](home)
    site = changed_site("data: {kind: file, path: east.csv}", f"data: {planted.data}")
    (home / "site.yaml").write_text(site)
    small = (
        small_study()
        if isinstance(planted.cohort, TableCohort)
        else imaging(micro_batch=4, patients=COUNT)
    )
    study = small.model_copy(update={"cohort": planted.cohort})
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    capfd.readouterr()
    heard = Heard(home, temporary)

    def unreachable(*_: object) -> None:
        raise RuntimeError("the line is not to be tried")

    def check() -> str:
        found = check_site(home, study, home.parent, reach=unreachable)  # type: ignore[arg-type]
        console = Console(file=StringIO(), width=200)
        print_findings(found.findings, console)
        if found.records.quality is not None:
            print_quality({"east": found.records.quality}, console)
            heard.said.append(json.dumps(found.records.quality.to_json(), default=str))
        heard.said.append(console.file.getvalue())  # type: ignore[attr-defined]
        return "\n".join(f"{one.what} {one.state}" for one in found.findings)

    def load() -> Any:
        own = site_file_of(home)
        with closing(read_own(home, own)) as hospital:
            return read_own_records(home, own, study, None, hospital, None).whole

    assert "records ok" in check()
    records = load()
    assert len(records) >= COUNT
    heard.said += [repr(records.noted), repr(records.columns), *os.listdir(temporary)]
    planted.damage()
    heard.planted()
    assert "records ok" not in check()
    with pytest.raises(CohortRefused) as told:
        load()
    heard.said += traceback.format_exception(told.value)
    heard.said += [record.getMessage() for record in caplog.records]
    heard.said += capfd.readouterr()
    everything = heard.everything()
    assert "site east" in everything  # there was something to search
    assert MARK.casefold() not in everything.casefold()
    assert str(home / "scans") not in "\n".join(heard.said)
