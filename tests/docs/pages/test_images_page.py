"""The page about images: its site files are read, and the check prints what it shows."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from protocol.study.cohort.cohort import Image
from silos.preflight.checks import check_site
from tests import ROOT
from tests.bench.studies import imaging
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.sites import changed_site
from tests.support.images.dicom_files import write_series
from tests.support.images.folders import cohort, lines, volume, write_scans, write_table

PAGE = (ROOT / "docs" / "images.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(SHOWN,) = re.findall(r"^  ok     records +(.*)$", PAGE, re.MULTILINE)
FOLDER, IMAGE, ACCESSION = BLOCKS


def checked(folder: Path, data: str) -> str:
    home = make_east(folder, site=changed_site("data: {kind: file, path: east.csv}", data))
    rows = write_scans(home, 24)
    if "accession" in data:
        for number, row in enumerate(rows):
            row["image"] = f"A{number}"
            write_series(
                home / "scans" / f"d{number}", volume(number, (3, 5, 4)), PatientID=row["patient"],
                AccessionNumber=f"A{number}", StudyInstanceUID=f"1.{number}",
                SeriesInstanceUID=f"1.{number}.1",
            )  # fmt: skip
        write_table(home / "labels.csv", rows)

    def unreachable(*_: object) -> None:
        raise RuntimeError("the line is not to be tried")

    study = imaging(micro_batch=4, side=28, patients=24).model_copy(update={"cohort": cohort()})
    study = study.model_copy(update={"split": study.split})
    found = check_site(home, study, home.parent, reach=unreachable)  # type: ignore[arg-type]
    return next(f"{one.state} {one.finding}" for one in found.findings if one.what == "records")


@pytest.mark.parametrize("data", [FOLDER, ACCESSION], ids=["files", "accessions"])
def test_the_site_files_of_the_page_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setattr("silos.preflight.checks.machine_findings", lambda *_: [])
    said = checked(tmp_path, data.strip())
    assert said.startswith("ok 24 fit the contract: ")
    parts = r"24 fit the contract: (\d+|some) patients train, (\d+|fewer than 10) test"
    assert re.fullmatch(parts, said.removeprefix("ok ")) and re.fullmatch(parts, SHOWN)


def test_the_image_of_the_page_is_one_that_studies_can_have() -> None:
    settings = YAML(typ="safe", pure=True).load(IMAGE)["image"]
    assert Image.model_validate(settings).axes == "RAS"


def test_the_table_of_the_page_has_the_columns_that_are_read() -> None:
    (table,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert table.splitlines()[0].split(",") == list(lines(1)[0])
